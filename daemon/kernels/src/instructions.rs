//! Which instructions this processor has.

use crate::form::PANEL;
use crate::lanes::{LANES, Lanes};
use crate::matrix::Panel;
#[cfg(target_arch = "aarch64")]
use crate::neon;
use crate::portable;
use crate::rounded::RoundedRow;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};
use half::f16;
use half::slice::HalfFloatSliceExt;
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::float32x4_t;
use std::fmt;

/// A set of instructions that this processor has: no other value can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Instructions {
    /// Those that multiply fastest here.
    #[must_use]
    pub fn best() -> Self {
        Self::here().next().unwrap_or(Self(Set::Portable))
    }

    /// All that there are here, the fastest first. What every processor has comes last.
    pub fn here() -> impl Iterator<Item = Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            sets.extend((avx512 && avx2).then_some(Set::Avx512Vnni));
            sets.extend(avx2.then_some(Set::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        {
            let neon = std::arch::is_aarch64_feature_detected!("neon");
            sets.extend((neon && std::arch::is_aarch64_feature_detected!("dotprod")).then_some(Set::NeonDot));
            sets.extend(neon.then_some(Set::Neon));
        }
        sets.push(Set::Portable);
        sets.into_iter().map(Self)
    }

    /// Most rows of activations that a panel is multiplied with at a time.
    pub(crate) fn rows_at_once(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => 8,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => 4,
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot | Set::Neon => 4,
            Set::Portable => 1,
        }
    }

    /// Multiplies a panel with some rows.
    #[inline]
    pub(crate) fn multiply<const ROWS: usize>(
        self,
        panel: &Panel<'_>,
        rows: [&RoundedRow; ROWS],
        out: &mut [[f32; PANEL]; ROWS],
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of this kind is made only where the processor has these instructions.
            Set::Avx512Vnni => unsafe { avx512::multiply(panel, rows, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::multiply(panel, rows, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::NeonDot => unsafe { neon::multiply_dot(panel, rows, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::Neon => unsafe { neon::multiply(panel, rows, out) },
            Set::Portable => portable::multiply(panel, rows, out),
        }
    }

    /// Takes as many halves to single precision as both have places for.
    pub(crate) fn widen(self, from: &[f16], to: &mut [f32]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of this kind is made only where the processor has these instructions.
            Set::Avx512Vnni => unsafe { avx512::widen(from, to) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::widen(from, to) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::NeonDot | Set::Neon => unsafe { neon::widen(from, to) },
            Set::Portable => from.convert_to_f32_slice(to),
        }
    }

    /// Rounds as many numbers to halves as both have places for.
    pub(crate) fn round(self, from: &[f32], to: &mut [f16]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of this kind is made only where the processor has these instructions.
            Set::Avx512Vnni => unsafe { avx512::round(from, to) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::round(from, to) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::NeonDot | Set::Neon => unsafe { neon::round(from, to) },
            Set::Portable => to.convert_from_f32_slice(from),
        }
    }

    /// Does something in these instructions.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Out {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of this kind is made only where the processor has these instructions.
            Set::Avx512Vnni => unsafe { avx512::run(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::run(work) },
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot | Set::Neon => work.run::<[float32x4_t; 4]>(),
            Set::Portable => work.run::<[f32; LANES]>(),
        }
    }
}

/// Plain words that a compiler makes vector instructions of, or, where it would not, sixteen [lanes](Lanes) at a time. `run`
/// has to be inlined wherever it is called, so that it is compiled for the instructions there.
pub(crate) trait Work {
    type Out;

    fn run<L: Lanes>(self) -> Self::Out;
}

/// `AVX-512 VNNI`
impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot => "NEON with dot products",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "NEON",
            Set::Portable => "no vector instructions that hob knows",
        })
    }
}
