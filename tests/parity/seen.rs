//! What a stand-in sees and hears, against what Transformers does with the same files.

use crate::stand_in::{last_row, likeliest, prefill};
use anyhow::{Context, bail, ensure};
use hob_events::{Frame, Medium, MediumId};
use hob_model::media::image::ImageBudget;
use hob_model::{MediaSettings, ModelFolder, OrtDecoder, Rows, Senses, Shown, Spoken, Variant};
use hob_onnx::{Runtime, SessionSettings, Stop};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prompts are run whole, and in pieces that end within a picture.
const PIECES: [usize; 2] = [usize::MAX, 97];

/// The longest prompt holds 30 seconds of sound and pictures beside it.
const CONTEXT: usize = 4096;

/// Fewer would prove less than is promised.
const LEAST_CASES: usize = 10;

#[derive(Deserialize)]
struct Golden {
    features: String,
    width: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    budget: u32,
    prompt: Vec<u32>,
    media: Vec<Asked>,
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    kind: String,
    file: String,
    second: Option<u64>,
    tokens: usize,
    start: usize,
    row: usize,
}

impl Case {
    /// A JPEG is decoded a little otherwise by every library, by up to 3 of 255, and so seen a little otherwise.
    fn has_jpeg(&self) -> bool {
        let is_jpeg = |asked: &Asked| Path::new(&asked.file).extension().is_some_and(|extension| extension == "jpg");
        self.media.iter().any(is_jpeg)
    }
}

/// How near some cases come, in all pieces.
#[derive(Default)]
pub(crate) struct Near {
    /// Tokens asked for, and those that were the likeliest.
    pub(crate) tokens: usize,
    pub(crate) equal: usize,
    /// The largest difference of a feature, and of a logit of a golden token.
    pub(crate) features: f32,
    pub(crate) logits: f32,
}

impl fmt::Display for Near {
    /// Three cells of a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tokens, equal, features, logits } = self;
        write!(f, "{equal} of {tokens} | {features:.1e} | {logits:.1e}")
    }
}

/// How near it comes.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) cases: usize,
    /// Cases without a JPEG.
    pub(crate) exact: Near,
    /// Cases with one.
    pub(crate) jpeg: Near,
}

/// Shows a stand-in all that its goldens show. A token that differs is told to `remarks`, once a case.
pub(crate) fn seen(runtime: &Runtime, path: &Path, variant: Variant, remarks: &mut dyn Write) -> anyhow::Result<Seen> {
    let folder = ModelFolder::open(path, Some(variant)).context("run make model-standins")?;
    let suffix = folder.embed.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let file = path.join(format!("golden_media{}.json", suffix.trim_start_matches("embed_tokens")));
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}: run make model-standins", file.display()))?;
    let golden: Golden = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    ensure!(golden.cases.len() >= LEAST_CASES, "{} has only {} cases", file.display(), golden.cases.len());
    let bytes = std::fs::read(path.join(&golden.features))?;
    let features: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();

    let shelf = tempfile::tempdir()?;
    let stop = Stop::new(runtime)?;
    let mut decoder = OrtDecoder::open(runtime, &folder, &SessionSettings::default(), 1, CONTEXT)?;
    let mut seen = Seen { cases: golden.cases.len(), ..Seen::default() };
    for case in &golden.cases {
        let near = if case.has_jpeg() { &mut seen.jpeg } else { &mut seen.exact };
        let settings = MediaSettings {
            folder: shelf.path().to_owned(),
            image_tokens: ImageBudget::try_from(case.budget)?,
            encoder_idle: Duration::from_secs(60),
            spoken: Spoken::default(),
        };
        let senses = Senses::new(runtime, &folder, &SessionSettings::default(), settings, false);
        decoder.see_with(&senses);
        let mut prompt = case.prompt.clone();
        for asked in &case.media {
            let rows = show(&senses, shelf.path(), &path.join("media").join(&asked.file), asked)?;
            let ids: Vec<u32> = rows.ids().collect();
            ensure!(ids.len() == asked.tokens, "{}: {} rows, not {}", case.name, ids.len(), asked.tokens);
            let found = senses.take_in(&rows, &stop)?;
            let expected = features.get(asked.row * golden.width..(asked.row + asked.tokens) * golden.width);
            let off = off(&found, expected.context("fewer features than rows")?)?;
            near.features = near.features.max(off);
            prompt.splice(asked.start..asked.start + asked.tokens, ids);
        }
        follow(&mut decoder, case, &prompt, near, remarks)?;
    }
    Ok(seen)
}

/// Leads the decoder along the continuation of a case.
fn follow(
    decoder: &mut OrtDecoder,
    case: &Case,
    prompt: &[u32],
    near: &mut Near,
    remarks: &mut dyn Write,
) -> anyhow::Result<()> {
    for pieces in PIECES {
        let mut told = false;
        let mut row = prefill(decoder, prompt, pieces)?;
        for (step, (&token, &logit)) in case.tokens.iter().zip(&case.logits).enumerate() {
            if step > 0 {
                row = last_row(decoder, &case.tokens[step - 1..step])?;
            }
            let written = likeliest(&row);
            near.tokens += 1;
            near.equal += usize::from(written == token);
            let gap = (row.get(usize::try_from(token)?).context("no such token")? - logit).abs();
            near.logits = near.logits.max(if gap.is_finite() { gap } else { f32::INFINITY });
            if written != token && !std::mem::replace(&mut told, true) {
                writeln!(remarks, "{}, pieces of {pieces}, step {step}: {written}, not {token}", case.name)?;
            }
        }
    }
    Ok(())
}

/// Puts a file on the shelf and shows it.
fn show(senses: &Senses, shelf: &Path, file: &PathBuf, asked: &Asked) -> anyhow::Result<Rows> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let id = MediumId(Sha256::digest(&bytes).into());
    std::fs::write(shelf.join(id.to_string()), &bytes)?;
    let medium = match (asked.kind.as_str(), asked.second) {
        ("image", None) => Medium::Image { id },
        ("audio", None) => Medium::Audio { id },
        ("frame", Some(second)) => Medium::Video { frames: vec![Frame { at_ms: second * 1000, id }] },
        (kind, _) => bail!("a medium of the kind {kind}"),
    };
    match senses.show(&medium)? {
        Shown::Picture(rows) | Shown::Sound(rows) => Ok(rows),
        Shown::Film(frames) => Ok(frames.into_iter().next().context("a film without pictures")?.1),
        Shown::Document(_) => bail!("a document has no rows"),
    }
}

/// The largest difference; endless when one of them is no number, which `max` would pass over.
fn off(found: &[f32], expected: &[f32]) -> anyhow::Result<f32> {
    ensure!(found.len() == expected.len(), "{} numbers, not {}", found.len(), expected.len());
    let gaps = found.iter().zip(expected).map(|(one, other)| (one - other).abs());
    Ok(gaps.map(|gap| if gap.is_finite() { gap } else { f32::INFINITY }).fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_as_far_off_as_can_be() {
        let off = |found: &[f32]| off(found, &[1.0, 2.0]).unwrap();
        assert_eq!((off(&[1.0, 2.0]), off(&[1.5, 1.0])), (0.0, 1.0));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(off(&[wrong, 2.0]), f32::INFINITY);
        }
    }
}
