//! One frame: a window of samples, its spectrum, its bands.

use super::BANDS;
use super::filters::{Filter, filters};
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// Samples in a window: 20 ms.
pub(super) const WINDOW: usize = 320;
/// Samples from one frame to the next: 10 ms.
pub(super) const HOP: usize = 160;
/// Samples of the transform: the window, filled up with zeros.
const TRANSFORM: usize = 512;
/// Bins of its spectrum.
pub(super) const BINS: usize = TRANSFORM / 2 + 1;
/// Added before the logarithm is taken, `mel_floor`.
const FLOOR: f64 = 1e-3;

/// All that is computed once, and what a frame is computed in.
pub(super) struct Analysis {
    transform: Arc<dyn RealToComplex<f64>>,
    window: Vec<f32>,
    filters: Vec<Filter>,
    samples: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl std::fmt::Debug for Analysis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Analysis").finish_non_exhaustive()
    }
}

impl Analysis {
    pub(super) fn new() -> Self {
        let transform = RealFftPlanner::new().plan_fft_forward(TRANSFORM);
        Self {
            window: hann(),
            filters: filters(),
            samples: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
        }
    }

    /// The logarithms of the bands of [`WINDOW`] samples.
    pub(super) fn frame(&mut self, samples: &[f32]) -> [f32; BANDS] {
        // Windowed in f32 and transformed in f64, as NumPy does with what it is given.
        let windowed = samples.iter().zip(&self.window).map(|(sample, weight)| f64::from(sample * weight));
        // The transform uses its input up.
        let filled = windowed.chain(std::iter::repeat(0.0));
        self.samples.iter_mut().zip(filled).for_each(|(place, sample)| *place = sample);
        let done = self.transform.process_with_scratch(&mut self.samples, &mut self.spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the vectors are the transform's own");
        let mut magnitudes = [0.0; BINS];
        magnitudes.iter_mut().zip(&self.spectrum).for_each(|(place, bin)| *place = bin.norm());
        let mut bands = [0.0; BANDS];
        bands.iter_mut().zip(&self.filters).for_each(|(place, filter)| *place = logarithm(filter.of(&magnitudes)));
        bands
    }
}

/// A periodic Hann window.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "320 numbers, rounded to f32 as meant"
)]
fn hann() -> Vec<f32> {
    let turn = |at: usize| std::f64::consts::TAU * at as f64 / WINDOW as f64;
    (0..WINDOW).map(|at| (0.5 - 0.5 * turn(at).cos()) as f32).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is meant")]
fn logarithm(band: f64) -> f32 {
    (band + FLOOR).ln() as f32
}
