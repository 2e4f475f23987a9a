//! What Transformers writes, as `models/tools` puts it down.

use anyhow::{Context, ensure};
use serde::Deserialize;
use std::path::Path;

/// Fewer prompts, or shorter continuations, would prove less than is promised.
const LEAST_PROMPTS: usize = 8;
const LEAST_TOKENS: usize = 64;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// A prompt and its continuation.
#[derive(Deserialize)]
pub(crate) struct Case {
    /// Ids of the prompt.
    pub(crate) prompt: Vec<u32>,
    /// The greedy continuation.
    pub(crate) tokens: Vec<u32>,
    /// The logit of each of its tokens.
    pub(crate) logits: Vec<f32>,
}

/// Reads the cases of one variant.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}: run make model-standins", path.display()))?;
    let cases = serde_json::from_str::<Golden>(&text).with_context(|| path.display().to_string())?.cases;
    ensure!(cases.len() >= LEAST_PROMPTS, "{} has only {} prompts", path.display(), cases.len());
    let whole = |case: &Case| case.tokens.len() >= LEAST_TOKENS && case.logits.len() == case.tokens.len();
    ensure!(cases.iter().all(whole), "{} has a continuation under {LEAST_TOKENS} tokens", path.display());
    Ok(cases)
}
