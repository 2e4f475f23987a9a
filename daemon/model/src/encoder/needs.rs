//! What an encoder takes in memory, reckoned before it is opened.

use crate::budget::Size;
use hob_onnx::{Graph, Kernels, ReadGraphError};
use std::fmt;
use std::path::Path;

/// Scores of a layer, and their softmax, held at once in single precision.
const SCORES_AT_ONCE: u64 = 2;

/// What 30 seconds of sound hold while they run. Reckoned for Gemma 4: the first convolution gives 128 channels of
/// 1,500 × 64 numbers, which are 49 MB, and once more for what is made of them; the second looks at 1,152 numbers for each
/// of its 750 × 32 places, which are 111 MB.
const SOUND_AT_WORK: u64 = 256 << 20;

/// Bytes of memory, while a medium is taken in. An estimate, as [`Budget`](crate::Budget) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderNeeds {
    /// The encoder's weights.
    pub weights: u64,
    /// What a run holds.
    pub work: u64,
    heads: usize,
}

impl EncoderNeeds {
    /// Reads the graph of an encoder, without loading it.
    pub(crate) fn read(file: &Path, heads: usize) -> Result<Self, ReadGraphError> {
        Ok(Self { weights: Graph::read(file)?.bytes_in_memory(Kernels::OnnxRuntime), work: 0, heads })
    }

    /// For a picture of so many patches, each of which looks at every other. What is `loaded` already takes nothing more.
    pub(crate) fn of_picture(self, patches: usize, load: bool) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let scores = count(patches).saturating_mul(count(patches)).saturating_mul(count(self.heads));
        let work = scores.saturating_mul(4 * SCORES_AT_ONCE);
        Self { weights: if load { self.weights } else { 0 }, work, ..self }
    }

    /// For the longest sound.
    pub(crate) fn of_sound(self) -> Self {
        Self { work: SOUND_AT_WORK, ..self }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.work)
    }
}

/// `610 MiB: weights 110 MiB, a run 500 MiB`
impl fmt::Display for EncoderNeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [total, weights, work] = [self.total(), self.weights, self.work].map(Size);
        write!(f, "{total}: weights {weights}, a run {work}")
    }
}
