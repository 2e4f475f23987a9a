//! WAV files, as recordings that are listened to in place of a microphone.

use crate::FRAME;
use crate::resample::{Framer, ResampleError};
use std::path::{Path, PathBuf};

/// Why a file cannot be listened to.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It cannot be read.
    #[error("{path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// It has a rate or channels that no microphone has.
    #[error("{path}")]
    Resample {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ResampleError,
    },
}

/// What a file holds.
#[derive(Debug)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// All channels side by side, from -1 to 1.
    pub samples: Vec<f32>,
}

impl Recording {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`WavError::Read`].
    pub fn read(path: &Path) -> Result<Self, WavError> {
        let wrong = |source: hound::Error| WavError::Read { path: path.to_path_buf(), source };
        let mut reader = hound::WavReader::open(path).map_err(wrong)?;
        let spec = reader.spec();
        let samples = match spec.sample_format {
            hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(wrong)?,
            hound::SampleFormat::Int => {
                let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "samples have 24 bits at most, or lose what nobody hears"
                )]
                let scaled = |sample: Result<i32, hound::Error>| sample.map(|sample| sample as f32 / full);
                reader.samples::<i32>().map(scaled).collect::<Result<_, _>>().map_err(wrong)?
            }
        };
        Ok(Self { rate: spec.sample_rate, channels: spec.channels, samples })
    }
}

/// A whole file at 16 kHz with one channel, but for less than a frame at its end.
///
/// # Errors
/// [`WavError`].
pub fn at_16_khz(path: &Path) -> Result<Vec<f32>, WavError> {
    let recording = Recording::read(path)?;
    let wrong = |source| WavError::Resample { path: path.to_path_buf(), source };
    let mut framer = Framer::new(recording.rate, recording.channels).map_err(wrong)?;
    // What the filter still holds at the end comes out before so much silence.
    let silence = vec![0.0; FRAME * usize::from(recording.channels) * 24];
    let mut frames = framer.push(&recording.samples).map_err(wrong)?;
    frames.extend(framer.push(&silence).map_err(wrong)?);
    Ok(frames.concat())
}
