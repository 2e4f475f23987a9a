//! From a row of logits to a token: what the grammar leaves, what the settings leave of that, and a choice among it.

use crate::ids::STRIDE;
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

    /// Chooses among the ids that are `allowed`, which gives a bit for each of the 64 ids from `64 × stride` on, the first in
    /// the lowest; nothing when there are none.
    pub fn choose(&mut self, logits: &[f32], allowed: impl Fn(usize) -> u64) -> Option<Choice> {
        let token = if self.sampling.is_greedy() {
            likeliest(logits, &allowed)?
        } else {
            let candidates: Vec<(u32, f32)> = strides(logits)
                .flat_map(|(stride, first, logits)| {
                    let bits = allowed(stride);
                    let ids =
                        (0..).zip(logits).filter(move |(place, logit)| bits >> place & 1 == 1 && logit.is_finite());
                    ids.map(move |(place, logit)| (first + place, *logit))
                })
                .collect();
            (!candidates.is_empty()).then(|| self.draw(candidates))?
        };
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
            // The likeliest weighs 1, and is always left.
            let least = self.sampling.min_p.min(1.0);
            candidates.retain(|(_, logit)| weight(*logit) >= least);
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

/// The first of the highest that are allowed. Few strides have a logit that is higher than all before them: only those are
/// looked at one by one.
fn likeliest(logits: &[f32], allowed: impl Fn(usize) -> u64) -> Option<u32> {
    let (mut best, mut top) = (None, f32::NEG_INFINITY);
    for (stride, first, logits) in strides(logits) {
        if highest(logits) <= top {
            continue;
        }
        let bits = allowed(stride);
        if bits == 0 {
            continue;
        }
        for (place, logit) in (0..).zip(logits) {
            if *logit > top && logit.is_finite() && bits >> place & 1 == 1 {
                (best, top) = (Some(first + place), *logit);
            }
        }
    }
    best
}

/// Whether there is a logit that is no number.
pub(crate) fn has_no_numbers(logits: &[f32]) -> bool {
    // Not `any`, which would have to stop in the middle.
    logits.chunks(STRIDE).any(|logits| logits.iter().fold(false, |none, logit| none | logit.is_nan()))
}

/// Logits in strides, each with its place and its first id.
fn strides(logits: &[f32]) -> impl Iterator<Item = (usize, u32, &[f32])> {
    logits
        .chunks(STRIDE)
        .enumerate()
        .zip((0..).step_by(STRIDE))
        .map(|((stride, logits), first)| (stride, first, logits))
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
/// What is allowed is told as for [`Sampler::choose`].
pub fn sureness(logits: &[f32], token: u32, allowed: impl Fn(usize) -> u64) -> Confidence {
    let top = logits.chunks(STRIDE).map(highest).fold(f32::NEG_INFINITY, f32::max);
    let (mut whole, mut kept, mut winner) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (stride, first, logits) in strides(logits) {
        let mut masses = [0.0; STRIDE];
        masses.iter_mut().zip(logits).for_each(|(mass, logit)| *mass = exp(logit - top));
        let all = f64::from(sum(&masses));
        whole += all;
        if let Some(mass) = token.checked_sub(first).and_then(|place| masses.get(usize::try_from(place).ok()?)) {
            winner = f64::from(*mass);
        }
        match allowed(stride) {
            u64::MAX => kept += all,
            0 => (),
            bits => {
                for (place, mass) in masses.iter_mut().enumerate() {
                    *mass = if bits >> place & 1 == 1 { *mass } else { 0.0 };
                }
                kept += f64::from(sum(&masses));
            }
        }
    }
    let share = |part: f64, of: f64| if of > 0.0 { narrow(part / of) } else { 0.0 };
    Confidence { kept: share(kept, whole), winner: share(winner, kept) }
}

/// Numbers of a vector register, or of two.
const LANES: usize = 8;

fn highest(numbers: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for numbers in numbers.chunks(LANES) {
        // Not `f32::max`: that one has a NaN to care about, and takes three operations.
        lanes.iter_mut().zip(numbers).for_each(|(lane, number)| *lane = if *number > *lane { *number } else { *lane });
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

fn sum(numbers: &[f32; STRIDE]) -> f32 {
    let mut lanes = [0.0; LANES];
    for numbers in numbers.chunks(LANES) {
        lanes.iter_mut().zip(numbers).for_each(|(lane, number)| *lane += number);
    }
    lanes.iter().sum()
}

/// e to a power that is not above zero, within two units of the last place; what is less than e⁻⁸⁷ counts as that, and so
/// does what is no number. Without branches and calls, so that the compiler does several at once.
///
/// The polynomial is that of the Cephes library's `expf` (S. L. Moshier).
fn exp(power: f32) -> f32 {
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const POLYNOMIAL: [f32; 6] = [1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    /// Added to a small number, its whole part and the exponent's bias stand in the lowest bits.
    const WHOLE: f32 = 12_582_912.0 + 127.0;
    let power = if power > -87.0 { power } else { -87.0 };
    let shifted = power * std::f32::consts::LOG2_E + WHOLE;
    let twos = shifted - WHOLE;
    let rest = power - twos * LN_2[0] - twos * LN_2[1];
    let sum = POLYNOMIAL.iter().fold(0.0, |sum, factor| sum * rest + factor);
    (sum * rest * rest + rest + 1.0) * f32::from_bits(shifted.to_bits() << 23)
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1: single precision is more than enough")]
fn narrow(share: f64) -> f32 {
    share as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bit for each of those ids that something is true of.
    fn those(of: impl Fn(u32) -> bool) -> impl Fn(usize) -> u64 {
        move |stride| {
            let first = u32::try_from(stride * STRIDE).unwrap();
            (0..64).filter(|place| of(first + place)).fold(0, |bits, place| bits | 1 << place)
        }
    }

    fn sampling() -> impl Strategy<Value = Sampling> {
        (0.0_f32..2.0, 0_usize..6, 0.0_f32..1.5, 0.0_f32..1.5, any::<u64>())
            .prop_map(|(temperature, top_k, top_p, min_p, seed)| Sampling { temperature, top_k, top_p, min_p, seed })
    }

    proptest! {
        #[test]
        fn the_choice_is_allowed_and_within_the_support(
            logits in proptest::collection::vec(-9.0_f32..9.0, 1..200),
            gap in 1_u32..5,
            sampling in sampling(),
        ) {
            let allowed = |id: u32| id.is_multiple_of(gap);
            let choice = Sampler::new(sampling).choose(&logits, those(allowed)).unwrap();
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
                (0..8).map(|_| sampler.choose(&logits, those(|_| true)).unwrap().token).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(), run());
        }
    }

    proptest! {
        #[test]
        fn the_likeliest_is_the_first_of_the_highest_that_are_allowed(
            logits in proptest::collection::vec(
                prop_oneof![
                    8 => (-4_i8..5).prop_map(f32::from),
                    1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
                ],
                1..300,
            ),
            forbidden in proptest::collection::btree_set(0_u32..300, 0..200),
        ) {
            let allowed = |id: u32| !forbidden.contains(&id);
            let ids = (0..).zip(&logits).filter(|(id, logit)| allowed(*id) && logit.is_finite());
            let expected = ids.fold(None, |best: Option<(u32, f32)>, (id, logit)| match best {
                Some((_, top)) if top >= *logit => best,
                Some(_) | None => Some((id, *logit)),
            });
            prop_assert_eq!(likeliest(&logits, those(allowed)), expected.map(|(id, _)| id));
            prop_assert_eq!(has_no_numbers(&logits), logits.iter().any(|logit| logit.is_nan()));
        }

        #[test]
        fn powers_of_e_are_those_of_the_library(power in -86.9_f32..=0.0) {
            let (seen, wanted) = (f64::from(exp(power)), f64::from(power).exp());
            prop_assert!((seen / wanted - 1.0).abs() < 3e-7, "{seen} {wanted}");
        }

        #[test]
        fn many_at_once_are_as_sure_as_one_after_the_other(
            logits in proptest::collection::vec(-30.0_f32..30.0, 1..300),
            gap in 1_u32..5,
        ) {
            let whole: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let kept: f64 = logits.iter().step_by(usize::try_from(gap).unwrap()).map(|logit| f64::from(*logit).exp()).sum();
            let seen = sureness(&logits, 0, those(move |id| id.is_multiple_of(gap)));
            prop_assert!((f64::from(seen.kept) - kept / whole).abs() < 1e-5);
            prop_assert!((f64::from(seen.winner) - f64::from(logits[0]).exp() / kept).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_no_number_weighs_nothing() {
        let seen = sureness(&[1.0, f32::NAN, f32::NEG_INFINITY], 0, those(|_| true));
        assert_eq!((seen.kept, seen.winner), (1.0, 1.0));
    }

    #[test]
    fn nothing_allowed_is_nothing_chosen() {
        assert_eq!(Sampler::new(Sampling::default()).choose(&[1.0, 2.0], those(|_| false)), None);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[f32::NAN], those(|_| true)), None);
    }

    #[test]
    fn sureness_is_what_the_grammar_left_and_the_winners_share_of_it() {
        let logits = [0.5_f32, 0.25, 0.125, 0.125].map(f32::ln);
        let choice = Sampler::new(Sampling::default()).choose(&logits, those(|id| id >= 1)).unwrap();
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
