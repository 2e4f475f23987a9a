//! Rows added to what they were made of, each brought to one length before.

use crate::instructions::{Instructions, Work};
use crate::lanes::{LANES, Lanes};
use crate::number::Number;

/// The root mean square of a row brought to one, and then each number to its weight (Zhang and Sennrich 2019,
/// arXiv:1910.07467).
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a, N> {
    /// A weight for each number of a row.
    pub weights: &'a [N],
    /// Added to the mean of the squares.
    pub epsilon: f32,
}

/// `sum = (stream + norm(branch)) × factor`, and `next(sum)` where the layer that follows begins with a norm.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a, N> {
    /// Of what is added.
    pub norm: Norm<'a, N>,
    /// What the sum is multiplied with; mostly one.
    pub factor: f32,
    /// Of the sum.
    pub next: Option<Norm<'a, N>>,
}

impl<N: Number> Residual<'_, N> {
    /// Does it to one row; all are as long as the weights, and `normed` is looked at only where there is a next norm.
    ///
    /// The norm of the branch is rounded before it is added, as it is where both are operators of their own; the sum is
    /// rounded at its end.
    ///
    /// # Panics
    /// Where one of them has another length.
    pub fn row(&self, stream: &[N], branch: &[N], sum: &mut [N], normed: &mut [N], instructions: Instructions) {
        let width = self.norm.weights.len();
        assert!([stream.len(), branch.len(), sum.len()] == [width; 3], "rows of another length than their norm");
        let mut rows = vec![0.0; width * 2];
        let (wide, other) = rows.split_at_mut(width);
        N::widen(branch, wide, instructions);
        self.norm.apply(wide, other, instructions);
        N::round(wide, sum, instructions);
        N::widen(sum, wide, instructions);
        N::widen(stream, other, instructions);
        add(wide, other, self.factor, instructions);
        N::round(wide, sum, instructions);
        if let Some(next) = &self.next {
            assert!([next.weights.len(), normed.len()] == [width; 2], "rows of another length than their norm");
            N::widen(sum, wide, instructions);
            next.apply(wide, other, instructions);
            N::round(wide, normed, instructions);
        }
    }
}

impl<N: Number> Norm<'_, N> {
    /// In place; the weights are widened into `weights`.
    fn apply(&self, row: &mut [f32], weights: &mut [f32], instructions: Instructions) {
        N::widen(self.weights, weights, instructions);
        self.apply_wide(row, weights, instructions);
    }

    /// In place, with weights that are wide already.
    pub(crate) fn apply_wide(&self, row: &mut [f32], weights: &[f32], instructions: Instructions) {
        normalize(row, weights, self.epsilon, instructions);
    }
}

fn normalize(row: &mut [f32], weights: &[f32], epsilon: f32, instructions: Instructions) {
    instructions.run(Apply { row, weights, epsilon });
}

fn add(wide: &mut [f32], other: &[f32], factor: f32, instructions: Instructions) {
    instructions.run(Sum { wide, other, factor });
}

struct Apply<'a> {
    row: &'a mut [f32],
    weights: &'a [f32],
    epsilon: f32,
}

impl Work for Apply<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (whole, rest) = self.row.as_chunks::<LANES>();
        let mut squares = [0.0_f32; LANES];
        for some in whole {
            for (square, number) in squares.iter_mut().zip(some) {
                *square = number.mul_add(*number, *square);
            }
        }
        let squares = squares.iter().sum::<f32>() + rest.iter().map(|number| number * number).sum::<f32>();
        #[expect(clippy::cast_precision_loss, reason = "rows have some thousand numbers")]
        let mean = squares / self.row.len() as f32;
        let factor = 1.0 / (mean + self.epsilon).sqrt();
        for (number, weight) in self.row.iter_mut().zip(self.weights) {
            *number = *number * factor * weight;
        }
    }
}

struct Sum<'a> {
    wide: &'a mut [f32],
    other: &'a [f32],
    factor: f32,
}

impl Work for Sum<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (number, other) in self.wide.iter_mut().zip(self.other) {
            *number = (other + *number) * self.factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_its_parts_are() {
        let row = |seed: f32| -> Vec<f32> { (0_u8..100).map(|place| (f32::from(place) * seed).sin()).collect() };
        let (stream, branch, weights, next) = (row(0.3), row(0.7), row(1.1), row(1.7));
        let norm = |row: &[f64], weights: &[f32], epsilon: f64| -> Vec<f64> {
            let mean = row.iter().map(|number| number * number).sum::<f64>() / 100.0;
            row.iter()
                .zip(weights)
                .map(|(number, weight)| number / (mean + epsilon).sqrt() * f64::from(*weight))
                .collect()
        };
        let double = |row: &[f32]| -> Vec<f64> { row.iter().map(|number| f64::from(*number)).collect() };
        let added = norm(&double(&branch), &weights, 1e-6);
        let exact: Vec<f64> = double(&stream).iter().zip(added).map(|(one, other)| (one + other) * 0.5).collect();
        let exact_next = norm(&exact, &next, 1e-5);
        let residual = Residual {
            norm: Norm { weights: &weights, epsilon: 1e-6 },
            factor: 0.5,
            next: Some(Norm { weights: &next, epsilon: 1e-5 }),
        };
        for instructions in Instructions::here() {
            let (mut sum, mut normed) = (vec![0.0; 100], vec![0.0; 100]);
            residual.row(&stream, &branch, &mut sum, &mut normed, instructions);
            let close = |found: &[f32], exact: &[f64]| {
                found.iter().zip(exact).all(|(found, exact)| (f64::from(*found) - exact).abs() < 1e-6)
            };
            assert!(close(&sum, &exact) && close(&normed, &exact_next), "{instructions}");
        }
    }
}
