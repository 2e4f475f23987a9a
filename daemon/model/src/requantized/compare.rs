//! Two decoders side by side: what the first says word by word, and whether the other would have said the same.

use crate::budget::{Extent, Needs};
use crate::chat::{ChatFormat, Gemma4, Vocabulary};
use crate::decoder::{Decoder, ForwardFailure, Keep, Slot};
use crate::folder::{ModelFolder, OpenModelError};
use crate::interrupt::Interrupt;
use crate::ort_decoder::OrtDecoder;
use hob_events::{Message, Offer, Prompt, Thinking};
use hob_onnx::{Runtime, SessionSettings, usable_memory};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What both are asked. The answer is long enough to be compared.
const QUESTION: &str =
    "Explain step by step how to look after tomato plants from spring to autumn, and why each step matters.";

/// Tokens of an answer that are compared. Their logits are kept, some megabyte each for Gemma.
const STEPS: usize = 48;

/// How far apart two decoders are over one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Tokens of the question.
    pub prompt_tokens: usize,
    /// Tokens of the answer, the likeliest at each step by the first decoder.
    pub steps: usize,
    /// Those that are likeliest by the second too, given the same words before.
    pub equal_tokens: usize,
    /// The largest difference of a logit.
    pub largest_difference: f32,
    /// Root of the mean square of the differences.
    pub usual_difference: f32,
    /// The same of the first decoder's logits around their mean: what differences are to be held against.
    pub spread: f32,
}

/// `41 of 48 tokens are the same; logits differ by …`
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, equal_tokens, largest_difference, usual_difference, spread, .. } = self;
        write!(
            f,
            "{equal_tokens} of {steps} tokens are the same beside the original; logits differ by {usual_difference:.3} \
             (root of the mean square), {largest_difference:.3} at most, and spread by {spread:.3}"
        )
    }
}

