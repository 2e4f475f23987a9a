//! Activations in 8 bits.

use crate::form::Form;
use crate::instructions::{Instructions, Work};
use crate::lanes::Lanes;
use crate::number::Number;

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
    /// Rounds a row, `block` activations at a time, of at most [`Form::LONGEST_BLOCK`]: the largest of them becomes 127, and
    /// the rest go to the nearest number, halves to the even one. A block with a number that is none, or without end, has a
    /// scale that is none either, so that it is seen in what comes out.
    #[must_use]
    pub fn new<N: Number>(row: &[N], block: usize, instructions: Instructions) -> Self {
        let blocks = row.len().div_ceil(block);
        let mut rounded = Self { numbers: vec![0; blocks * block], scales: vec![0.0; blocks], sums: vec![0; blocks] };
        let numbers = rounded.numbers.chunks_exact_mut(block);
        let places = rounded.scales.iter_mut().zip(&mut rounded.sums);
        let mut wide = [0.0; Form::LONGEST_BLOCK];
        for ((from, to), (scale, sum)) in row.chunks(block).zip(numbers).zip(places) {
            let wide = &mut wide[..from.len()];
            N::widen(from, wide, instructions);
            (*scale, *sum) = round(wide, to, instructions);
        }
        rounded
    }
}

/// Rounds one block; gives what a number is worth, and the sum of the numbers.
fn round(from: &[f32], to: &mut [i8], instructions: Instructions) -> (f32, i32) {
    instructions.run(Round { from, to })
}

struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [i8],
}

/// Added to a number below 2^22, it leaves the nearest whole number in the low bits: halves go to the even one.
pub(crate) const WHOLE: f32 = 12_582_912.0;

impl Work for Round<'_> {
    type Out = (f32, i32);

    #[inline(always)]
    fn run<L: Lanes>(self) -> (f32, i32) {
        // Bits of a number without its sign are in the order of the numbers, and those of none and of one without end above
        // all others.
        let most = self.from.iter().fold(0, |most, number| most.max(number.abs().to_bits()));
        let most = f32::from_bits(most);
        if !most.is_finite() {
            self.to.fill(0);
            return (f32::NAN, 0);
        }
        let scale = most / 127.0;
        // One over anything smaller would be without end.
        let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
        let mut sum = 0;
        for (number, place) in self.from.iter().zip(self.to) {
            let [rounded, ..] = (number * inverse + WHOLE).to_bits().to_le_bytes();
            *place = rounded.cast_signed();
            sum += i32::from(rounded.cast_signed());
        }
        (scale, sum)
    }
}
