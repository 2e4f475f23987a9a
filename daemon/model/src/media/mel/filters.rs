//! The mel filters: triangles over the bins of the spectrum, evenly apart on HTK's mel scale.

use super::BANDS;
use super::frame::BINS;

/// The highest frequency in hertz: half of 16 kHz.
const HIGHEST: f64 = 8_000.0;

/// One triangle: the bins that it weighs, from `first` on. The narrow ones at the bottom may weigh none.
#[derive(Debug)]
pub(super) struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl Filter {
    /// The weighted sum of a spectrum of [`BINS`].
    pub(super) fn of(&self, spectrum: &[f64; BINS]) -> f64 {
        spectrum[self.first..].iter().zip(&self.weights).map(|(bin, weight)| bin * weight).sum()
    }
}

/// All of them, from 0 to 8 kHz.
pub(super) fn filters() -> Vec<Filter> {
    let edges = edges();
    edges.windows(3).map(triangle).collect()
}

/// Where triangles begin, peak and end, in hertz: each peak is where the next one begins.
fn edges() -> Vec<f64> {
    let highest = mel(HIGHEST);
    let steps = BANDS + 1;
    (0..=steps).map(|step| hertz(highest * number(step) / number(steps))).collect()
}

fn triangle(edges: &[f64]) -> Filter {
    let (low, peak, high) = (edges[0], edges[1], edges[2]);
    let weight = |bin: usize| {
        let frequency = HIGHEST * number(bin) / number(BINS - 1);
        ((frequency - low) / (peak - low)).min((high - frequency) / (high - peak)).max(0.0)
    };
    let weights: Vec<f64> = (0..BINS).map(weight).collect();
    let first = weights.iter().position(|weight| *weight > 0.0).unwrap_or(0);
    let after = weights.iter().rposition(|weight| *weight > 0.0).map_or(0, |last| last + 1);
    Filter { first, weights: weights[first..after.max(first)].to_vec() }
}

/// HTK's mel scale.
fn mel(hertz: f64) -> f64 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

fn hertz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn number(count: usize) -> f64 {
    count as f64
}