/// Why two decoders were not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One of them cannot be opened, or does not fit into memory.
    #[error(transparent)]
    Open(#[from] OpenModelError),
    /// One of them cannot be run.
    #[error(transparent)]
    Run(#[from] ForwardFailure),
    /// The question cannot be put to them.
    #[error("the question cannot be put to it: {0}")]
    Question(String),
}

impl CompareError {
    /// Whether someone ended it.
    #[must_use]
    pub fn was_ended(&self) -> bool {
        matches!(self, Self::Run(ForwardFailure::Interrupted(_)))
    }
}

/// Runs both decoders, one after the other, each as its folder says (prepared or as published): the first chooses the
/// words, and the second is shown the same ones.
///
/// # Errors
/// [`CompareError`].
pub fn compare(
    runtime: &Runtime,
    [one, other]: [&ModelFolder; 2],
    settings: &SessionSettings,
    check_memory: bool,
    interrupt: &Interrupt,
) -> Result<Comparison, CompareError> {
    let prompt = question(one)?;
    let mut first = Run { answer: Vec::new(), logits: Vec::new() };
    let stops = one.generation.stops();
    let mut decoder = open(runtime, one, settings, prompt.len(), check_memory)?;
    let mut next = prompt.clone();
    while first.answer.len() < STEPS {
        let row = step(&mut decoder, &next, interrupt)?;
        let Some(token) = likeliest(&row) else { break };
        first.answer.push(token);
        first.logits.push(row);
        if stops.contains(&token) {
            break;
        }
        next = vec![token];
    }
    drop(decoder);
    let mut decoder = open(runtime, other, settings, prompt.len(), check_memory)?;
    let mut next = prompt.clone();
    let mut sums = Sums::default();
    for (token, logits) in first.answer.iter().zip(&first.logits) {
        sums.take(logits, &step(&mut decoder, &next, interrupt)?, *token);
        next = vec![*token];
    }
    Ok(sums.comparison(prompt.len(), first.answer.len()))
}

/// What the first decoder says.
struct Run {
    answer: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

fn question(folder: &ModelFolder) -> Result<Vec<u32>, CompareError> {
    let failed = |error: &dyn fmt::Display| CompareError::Question(error.to_string());
    let vocabulary = Arc::new(Vocabulary::open(&folder.tokenizer()).map_err(|error| failed(&error))?);
    let format = Gemma4::open(&folder.path, vocabulary).map_err(|error| failed(&error))?;
    let prompt = Prompt {
        system: "".into(),
        offer: Arc::new(Offer::default()),
        messages: vec![Message::words(QUESTION)],
        thinking: Thinking::default(),
    };
    format.render(&prompt, &[]).map_err(|error| failed(&error))
}

fn open(
    runtime: &Runtime,
    folder: &ModelFolder,
    settings: &SessionSettings,
    prompt: usize,
    check_memory: bool,
) -> Result<OrtDecoder, CompareError> {
    let context_tokens = prompt + STEPS + 1;
    if check_memory && let Some(free) = usable_memory() {
        let needs = Needs::read(folder)?.with_kernels(settings.wanted_kernels());
        needs.admit(Extent { context_tokens, slots: 1, chunk_tokens: prompt }, free)?;
    }
    Ok(OrtDecoder::open(runtime, folder, settings, 1, context_tokens)?)
}

/// The logits after these tokens.
fn step(decoder: &mut OrtDecoder, tokens: &[u32], interrupt: &Interrupt) -> Result<Vec<f32>, CompareError> {
    if let Some(ended) = interrupt.ended() {
        return Err(ForwardFailure::Interrupted(ended).into());
    }
    let logits = decoder.forward(Slot(0), tokens, Keep::Last(1), interrupt)?;
    let row = logits.rows().next_back().map(<[f32]>::to_vec);
    row.ok_or_else(|| ForwardFailure::Failed("it gave no logits".to_owned()).into())
}

/// None where no logit is a number.
fn likeliest(row: &[f32]) -> Option<u32> {
    let numbers = (0_u32..).zip(row).filter(|(_, logit)| !logit.is_nan());
    numbers.reduce(|most, one| if one.1 > most.1 { one } else { most }).map(|(token, _)| token)
}

/// What is gathered over all steps.
#[derive(Debug, Default)]
struct Sums {
    equal: usize,
    largest: f32,
    /// Squares of differences.
    differences: f64,
    /// Squares of the first decoder's logits around their mean.
    spread: f64,
    logits: f64,
}

impl Sums {
    fn take(&mut self, one: &[f32], other: &[f32], token: u32) {
        self.equal += usize::from(likeliest(other) == Some(token));
        let mean = one.iter().copied().map(f64::from).sum::<f64>() / wide(one.len()).max(1.0);
        for (one, other) in one.iter().zip(other) {
            let difference = (one - other).abs();
            self.largest = self.largest.max(difference);
            self.differences += f64::from(difference).powi(2);
            self.spread += (f64::from(*one) - mean).powi(2);
        }
        self.logits += wide(one.len());
    }

    fn comparison(&self, prompt_tokens: usize, steps: usize) -> Comparison {
        Comparison {
            prompt_tokens,
            steps,
            equal_tokens: self.equal,
            largest_difference: self.largest,
            usual_difference: root(self.differences / self.logits.max(1.0)),
            spread: root(self.spread / self.logits.max(1.0)),
        }
    }
}

fn wide(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[expect(clippy::cast_possible_truncation, reason = "it is told with three digits")]
fn root(square: f64) -> f32 {
    square.sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn differences_are_held_against_the_spread() {
        let mut sums = Sums::default();
        sums.take(&[1.0, -1.0, 1.0, -1.0], &[1.0, -1.0, 1.5, -1.0], 0);
        sums.take(&[1.0, -1.0, 1.0, -1.0], &[1.0, -1.0, 1.0, -1.0], 0);
        assert_snapshot!(
            sums.comparison(9, 2),
            @"1 of 2 tokens are the same beside the original; logits differ by 0.177 (root of the mean square), 0.500 at most, and spread by 1.000"
        );
        assert_eq!(likeliest(&[f32::NAN, 1.0, 2.0, 2.0]), Some(2));
        assert_eq!(likeliest(&[f32::NAN]), None);
    }
}
