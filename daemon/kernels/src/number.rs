//! What activations are kept as.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Activations in single or half precision. Everything is reckoned in single precision.
pub trait Number: Copy + Default + Send + Sync + sealed::Sealed {
    /// Takes them to single precision; both are equally long.
    fn widen(from: &[Self], to: &mut [f32]);

    /// Rounds to them; both are equally long.
    fn round(from: &[f32], to: &mut [Self]);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

impl Number for f32 {
    fn widen(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn round(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Number for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    fn round(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
}
