//! What activations are kept as.

use crate::instructions::Instructions;
use half::f16;

/// Activations in single or half precision. Everything is reckoned in single precision.
pub trait Number: Copy + Default + Send + Sync + sealed::Sealed {
    /// Takes them to single precision; both are equally long.
    fn widen(from: &[Self], to: &mut [f32], instructions: Instructions);

    /// Rounds to them, halves to the even one; both are equally long.
    fn round(from: &[f32], to: &mut [Self], instructions: Instructions);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

impl Number for f32 {
    fn widen(from: &[Self], to: &mut [f32], _: Instructions) {
        to.copy_from_slice(from);
    }

    fn round(from: &[f32], to: &mut [Self], _: Instructions) {
        to.copy_from_slice(from);
    }
}

impl Number for f16 {
    fn widen(from: &[Self], to: &mut [f32], instructions: Instructions) {
        assert_eq!(from.len(), to.len(), "each has a place");
        instructions.widen(from, to);
    }

    fn round(from: &[f32], to: &mut [Self], instructions: Instructions) {
        assert_eq!(from.len(), to.len(), "each has a place");
        instructions.round(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly_and_comes_back() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for instructions in Instructions::here() {
            // A length that no number of lanes divides.
            for some in all.chunks(1001) {
                let (mut wide, mut back) = (vec![0.0; some.len()], vec![f16::ZERO; some.len()]);
                f16::widen(some, &mut wide, instructions);
                f16::round(&wide, &mut back, instructions);
                for ((half, wide), back) in some.iter().zip(&wide).zip(&back) {
                    let same = half.to_f32().to_bits() == wide.to_bits() && half.to_bits() == back.to_bits();
                    assert!(same || half.is_nan() && wide.is_nan() && back.is_nan(), "{half}: {instructions}");
                }
            }
        }
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest() {
        let wide: Vec<f32> = (0..200_000_u32).map(|step| f32::from_bits(step.wrapping_mul(0x9e37_79b9))).collect();
        for instructions in Instructions::here() {
            let mut halves = vec![f16::ZERO; wide.len()];
            f16::round(&wide, &mut halves, instructions);
            for (wide, half) in wide.iter().zip(halves) {
                let expected = f16::from_f32(*wide);
                assert!(expected == half || expected.is_nan() && half.is_nan(), "{wide}: {instructions}");
            }
        }
    }
}
