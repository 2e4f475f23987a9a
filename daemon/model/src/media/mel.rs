//! Log-mel features: what the audio encoder takes, of a whole sound or of one that is still being spoken.

mod filters;
mod frame;

use super::sound::{MOST_SAMPLES, Sound};
use frame::{Analysis, HOP, WINDOW};

/// Bands of a frame.
pub const BANDS: usize = 128;

/// Transformers pads a sound to a multiple of so many samples. It decides how many frames follow the last valid one.
const PADDED_TO: usize = 128;

/// Silence before the first sample, so that the first window is half before it.
const LEAD: usize = WINDOW / 2;

/// What the audio encoder takes: `input_features` and `input_features_mask` of one sound.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Frames {
    /// `[frames, 128]`: natural logarithms, a frame every 10 ms. Frames that are not valid are zero.
    pub values: Vec<f32>,
    /// `[frames]`: whether all that a frame stands for is sound, and not the padding after it.
    pub valid: Vec<bool>,
}

impl Frames {
    /// How many frames.
    #[must_use]
    pub fn count(&self) -> usize {
        self.valid.len()
    }

    /// How many soft tokens the encoder makes of them: two layers take every second frame of what is valid. 40 ms each,
    /// 750 for 30 seconds.
    #[must_use]
    pub fn soft_tokens(&self) -> usize {
        self.valid.iter().step_by(2).step_by(2).filter(|valid| **valid).count()
    }

    /// How many of the soft tokens stay as they are, whatever is heard after these frames. The encoder looks one frame
    /// ahead in each of its two layers of convolution, three in all, and nowhere else.
    #[must_use]
    pub fn settled_tokens(&self) -> usize {
        self.valid.iter().filter(|valid| **valid).count() / 4
    }

    fn push(&mut self, frame: &[f32; BANDS]) {
        self.values.extend_from_slice(frame);
        self.valid.push(true);
    }
}

/// The features of a whole sound. A sound of less than 10 ms has none that are valid.
#[must_use]
pub fn features(sound: &Sound) -> Frames {
    let mut stream = MelStream::new();
    stream.push(sound.samples());
    stream.finish()
}

/// The features of a sound that is still arriving: frames come as soon as no later sample can change them.
#[derive(Debug)]
pub struct MelStream {
    analysis: Analysis,
    /// Samples from where the next frame begins, the silence before the first among them.
    waiting: Vec<f32>,
    /// Samples that were heard.
    heard: usize,
    frames: Frames,
}

impl Default for MelStream {
    fn default() -> Self {
        Self::new()
    }
}

impl MelStream {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self { analysis: Analysis::new(), waiting: vec![0.0; LEAD], heard: 0, frames: Frames::default() }
    }

    /// Hears more of it, 16 kHz, in pieces of any length. After 30 seconds it hears nothing more: how many samples it took is
    /// returned.
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(MOST_SAMPLES - self.heard);
        self.heard += taken;
        self.waiting.extend_from_slice(&samples[..taken]);
        let mut start = 0;
        // One sample more than the window has to be there: that is when Transformers calls a frame valid.
        while let Some(window) = self.waiting.get(start..=start + WINDOW) {
            self.frames.push(&self.analysis.frame(&window[..WINDOW]));
            start += HOP;
        }
        self.waiting.drain(..start);
        taken
    }

    /// The frames that nothing heard later can change, all of them valid.
    #[must_use]
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// All frames, now that nothing more comes: as [`features`] of the whole.
    #[must_use]
    pub fn finish(mut self) -> Frames {
        let padded = LEAD + self.heard.next_multiple_of(PADDED_TO);
        let count = padded.checked_sub(WINDOW + 1).map_or(0, |room| room / HOP + 1);
        // Frames into the padding are masked: zeros, and not valid.
        self.frames.values.resize(count * BANDS, 0.0);
        self.frames.valid.resize(count, false);
        self.frames
    }
}

#[cfg(test)]
mod tests;
