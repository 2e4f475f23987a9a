//! Activations in 8 bits.

use crate::instructions::Instructions;

/// One row of activations, a block of them to a scale.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundedRow {
    /// From -127 to 127; the last block is filled up with zeros.
    pub(crate) numbers: Vec<i8>,
    /// What a number of each block is worth.
    pub(crate) scales: Vec<f32>,
    /// The sum of each block's numbers.
    pub(crate) sums: Vec<i32>,
}

impl RoundedRow {
    /// Rounds a row, `block` activations at a time: the largest of them becomes 127, and the rest go to the nearest number,
    /// halves to the even one. A block with a number that is none, or without end, has a scale that is none either,
    /// so that it is seen in what comes out.
    #[must_use]
    pub fn new(row: &[f32], block: usize, instructions: Instructions) -> Self {
        let blocks = row.len().div_ceil(block);
        let mut rounded = Self { numbers: vec![0; blocks * block], scales: vec![0.0; blocks], sums: vec![0; blocks] };
        let numbers = rounded.numbers.chunks_exact_mut(block);
        let places = rounded.scales.iter_mut().zip(&mut rounded.sums);
        for ((from, to), (scale, sum)) in row.chunks(block).zip(numbers).zip(places) {
            (*scale, *sum) = instructions.round(from, to);
        }
        rounded
    }
}

/// What [`Instructions::round`] does, in whatever instructions it is compiled to.
#[inline(always)]
pub(crate) fn round_block(from: &[f32], to: &mut [i8]) -> (f32, i32) {
    // Not `f32::max`, which passes over what is no number.
    let mut most = 0.0_f32;
    let mut finite = true;
    for number in from {
        most = most.max(number.abs());
        finite &= number.is_finite();
    }
    let scale = most / 127.0;
    // One over anything smaller would be without end.
    let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
    let mut sum = 0;
    for (number, place) in from.iter().zip(to) {
        let rounded = (number * inverse).round_ties_even() as i8;
        *place = rounded;
        sum += i32::from(rounded);
    }
    (if finite { scale } else { f32::NAN }, sum)
}
