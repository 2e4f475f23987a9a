//! Other rates, brought to 16 kHz.

use super::sound::{RATE, ReadSoundError};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

/// Samples that are worked on at once, at the rate they come in.
const CHUNK: usize = 1024;

/// Samples that each new one is made of, for a rate up to 16 kHz. Higher rates take as much more of them as they are higher:
/// the filter is as long in time.
const TAPS: u32 = 128;

/// One channel at 16 kHz, as long as it was before. What 16 kHz cannot carry is filtered out. What a second costs does not
/// depend on how odd the rate is.
///
/// # Errors
/// [`ReadSoundError::Resample`] when the resampler would not.
pub(super) fn to_16_khz(samples: Vec<f32>, rate: u32) -> Result<Vec<f32>, ReadSoundError> {
    if rate == RATE {
        return Ok(samples);
    }
    let reason = |reason: String| ReadSoundError::Resample { rate, reason };
    let taps = (TAPS * rate.div_ceil(RATE)) as usize;
    let filter = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris2);
    let ratio = f64::from(RATE) / f64::from(rate);
    let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &filter, CHUNK, 1, FixedAsync::Input)
        .map_err(|error| reason(error.to_string()))?;
    let length = samples.len();
    let input = InterleavedSlice::new(&samples, 1, length).map_err(|error| reason(error.to_string()))?;
    let output = resampler.process_all(&input, length, None).map_err(|error| reason(error.to_string()))?;
    Ok(output.take_data())
}
