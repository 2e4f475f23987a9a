//! The wake phrase as one household says it.
//!
//! A logistic regression that begins at the shipped classifier: the score is `σ(logit + w·x + b)`, where `logit` is the shipped
//! one's and `x` the 16 vectors it looked at, each brought to mean 0 and deviation 1, all together to length 1. `w` and `b` are
//! fitted to recordings, with a penalty on `w`: few recordings move it only as far as they have to. Other people's talk is not
//! among the recordings, so what the shipped classifier is sure is not the phrase stays none.

use super::{VECTORS, WIDTH, Window};
use serde::{Deserialize, Serialize};

/// Numbers of a window.
const SIZE: usize = VECTORS * WIDTH;

/// How much `w` is held back, beside a mean loss.
const PENALTY: f32 = 0.003;

/// Steps of gradient descent: each goes against the slope with `RATE`, and keeps `MOMENTUM` of the step before.
const STEPS: u32 = 200;
const RATE: f32 = 0.5;
const MOMENTUM: f32 = 0.9;

/// Where the shipped classifier gives less, 5 %, a voice cannot make more of it.
const LEAST: f32 = -2.94;

/// The shipped classifier is never surer than this, as a logit: more could not be moved.
const SUREST: f32 = 12.0;

/// What recordings taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Voice {
    weights: Vec<f32>,
    bias: f32,
    /// Recordings of the phrase that it was fitted to.
    pub phrases: usize,
    /// Seconds of other sound.
    pub other_s: u64,
}

/// As it lies in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    weights: Vec<f32>,
    bias: f32,
    phrases: usize,
    other_s: u64,
}

impl TryFrom<Stored> for Voice {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { weights, bias, phrases, other_s } = stored;
        if weights.len() != SIZE {
            return Err(format!("a voice has {SIZE} weights, here are {}", weights.len()));
        }
        if !weights.iter().chain([&bias]).all(|number| number.is_finite()) {
            return Err("a weight is no number".to_owned());
        }
        Ok(Self { weights, bias, phrases, other_s })
    }
}

/// A window as the regression looks at it.
#[derive(Debug, Clone)]
pub struct Example {
    /// Of length 1.
    features: Vec<f32>,
    logit: f32,
}

impl From<&Window> for Example {
    fn from(window: &Window) -> Self {
        let features: Vec<f32> = window.vectors.chunks_exact(WIDTH).flat_map(standard).collect();
        let length = dot(&features, &features).sqrt().max(f32::MIN_POSITIVE);
        let share = window.score.clamp(f32::EPSILON, 1.0 - f32::EPSILON);
        Self {
            features: features.iter().map(|number| number / length).collect(),
            logit: (share / (1.0 - share)).ln().clamp(-SUREST, SUREST),
        }
    }
}

impl Voice {
    /// Fits one to windows that end with the phrase and windows that do not. Both kinds count alike, however many there are.
    #[must_use]
    pub fn fit(with: &[Example], without: &[Example]) -> Self {
        let mut voice = Self { weights: vec![0.0; SIZE], bias: 0.0, phrases: 0, other_s: 0 };
        let mut step = vec![0.0; SIZE + 1];
        for _ in 0..STEPS {
            let slope = voice.slope(with, without);
            for (step, slope) in step.iter_mut().zip(slope) {
                *step = MOMENTUM * *step - RATE * slope;
            }
            let numbers = voice.weights.iter_mut().chain([&mut voice.bias]);
            for (number, step) in numbers.zip(&step) {
                *number += step;
            }
        }
        voice
    }

    /// The slope of the penalised mean loss, for each weight and last for the bias.
    fn slope(&self, with: &[Example], without: &[Example]) -> Vec<f32> {
        let mut slope: Vec<f32> = self.weights.iter().map(|weight| PENALTY * weight).chain([0.0]).collect();
        for (examples, wanted) in [(with, 1.0), (without, 0.0)] {
            #[expect(clippy::cast_precision_loss, reason = "thousands of windows")]
            let part = 0.5 / examples.len().max(1) as f32;
            for example in examples {
                let error = (share(self.logit(example)) - wanted) * part;
                for (slope, feature) in slope.iter_mut().zip(example.features.iter().chain([&1.0])) {
                    *slope += error * feature;
                }
            }
        }
        slope
    }

    /// How much a window sounds like the phrase, from 0 to 1.
    #[must_use]
    pub fn score(&self, example: &Example) -> f32 {
        let logit = self.logit(example);
        share(if example.logit < LEAST { logit.min(example.logit) } else { logit })
    }

    fn logit(&self, example: &Example) -> f32 {
        example.logit + dot(&self.weights, &example.features) + self.bias
    }
}

fn share(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A vector with mean 0 and deviation 1.
fn standard(vector: &[f32]) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "96")]
    let count = vector.len() as f32;
    let mean = vector.iter().sum::<f32>() / count;
    let deviation = (vector.iter().map(|number| (number - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-3);
    vector.iter().map(|number| (number - mean) / deviation).collect()
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window whose vectors rise or fall, and one with a bump of its own.
    fn window(direction: f32, bump: usize, score: f32) -> Window {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let number = |at: usize| direction * (at % WIDTH) as f32 + if at % WIDTH == bump { 40.0 } else { 0.0 };
        Window { vectors: (0..SIZE).map(number).collect(), score }
    }

    fn examples(direction: f32, score: f32) -> Vec<Example> {
        (0..12).map(|bump| Example::from(&window(direction, bump * 7, score))).collect()
    }

    #[test]
    fn a_voice_that_the_shipped_classifier_misses_is_learned() {
        let (with, without) = (examples(1.0, 0.1), examples(-1.0, 0.1));
        let voice = Voice::fit(&with, &without);
        let score = |direction: f32, shipped: f32| voice.score(&Example::from(&window(direction, 90, shipped)));
        assert!(score(1.0, 0.1) > 0.9, "{}", score(1.0, 0.1));
        assert!(score(-1.0, 0.1) < 0.1, "{}", score(-1.0, 0.1));
        assert!(score(1.0, 0.01) <= 0.011, "what is surely something else stays so");
    }

    #[test]
    fn what_the_shipped_classifier_knows_is_hardly_moved() {
        let (with, without) = (examples(1.0, 0.999), examples(-1.0, 0.001));
        let voice = Voice::fit(&with, &without);
        let moved = dot(&voice.weights, &voice.weights).sqrt();
        assert!(moved < 0.5, "{moved}");
    }

    #[test]
    fn a_voice_of_another_size_or_with_no_numbers_is_refused() {
        let fit = Voice::fit(&examples(1.0, 0.5), &examples(-1.0, 0.5));
        let Voice { weights, bias, .. } = fit;
        let stored = |weights: Vec<f32>| Voice::try_from(Stored { weights, bias, phrases: 1, other_s: 1 });
        assert!(stored(weights.clone()).is_ok());
        assert!(stored(weights[1..].to_vec()).is_err_and(|reason| reason.contains("1536 weights")));
        assert!(stored(vec![f32::NAN; SIZE]).is_err());
    }
}
