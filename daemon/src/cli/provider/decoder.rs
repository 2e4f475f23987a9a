//! The model's decoder on a provider, held to the processor.

use crate::settings::Settings;
use crate::stage_settings::{model_settings, session_settings};
use anyhow::{Context, bail};
use hob_model::{Decoder, Interrupt, Keep, ModelFolder, OrtDecoder, Slot};
use hob_onnx::{Difference, Provider, Providers, Runtime, SessionSettings, Share, Wanted};
use serde::Serialize;
use std::time::Instant;

/// Tokens of the prompt, and steps after it. Enough to time, and short for a large model.
const PROMPT: usize = 64;
const STEPS: usize = 16;

/// A decoder that chooses another token in more than one of so many steps gives other answers.
const AGREEING: usize = 8;

/// What became of it.
#[derive(Debug, Serialize)]
pub(super) struct DecoderTrial {
    name: String,
    variant: String,
    took: Vec<Share>,
    difference: Difference,
    /// Steps after which both would have gone on with the same token, out of `steps`.
    agreed: usize,
    steps: usize,
    provider: Times,
    cpu: Times,
}

/// How long it took, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Times {
    opening_ms: f64,
    prompt_ms: f64,
    token_ms: f64,
}

impl DecoderTrial {
    pub(super) fn agrees(&self) -> bool {
        (self.steps - self.agreed) * AGREEING <= self.steps
    }

    pub(super) fn agreement(&self) -> String {
        format!("the same token in {} of {} steps", self.agreed, self.steps)
    }

    pub(super) fn in_lines(&self) -> Vec<String> {
        let shares: Vec<String> = self.took.iter().map(ToString::to_string).collect();
        let Difference { greatest, of } = self.difference;
        let (provider, cpu) = (self.provider, self.cpu);
        let two = |of: fn(Times) -> f64| format!("{:.2} ms, {:.2} ms on the processor", of(provider), of(cpu));
        vec![
            format!("model       {} {}", self.name, self.variant),
            format!(
                "divided     {}",
                if shares.is_empty() { "all on the processor".to_owned() } else { shares.join("; ") }
            ),
            format!("logits      {greatest:.1e} of {of:.1e} apart; {}", self.agreement()),
            format!("opening     {}", two(|times| times.opening_ms)),
            format!("prompt      {PROMPT} tokens: {}", two(|times| times.prompt_ms)),
            format!("decoding    a token: {}", two(|times| times.token_ms)),
        ]
    }
}

/// One decoder's run.
struct Ran {
    /// The last row of logits of the prompt and of every step.
    logits: Vec<Vec<f32>>,
    took: Vec<Share>,
    times: Times,
}

/// Runs the decoder that the settings name on a provider, and on the processor. One after the other: two of a large
/// model would not fit.
pub(super) fn try_decoder(runtime: &Runtime, settings: &Settings, wanted: Wanted) -> anyhow::Result<DecoderTrial> {
    let asked = model_settings(settings)?;
    let folder = ModelFolder::open(&asked.folder, asked.variant)?;
    let about = hob_model::describe(&folder)?;
    let with = |order| session_on(settings, order);
    let cpu = Wanted::any(Provider::Cpu);
    let found = run(runtime, &folder, &with(vec![wanted, cpu]))
        .with_context(|| format!("'{wanted}' does not run the model in {}", folder.path.display()))?;
    let expected = run(runtime, &folder, &with(vec![cpu]))?;
    let agreed =
        found.logits.iter().zip(&expected.logits).filter(|(found, expected)| likeliest(found) == likeliest(expected));
    Ok(DecoderTrial {
        name: about.name,
        variant: about.variant.to_owned(),
        agreed: agreed.count(),
        steps: expected.logits.len(),
        difference: Difference::between(&found.logits.concat(), &expected.logits.concat()),
        took: found.took,
        provider: found.times,
        cpu: expected.times,
    })
}

/// Sessions for a trial: nothing is packed, since the places for packed weights are those of the model that is in use.
fn session_on(settings: &Settings, order: Vec<Wanted>) -> SessionSettings {
    let providers = Providers { order, fallback: false, plugins: settings.onnx.plugins.clone() };
    SessionSettings { providers, packed: None, ..session_settings(settings) }
}

fn run(runtime: &Runtime, folder: &ModelFolder, settings: &SessionSettings) -> anyhow::Result<Ran> {
    let begun = Instant::now();
    let mut decoder = OrtDecoder::open(runtime, folder, settings, 1, PROMPT + STEPS)?;
    let opening_ms = since(begun);
    let tokens = tokens(decoder.layout().vocabulary);
    let (prompt, rest) = tokens.split_at(PROMPT);
    let mut logits = Vec::with_capacity(STEPS + 1);
    let begun = Instant::now();
    logits.push(last_row(&mut decoder, prompt)?);
    let prompt_ms = since(begun);
    let mut steps = Vec::with_capacity(STEPS);
    for token in rest {
        let begun = Instant::now();
        logits.push(last_row(&mut decoder, &[*token])?);
        steps.push(since(begun));
    }
    steps.sort_unstable_by(f64::total_cmp);
    let token_ms = steps.get(steps.len() / 2).copied().unwrap_or_default();
    Ok(Ran { logits, took: decoder.shares().to_vec(), times: Times { opening_ms, prompt_ms, token_ms } })
}

fn since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// Tokens from all over the vocabulary. Both decoders are given the same ones, whatever they would have chosen.
fn tokens(vocabulary: usize) -> Vec<u32> {
    let spread = |place: usize| u32::try_from((place * 7_919 + 2) % vocabulary.max(1)).unwrap_or(0);
    (0..PROMPT + STEPS).map(spread).collect()
}

fn last_row(decoder: &mut OrtDecoder, tokens: &[u32]) -> anyhow::Result<Vec<f32>> {
    let logits = decoder.forward(Slot(0), tokens, Keep::Last(1), &Interrupt::default())?;
    match logits.rows().next_back() {
        Some(row) => Ok(row.to_vec()),
        None => bail!("the decoder gives no logits"),
    }
}

fn likeliest(row: &[f32]) -> Option<usize> {
    let numbers = row.iter().enumerate();
    numbers.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_packs_no_weights() {
        let settings = Settings::default();
        assert!(settings.model.pack_weights && model_settings(&settings).unwrap().session.packed.is_some());
        assert_eq!(session_on(&settings, vec![Wanted::any(Provider::Cpu)]).packed, None);
    }
}
