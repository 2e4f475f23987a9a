//! Sound: from a WAV file or a microphone to one channel of 16 kHz, at most 30 seconds of it.

use super::resample::to_16_khz;
use std::io::Cursor;
use std::time::Duration;

/// Samples a second, as the audio encoder was trained.
pub const RATE: u32 = 16_000;

/// Samples of one clip that the encoder hears: 30 seconds. Transformers cuts there too, without a word.
pub const MOST_SAMPLES: usize = 480_000;

/// Samples a second that are read. What lies outside is a damaged header and no recording.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=192_000;

/// The loudest sample that is believed, where 1 is full. Some programs write floats in the scale of 16-bit numbers.
const LOUDEST: f32 = 1e6;

/// Channels that are read.
const MOST_CHANNELS: u16 = 64;

/// One channel at 16 kHz, from -1 to 1, at least one sample and at most 30 seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    samples: Vec<f32>,
    lost: Duration,
}

impl Sound {
    /// What a microphone heard: `channels` samples at a time, `rate` times a second.
    ///
    /// # Errors
    /// [`ReadSoundError`] when it is no sound: nothing, or samples that are no numbers.
    pub fn from_samples(samples: &[f32], channels: u16, rate: u32) -> Result<Self, ReadSoundError> {
        let form = Form::checked(channels, rate)?;
        let frames = samples.len() / usize::from(channels);
        let heard = form.heard(frames);
        let samples = samples[..heard * usize::from(channels)].iter().copied().map(Ok);
        Self::mixed(samples, form, frames as u64)
    }

    /// Samples at 16 kHz.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// How long it is, without what was lost.
    #[must_use]
    pub fn length(&self) -> Duration {
        time(self.samples.len() as u64, RATE)
    }

    /// What came after the first 30 seconds and is not heard; zero when nothing did.
    #[must_use]
    pub fn lost(&self) -> Duration {
        self.lost
    }

    /// `samples` are interleaved and no more than are heard; `frames` is how many there were in all.
    fn mixed(
        samples: impl Iterator<Item = Result<f32, ReadSoundError>>,
        form: Form,
        frames: u64,
    ) -> Result<Self, ReadSoundError> {
        let mut channel = Vec::new();
        let mut sum = 0.0;
        let mut left = form.channels;
        for sample in samples {
            let sample = sample?;
            if sample.is_nan() || sample.abs() > LOUDEST {
                return Err(ReadSoundError::NotASample { value: sample, at: time(channel.len() as u64, form.rate) });
            }
            sum += sample;
            left -= 1;
            if left == 0 {
                channel.push(sum / f32::from(form.channels));
                (sum, left) = (0.0, form.channels);
            }
        }
        if channel.is_empty() {
            return Err(ReadSoundError::Empty);
        }
        let lost = frames.saturating_sub(channel.len() as u64);
        let mut samples = to_16_khz(channel, form.rate)?;
        samples.truncate(MOST_SAMPLES);
        Ok(Self { samples, lost: time(lost, form.rate) })
    }
}

/// Why bytes or samples are no sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadSoundError {
    /// No samples.
    #[error("the sound is empty: no samples")]
    Empty,
    /// Not a WAV file, or one of a kind that is not read.
    #[error("this is no sound that hob reads ({reason}); it reads WAV files of whole numbers or floats, uncompressed")]
    Format {
        /// What the reader found.
        reason: String,
    },
    /// The file stops before the sound does.
    #[error("the sound is cut off; copy or record it again")]
    CutOff,
    /// A rate that no recording has.
    #[error("a sound of {0} samples a second is not read; hob reads {low} to {high}", low = RATES.start(), high = RATES.end())]
    Rate(u32),
    /// A number of channels that no recording has.
    #[error("a sound of {0} channels is not read; hob reads 1 to {MOST_CHANNELS}")]
    Channels(u16),
    /// A sample is infinite, no number at all, or louder than anything.
    #[error("the sound has a sample of {value:e}, {at:?} after its beginning, and that is none; record it again")]
    NotASample {
        /// What stands there.
        value: f32,
        /// From the beginning.
        at: Duration,
    },
    /// The resampler would not.
    #[error("a sound of {rate} samples a second could not be brought to {RATE}: {reason}")]
    Resample {
        /// Samples a second that it has.
        rate: u32,
        /// What the resampler said.
        reason: String,
    },
}

/// Reads a WAV file: whole numbers of 8 to 32 bits or floats of 32, any rate, channels mixed into one.
///
/// # Errors
/// [`ReadSoundError`]. What comes after the first 30 seconds is neither read nor judged.
pub fn decode_wav(bytes: &[u8]) -> Result<Sound, ReadSoundError> {
    if bytes.is_empty() {
        return Err(ReadSoundError::Empty);
    }
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(refused)?;
    let spec = reader.spec();
    let form = Form::checked(spec.channels, spec.sample_rate)?;
    let frames = reader.duration();
    let heard = form.heard(frames as usize) * usize::from(form.channels);
    match spec.sample_format {
        hound::SampleFormat::Float => {
            let samples = reader.samples::<f32>().take(heard);
            Sound::mixed(samples.map(|sample| sample.map_err(refused)), form, frames.into())
        }
        hound::SampleFormat::Int => {
            let scale = f64::from(spec.bits_per_sample.clamp(1, 32) - 1).exp2().recip();
            let samples = reader.samples::<i32>().take(heard);
            let samples = samples.map(|sample| sample.map(|value| scaled(value, scale)).map_err(refused));
            Sound::mixed(samples, form, frames.into())
        }
    }
}

fn refused(error: hound::Error) -> ReadSoundError {
    match error {
        // It is read from memory, so nothing else can fail.
        hound::Error::IoError(_) => ReadSoundError::CutOff,
        hound::Error::FormatError(_)
        | hound::Error::TooWide
        | hound::Error::UnfinishedSample
        | hound::Error::Unsupported
        | hound::Error::InvalidSampleFormat => ReadSoundError::Format { reason: error.to_string() },
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is meant")]
fn scaled(value: i32, scale: f64) -> f32 {
    (f64::from(value) * scale) as f32
}

fn time(samples: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    let nanoseconds = (samples % rate) * 1_000_000_000 / rate;
    Duration::from_secs(samples / rate) + Duration::from_nanos(nanoseconds)
}

/// Channels and rate, both within bounds.
#[derive(Debug, Clone, Copy)]
struct Form {
    channels: u16,
    rate: u32,
}

impl Form {
    fn checked(channels: u16, rate: u32) -> Result<Self, ReadSoundError> {
        if !(1..=MOST_CHANNELS).contains(&channels) {
            return Err(ReadSoundError::Channels(channels));
        }
        if !RATES.contains(&rate) {
            return Err(ReadSoundError::Rate(rate));
        }
        Ok(Self { channels, rate })
    }

    /// How many of so many frames are within the 30 seconds.
    fn heard(self, frames: usize) -> usize {
        frames.min(self.rate as usize * (MOST_SAMPLES / RATE as usize))
    }
}

#[cfg(test)]
mod tests;
