//! Powers of e, in plain words that become vector instructions.

use crate::rounded::WHOLE;

/// e to the power of x, within three in the last place; what would be too small or too large for a number stays at the
/// smallest or the largest. As 2 to a whole number times a polynomial for the rest (Cody and Waite's reduction, the
/// coefficients of Cephes' `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let whole = x.mul_add(std::f32::consts::LOG2_E, WHOLE);
    let count = whole - WHOLE;
    let rest = count.mul_add(-LN2[1], count.mul_add(-LN2[0], x));
    let coefficients = [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let sum = coefficients.into_iter().fold(1.987_569_1e-4, |sum: f32, next| sum.mul_add(rest, next));
    let power = f32::from_bits((whole.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    sum.mul_add(rest * rest, rest + 1.0) * power
}
