//! The decoder as the generation loop sees it: token ids in, logits out, and caches that can be cut and copied.

use crate::interrupt::{Interrupt, Interruption};
use std::io::{self, Read, Write};
use std::time::Duration;

/// One cache of the decoder: the keys and values of a run of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub usize);

/// Which rows of logits a forward pass should give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None: the tokens only fill the cache.
    Nothing,
    /// Those after the last so many tokens, at least one.
    Last(usize),
}

impl Keep {
    /// How many rows that is.
    #[must_use]
    pub fn rows(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Last(rows) => rows,
        }
    }
}

/// Rows of raw logits, one per kept token, each as wide as the vocabulary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Logits {
    numbers: Vec<f32>,
    width: usize,
}

impl Logits {
    /// Takes rows of `width` numbers, one after another. Numbers that make no whole row are dropped.
    #[must_use]
    pub fn new(mut numbers: Vec<f32>, width: usize) -> Self {
        numbers.truncate(numbers.len().checked_div(width).unwrap_or(0) * width);
        Self { numbers, width }
    }

    /// The rows, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[f32]> + ExactSizeIterator {
        self.numbers.chunks_exact(self.width.max(1))
    }
}

/// Why a forward pass gave nothing. The slot is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardFailure {
    /// Someone ended the generation.
    #[error("the generation was ended")]
    Interrupted(Interruption),
    /// More tokens than the slot holds.
    #[error("the context of {context} tokens is full")]
    Full {
        /// Tokens that a slot holds.
        context: usize,
    },
    /// A picture or a sound among the tokens cannot be taken in.
    #[error("{0}")]
    Medium(String),
    /// The model could not be run.
    #[error("{0}")]
    Failed(String),
}

/// A decoder with a fixed number of slots. [`OrtDecoder`](crate::OrtDecoder) runs the real one; tests of the loop bring
/// their own.
///
/// A slot that the decoder does not have is a mistake of the caller; it is answered as an empty one.
pub trait Decoder: Send {
    /// How many slots there are.
    fn slots(&self) -> usize;

    /// Most tokens in one slot.
    fn context(&self) -> usize;

    /// How many tokens are in a slot.
    fn len(&self, slot: Slot) -> usize;

    /// How long its graph has run so far, where it counts that.
    fn time_in_graph(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether it runs a graph that was rewritten, and not the published one.
    fn runs_prepared(&self) -> bool {
        false
    }

    /// Appends tokens to a slot and gives back the wanted rows of logits.
    ///
    /// # Errors
    /// [`ForwardFailure`]; the slot then holds what it held before.
    fn forward(
        &mut self,
        slot: Slot,
        tokens: &[u32],
        keep: Keep,
        interrupt: &Interrupt,
    ) -> Result<Logits, ForwardFailure>;

    /// Cuts a slot back to its first `len` tokens. A shorter slot stays as it is.
    ///
    /// # Errors
    /// [`ForwardFailure::Failed`] when there is no memory; the slot is empty then.
    fn truncate(&mut self, slot: Slot, len: usize) -> Result<(), ForwardFailure>;

    /// Writes the caches of a slot's first `len` tokens, for [`Decoder::load`].
    ///
    /// # Errors
    /// What the writer says.
    fn save(&self, slot: Slot, len: usize, to: &mut dyn Write) -> io::Result<()>;

    /// Fills a slot with `len` tokens that were saved by a decoder of the same model.
    ///
    /// # Errors
    /// What the reader says; the slot then holds what it held before, or nothing.
    fn load(&mut self, slot: Slot, len: usize, from: &mut dyn Read) -> io::Result<()>;

    /// Makes `to` a copy of the first `len` tokens of `from`.
    ///
    /// # Errors
    /// [`ForwardFailure::Failed`] when there is no memory; `to` is empty then.
    fn fork(&mut self, from: Slot, to: Slot, len: usize) -> Result<(), ForwardFailure>;
}
