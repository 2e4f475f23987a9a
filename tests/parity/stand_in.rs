//! One variant of one stand-in, opened as the daemon opens a model.

use crate::golden::{self, Case};
use anyhow::{Context, ensure};
use hob_model::{Decoder, Interrupt, Keep, ModelFolder, Needs, OrtDecoder, Prepared, Slot, Variant};
use hob_onnx::{Pass, Runtime, SessionSettings};
use std::io::Write;
use std::path::Path;

/// Prompts are run in pieces of so many tokens: whole, in pieces that do not divide a window, one by one.
const PIECES: [usize; 3] = [usize::MAX, 7, 1];

const CONTEXT: usize = 512;

/// A decoder and what it should write.
pub(crate) struct StandIn {
    decoder: OrtDecoder,
    cases: Vec<Case>,
}

/// How far it writes that, over all prompts and pieces.
#[derive(Default)]
pub(crate) struct Agreement {
    /// Prompts; each is run once for each of [`PIECES`].
    pub(crate) prompts: usize,
    /// Tokens asked for.
    pub(crate) tokens: usize,
    /// Those that were the likeliest.
    pub(crate) equal: usize,
    /// The largest difference in the logit of a golden token.
    pub(crate) gap: f32,
}

impl StandIn {
    /// Opens both graphs and the goldens; the decoder as published, or rewritten with activations left as they are.
    pub(crate) fn open(runtime: &Runtime, path: &Path, variant: Variant, prepared: bool) -> anyhow::Result<Self> {
        let mut folder = ModelFolder::open(path, Some(variant)).context("run make model-standins")?;
        if prepared {
            let exact = Pass::ALL.into_iter().filter(|pass| *pass != Pass::Accuracy).collect();
            folder.prepared = Some(Prepared::make(&folder.decoder, &exact)?);
        }
        let needs = Needs::read(&folder)?;
        ensure!(needs.tables_on_disk(), "the embedding tables are not recognised");
        let suffix = folder.embed.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let suffix = suffix.trim_start_matches("embed_tokens");
        let cases = golden::read(&path.join(format!("golden{suffix}.json")))?;
        let decoder = OrtDecoder::open(runtime, &folder, &SessionSettings::default(), 1, CONTEXT)?;
        ensure!(decoder.runs_prepared() == prepared, "the prepared decoder cannot be opened");
        ensure!(decoder.layout() == needs.layout(), "the layout read from the file is not that of the session");
        Ok(Self { decoder, cases })
    }

    /// Leads the decoder along all continuations. The first token that differs in each is told to `remarks`.
    pub(crate) fn agreement(&mut self, remarks: &mut dyn Write) -> anyhow::Result<Agreement> {
        let mut agreement = Agreement { prompts: self.cases.len(), ..Agreement::default() };
        for (number, case) in self.cases.iter().enumerate() {
            for pieces in PIECES {
                let mut told = false;
                let mut row = prefill(&mut self.decoder, &case.prompt, pieces)?;
                for (step, (&token, &logit)) in case.tokens.iter().zip(&case.logits).enumerate() {
                    if step > 0 {
                        row = last_row(&mut self.decoder, &case.tokens[step - 1..step])?;
                    }
                    let (written, index) = (likeliest(&row), usize::try_from(token)?);
                    agreement.tokens += 1;
                    agreement.equal += usize::from(written == token);
                    let gap = (row.get(index).context("no such token")? - logit).abs();
                    agreement.gap = agreement.gap.max(if gap.is_finite() { gap } else { f32::INFINITY });
                    if written != token && !std::mem::replace(&mut told, true) {
                        writeln!(remarks, "prompt {number}, pieces of {pieces}, step {step}: {written}, not {token}")?;
                    }
                }
            }
        }
        Ok(agreement)
    }
}

/// The logits after a prompt that is run in pieces into an empty slot.
pub(crate) fn prefill(decoder: &mut OrtDecoder, prompt: &[u32], pieces: usize) -> anyhow::Result<Vec<f32>> {
    decoder.truncate(Slot(0), 0)?;
    let mut row = Vec::new();
    for piece in prompt.chunks(pieces) {
        row = last_row(decoder, piece)?;
    }
    Ok(row)
}

pub(crate) fn last_row(decoder: &mut OrtDecoder, tokens: &[u32]) -> anyhow::Result<Vec<f32>> {
    let logits = decoder.forward(Slot(0), tokens, Keep::Last(1), &Interrupt::default())?;
    Ok(logits.rows().next_back().context("no logits came back")?.to_vec())
}

pub(crate) fn likeliest(row: &[f32]) -> u32 {
    (0_u32..).zip(row).max_by(|one, other| one.1.total_cmp(other.1)).map_or(0, |(token, _)| token)
}
