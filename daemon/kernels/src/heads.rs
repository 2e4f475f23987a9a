//! What queries, keys and values go through before attention: each head brought to one length, and turned by its place.

use crate::instructions::{Instructions, Work};
use crate::lanes::Lanes;
use crate::norm::Norm;
use crate::number::Number;

/// How far the pairs of a head are turned at one place: the first half of it with the second (Su et al. 2021,
/// arXiv:2104.09864). Both have half as many numbers as a head.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a, N> {
    /// A cosine for each pair.
    pub cosines: &'a [N],
    /// A sine for each pair.
    pub sines: &'a [N],
}

impl<N: Number> Norm<'_, N> {
    /// Brings each head of one row to one length, and turns it by the place of its token where it is turned. The weights are
    /// as many as a head has numbers. The norm is rounded before it is turned, as it is where both are operators of their own.
    ///
    /// # Panics
    /// Where a row is no number of heads, or its turn is not that of a head.
    pub fn heads(&self, row: &[N], turn: Option<Turn<'_, N>>, out: &mut [N], instructions: Instructions) {
        let width = self.weights.len();
        assert!(width > 0 && row.len().is_multiple_of(width) && row.len() == out.len(), "a row of {}", row.len());
        let half = width / 2;
        let mut places = vec![0.0; width * 3];
        let (wide, rest) = places.split_at_mut(width);
        let (weights, turns) = rest.split_at_mut(width);
        N::widen(self.weights, weights, instructions);
        if let Some(turn) = turn {
            let fits = width.is_multiple_of(2) && [turn.cosines.len(), turn.sines.len()] == [half; 2];
            assert!(fits, "a turn of {} for heads of {width}", turn.cosines.len());
            N::widen(turn.cosines, &mut turns[..half], instructions);
            N::widen(turn.sines, &mut turns[half..], instructions);
        }
        for (head, out) in row.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            N::widen(head, wide, instructions);
            self.apply_wide(wide, weights, instructions);
            if turn.is_some() {
                N::round(wide, out, instructions);
                N::widen(out, wide, instructions);
                turned(wide, turns, instructions);
            }
            N::round(wide, out, instructions);
        }
    }
}

/// Turns one head in place, by cosines and sines that stand one behind the other.
fn turned(head: &mut [f32], turns: &[f32], instructions: Instructions) {
    instructions.run(Turned { head, turns });
}

struct Turned<'a> {
    head: &'a mut [f32],
    turns: &'a [f32],
}

impl Work for Turned<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let half = self.head.len() / 2;
        let (first, second) = self.head.split_at_mut(half);
        let (cosines, sines) = self.turns.split_at(half);
        for (((first, second), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
            (*first, *second) = (*first * cosine - *second * sine, *second * cosine + *first * sine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_is_brought_to_one_length_and_turned() {
        let row: Vec<f32> = (0_u8..36).map(|place| (f32::from(place) * 0.7).sin()).collect();
        let weights: Vec<f32> = (0_u8..12).map(|place| f32::from(place) / 6.0).collect();
        let (cosines, sines): (Vec<f32>, Vec<f32>) =
            (0_u8..6).map(|pair| (f32::from(pair).cos(), f32::from(pair).sin())).unzip();
        let norm = Norm { weights: &weights, epsilon: 1e-6 };
        let exact: Vec<f64> = row
            .chunks(12)
            .flat_map(|head| {
                let mean = head.iter().map(|one| f64::from(*one).powi(2)).sum::<f64>() / 12.0;
                let normed: Vec<f64> = head
                    .iter()
                    .zip(&weights)
                    .map(|(one, weight)| f64::from(*one) / (mean + 1e-6).sqrt() * f64::from(*weight))
                    .collect();
                let turned = |pair: usize, other: usize, sign: f64| {
                    let (cosine, sine) = (f64::from(cosines[pair % 6]), f64::from(sines[pair % 6]));
                    normed[pair] * cosine + sign * normed[other] * sine
                };
                (0..12)
                    .map(|pair| if pair < 6 { turned(pair, pair + 6, -1.0) } else { turned(pair, pair - 6, 1.0) })
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut all = Vec::new();
        for instructions in Instructions::here() {
            let mut out = vec![0.0; 36];
            norm.heads(&row, Some(Turn { cosines: &cosines, sines: &sines }), &mut out, instructions);
            for (found, exact) in out.iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() < 1e-5, "{found} for {exact}: {instructions}");
            }
            all.push(out);
        }
        assert!(all.iter().all(|out| *out == all[0]));
    }

    #[test]
    fn without_a_turn_it_is_the_norm_alone() {
        let mut out = [0.0_f32; 4];
        let norm = Norm { weights: &[2.0, 2.0], epsilon: 0.0 };
        norm.heads(&[3.0, -3.0, 0.5, 0.5], None, &mut out, Instructions::best());
        assert_eq!(out, [2.0, -2.0, 2.0, 2.0]);
    }
}
