//! How a family of models writes: prompts to token ids, generated ids to their meaning.
//!
//! The generation loop asks a [`ChatFormat`] to render a [`Prompt`] and to parse what came of it; it knows no marker by
//! name. [`Gemma4`] speaks through the model folder's own chat template, so that a new template needs no new hob.
//! [`Plain`] is words and nothing else, for models without markers and for tests of the loop.

#[cfg(test)]
pub(crate) mod fixture;
mod gemma;
mod markers;
mod media;
mod notation;
mod parse;
mod plain;
pub mod schema;
mod template;
mod vocabulary;

pub use gemma::{FormatUnreadable, Gemma4};
pub use markers::Markers;
pub(crate) use media::MediaMarkers;
pub use notation::write_call;
pub use plain::Plain;
pub use template::RenderFailure;
pub use vocabulary::{Vocabulary, VocabularyUnreadable};

use crate::soft::Shown;
use hob_events::{Confidence, Prompt, StopReason, Writing};

/// How one family of models writes.
pub trait ChatFormat: std::fmt::Debug + Send + Sync {
    /// The whole prompt as token ids, ending where the model goes on. Stretches that the model generated come back with
    /// the very ids they had, so the ids of a next step begin with those of the step before it and what was generated.
    /// `shown` are the media of all messages, in their order.
    ///
    /// # Errors
    /// [`RenderFailure`] when the folder's template refuses the prompt.
    fn render(&self, prompt: &Prompt, shown: &[Shown]) -> Result<Vec<u32>, RenderFailure>;

    /// What generated ids mean. `sureness` holds one entry per id, or nothing when it is not known; a call takes the
    /// least over its ids.
    fn parse(&self, ids: &[u32], sureness: &[Confidence]) -> Vec<Writing>;

    /// Why a generation ends with this id; nothing when it goes on.
    fn stop(&self, id: u32) -> Option<StopReason>;

    /// Whether a prompt can ask the model to think first.
    fn thinks(&self) -> bool;

    /// The ids that open the thought where the format does that and not the model: often none.
    fn thought_opening(&self, prompt: &Prompt) -> &[u32];

    /// Ids that must never be sampled, with or without a grammar: control tokens that only a prompt may hold.
    fn suppressed(&self) -> &[u32];

    /// The marker tokens, when the family writes calls with them and a grammar can be made for it.
    fn markers(&self) -> Option<&Markers>;
}

#[cfg(test)]
mod tests;
