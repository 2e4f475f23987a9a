//! Other rates, brought to 16 kHz.

use super::sound::{RATE, ReadSoundError};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Samples that are worked on at once, at the rate they come in.
const CHUNK: usize = 1024;

/// One channel at 16 kHz, as long as it was before. What 16 kHz cannot carry is filtered out.
///
/// # Errors
/// [`ReadSoundError::Resample`] when the resampler would not.
pub(crate) fn to_16_khz(samples: Vec<f32>, rate: u32) -> Result<Vec<f32>, ReadSoundError> {
    if rate == RATE {
        return Ok(samples);
    }
    let reason = |reason: String| ReadSoundError::Resample { rate, reason };
    let mut resampler = Fft::<f32>::new(rate as usize, RATE as usize, CHUNK, 1, FixedSync::Both)
        .map_err(|error| reason(error.to_string()))?;
    let length = samples.len();
    let input = InterleavedSlice::new(&samples, 1, length).map_err(|error| reason(error.to_string()))?;
    let output = resampler.process_all(&input, length, None).map_err(|error| reason(error.to_string()))?;
    Ok(output.take_data())
}
