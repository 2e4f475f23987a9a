//! From a row of logits to a token: what the grammar leaves, what the settings leave of that, and a choice among it.

use hob_events::Confidence;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How the next token is chosen. The default takes the likeliest: for actions, leave it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sampling {
    /// Zero takes the likeliest; higher is bolder.
    pub temperature: f32,
    /// Only the likeliest so many; zero for all.
    pub top_k: usize,
    /// Only the likeliest that make up this share together; zero for all.
    pub top_p: f32,
    /// Only those with at least this share of the likeliest's probability; zero for all.
    pub min_p: f32,
    /// The same seed gives the same choices.
    pub seed: u64,
}

impl Sampling {
    /// Whether the likeliest is taken each time, so that the same prompt gives the same answer.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.temperature.is_nan()
    }
}

/// A chosen token, and how sure the model was of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Of the raw distribution: the share that was allowed, and the token's share of that.
    pub sureness: Confidence,
}

/// Chooses tokens for one generation.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: SmallRng,
}

impl Sampler {
    /// Whether it takes the likeliest each time.
    pub(crate) fn is_greedy(&self) -> bool {
        self.sampling.is_greedy()
    }

    /// A sampler at the beginning of its seed.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, random: SmallRng::seed_from_u64(sampling.seed) }
    }

    /// Chooses among the ids for which `allowed` says yes; nothing when it never does.
    pub fn choose(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) -> Option<Choice> {
        let candidates = || ids(logits).filter(|(id, logit)| logit.is_finite() && allowed(*id));
        let (best, _) = candidates().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        let token = if self.sampling.is_greedy() { best } else { self.draw(candidates().collect()) };
        Some(Choice { token, sureness: sureness(logits, token, &allowed) })
    }

    /// Draws one of the candidates, of which there is at least one.
    fn draw(&mut self, mut candidates: Vec<(u32, f32)>) -> u32 {
        candidates.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        if self.sampling.top_k > 0 {
            candidates.truncate(self.sampling.top_k);
        }
        let top = candidates.first().map_or(0.0, |(_, logit)| *logit);
        let weight = |logit: f32| ((logit - top) / self.sampling.temperature).exp();
        if self.sampling.min_p > 0.0 {
            candidates.retain(|(_, logit)| weight(*logit) >= self.sampling.min_p);
        }
        let weights: Vec<f32> = candidates.iter().map(|(_, logit)| weight(*logit)).collect();
        let kept = nucleus(&weights, self.sampling.top_p);
        let total: f32 = weights.iter().take(kept).sum();
        let mut left = self.random.random::<f32>() * total;
        let drawn = candidates.iter().zip(&weights).take(kept).find(|(_, weight)| {
            left -= **weight;
            left < 0.0
        });
        // Rounding can leave a crumb behind the last one: the likeliest takes it.
        drawn.map(|(candidate, _)| candidate).or(candidates.first()).map_or(0, |(id, _)| *id)
    }
}

/// How many of the falling weights make up the share `top_p`; at least one of them.
fn nucleus(weights: &[f32], top_p: f32) -> usize {
    if top_p <= 0.0 || top_p >= 1.0 {
        return weights.len();
    }
    let enough = weights.iter().sum::<f32>() * top_p;
    let mut sum = 0.0;
    let before = weights.iter().take_while(|weight| {
        let goes_on = sum < enough;
        sum += **weight;
        goes_on
    });
    before.count().max(1)
}

/// How sure the model was of a token: the share of its raw distribution that was allowed, and the token's share of that.
pub fn sureness(logits: &[f32], token: u32, allowed: impl Fn(u32) -> bool) -> Confidence {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mass = |logit: f32| f64::from((logit - top).exp());
    let (mut whole, mut kept, mut winner) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (id, logit) in ids(logits) {
        let mass = mass(logit);
        whole += mass;
        if allowed(id) {
            kept += mass;
        }
        if id == token {
            winner = mass;
        }
    }
    let share = |part: f64, of: f64| if of > 0.0 { narrow(part / of) } else { 0.0 };
    Confidence { kept: share(kept, whole), winner: share(winner, kept) }
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1: single precision is more than enough")]
fn narrow(share: f64) -> f32 {
    share as f32
}

fn ids(logits: &[f32]) -> impl Iterator<Item = (u32, f32)> {
    (0_u32..).zip(logits.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampling() -> impl Strategy<Value = Sampling> {
        (0.0_f32..2.0, 0_usize..6, 0.0_f32..1.0, 0.0_f32..1.0, any::<u64>())
            .prop_map(|(temperature, top_k, top_p, min_p, seed)| Sampling { temperature, top_k, top_p, min_p, seed })
    }

    proptest! {
        #[test]
        fn the_choice_is_allowed_and_within_the_support(
            logits in proptest::collection::vec(-9.0_f32..9.0, 1..40),
            gap in 1_u32..5,
            sampling in sampling(),
        ) {
            let allowed = |id: u32| id.is_multiple_of(gap);
            let choice = Sampler::new(sampling).choose(&logits, allowed).unwrap();
            prop_assert!(allowed(choice.token));
            let logit = |id: u32| logits[usize::try_from(id).unwrap()];
            let better = (0..).take(logits.len()).filter(|id| allowed(*id) && logit(*id) > logit(choice.token)).count();
            if sampling.top_k > 0 {
                prop_assert!(better < sampling.top_k);
            }
            if sampling.temperature == 0.0 {
                prop_assert_eq!(better, 0);
            }
            prop_assert!((0.0..=1.0001).contains(&choice.sureness.kept) && choice.sureness.winner <= 1.0001);
        }

        #[test]
        fn the_same_seed_gives_the_same_choices(
            logits in proptest::collection::vec(-3.0_f32..3.0, 2..20),
            sampling in sampling(),
        ) {
            let run = || {
                let mut sampler = Sampler::new(sampling);
                (0..8).map(|_| sampler.choose(&logits, |_| true).unwrap().token).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(), run());
        }
    }

    #[test]
    fn nothing_allowed_is_nothing_chosen() {
        assert_eq!(Sampler::new(Sampling::default()).choose(&[1.0, 2.0], |_| false), None);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[f32::NAN], |_| true), None);
    }

    #[test]
    fn sureness_is_what_the_grammar_left_and_the_winners_share_of_it() {
        let logits = [0.5_f32, 0.25, 0.125, 0.125].map(f32::ln);
        let choice = Sampler::new(Sampling::default()).choose(&logits, |id| id >= 1).unwrap();
        assert_eq!(choice.token, 1);
        assert!((choice.sureness.kept - 0.5).abs() < 1e-6 && (choice.sureness.winner - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_nucleus_holds_the_likeliest_that_make_up_the_share() {
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 0.5), 1);
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 0.51), 2);
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 0.0), 3);
    }
}
