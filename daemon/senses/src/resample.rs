//! Any rate and any number of channels, brought to 16 kHz and one, frame by frame.

use crate::{FRAME, RATE};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

/// Samples that are worked on at once, at the rate they come in.
const CHUNK: usize = 256;

/// Why a stream cannot be brought to 16 kHz.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// No such rate.
    #[error("a microphone with {rate} samples in a second and {channels} channels cannot be listened to: {reason}")]
    Stream {
        /// Samples of each channel in a second.
        rate: u32,
        /// Channels side by side.
        channels: u16,
        /// What is wrong with it.
        reason: String,
    },
}

/// Takes interleaved samples as they come, and gives frames of [`FRAME`].
pub struct Framer {
    rate: u32,
    channels: u16,
    resampler: Option<Async<f32>>,
    /// One channel, at the rate it came in.
    waiting: Vec<f32>,
    /// One channel at 16 kHz, less than a frame after each call.
    ready: Vec<f32>,
}

impl Framer {
    /// For streams of such a rate and so many channels.
    ///
    /// # Errors
    /// [`ResampleError`] for rates and channels that no microphone has.
    pub fn new(rate: u32, channels: u16) -> Result<Self, ResampleError> {
        const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
        const TAPS: usize = 64;
        let wrong = |reason: String| ResampleError::Stream { rate, channels, reason };
        if !RATES.contains(&rate) || channels == 0 {
            return Err(wrong("no microphone has these".to_owned()));
        }
        let ratio = f64::from(RATE) / f64::from(rate);
        // The filter is as long in time whatever the rate.
        let taps = TAPS * rate.div_ceil(RATE) as usize;
        let filter = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris2);
        let resampler = (rate != RATE)
            .then(|| Async::<f32>::new_sinc(ratio, 1.0, &filter, CHUNK, 1, FixedAsync::Input))
            .transpose()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { rate, channels, resampler, waiting: Vec::new(), ready: Vec::new() })
    }

    /// Takes some samples, all channels side by side, and gives the frames that became whole.
    ///
    /// # Errors
    /// [`ResampleError`] when the resampler would not.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Vec<f32>>, ResampleError> {
        let channels = usize::from(self.channels);
        let share = 1.0 / f32::from(self.channels);
        self.waiting.extend(samples.chunks_exact(channels).map(|one| one.iter().sum::<f32>() * share));
        match &mut self.resampler {
            None => self.ready.append(&mut self.waiting),
            Some(resampler) => {
                let (rate, channels) = (self.rate, self.channels);
                let wrong = |reason: String| ResampleError::Stream { rate, channels, reason };
                let whole = self.waiting.len() / CHUNK * CHUNK;
                for chunk in self.waiting[..whole].chunks_exact(CHUNK) {
                    let input = InterleavedSlice::new(chunk, 1, CHUNK).map_err(|error| wrong(error.to_string()))?;
                    let output = resampler.process(&input, None).map_err(|error| wrong(error.to_string()))?;
                    self.ready.extend(output.take_data());
                }
                self.waiting.drain(..whole);
            }
        }
        let whole = self.ready.len() / FRAME * FRAME;
        let frames = self.ready[..whole].chunks_exact(FRAME).map(<[f32]>::to_vec).collect();
        self.ready.drain(..whole);
        Ok(frames)
    }
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framer").field("rate", &self.rate).field("channels", &self.channels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone on all channels, at a rate.
    fn tone(rate: u32, channels: u16, hertz: f32, seconds: u32) -> Vec<f32> {
        let sample = |place: u32| (place as f32 / rate as f32 * hertz * std::f32::consts::TAU).sin() * 0.5;
        (0..rate * seconds).flat_map(|place| vec![sample(place); usize::from(channels)]).collect()
    }

    #[test]
    fn a_tone_stays_a_tone_at_any_rate_and_with_any_channels() {
        for (rate, channels) in [(8_000, 1), (16_000, 1), (16_000, 2), (44_100, 2), (48_000, 8), (96_000, 1)] {
            let mut framer = Framer::new(rate, channels).unwrap();
            let mut all = Vec::new();
            // As a device gives them: not in whole chunks.
            for some in tone(rate, channels, 440.0, 2).chunks(usize::from(channels) * 331) {
                all.extend(framer.push(some).unwrap().concat());
            }
            let seconds = all.len() as f32 / RATE as f32;
            assert!((seconds - 2.0).abs() < 0.1, "{rate} × {channels}: {seconds} s");
            let middle = &all[RATE as usize / 2..][..RATE as usize];
            let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            assert!((439..=441).contains(&crossings), "{rate} × {channels}: {crossings} Hz");
            let power = middle.iter().map(|sample| sample * sample).sum::<f32>() / middle.len() as f32;
            assert!((power - 0.125).abs() < 0.005, "{rate} × {channels}: {power}");
        }
    }

    #[test]
    fn what_16_khz_cannot_carry_is_not_folded_into_it() {
        let mut framer = Framer::new(48_000, 1).unwrap();
        let all = framer.push(&tone(48_000, 1, 12_000.0, 1)).unwrap().concat();
        let power = all[4_000..].iter().map(|sample| sample * sample).sum::<f32>() / (all.len() - 4_000) as f32;
        assert!(power < 1e-6, "{power}");
    }

    #[test]
    fn what_no_microphone_has_is_refused() {
        assert!(Framer::new(0, 1).is_err() && Framer::new(16_000, 0).is_err() && Framer::new(u32::MAX, 1).is_err());
    }
}
