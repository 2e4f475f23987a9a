//! A model as the worker sees it.

use crate::encoder::Senses;
use crate::front::Recalled;
use crate::interrupt::Interrupt;
use hob_events::{GenerateFailure, GenerateOrder, Generated, Prompt, TurnId};
use std::time::Instant;

/// How far a generation got.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// It is done.
    Ended(Generated),
    /// It made room, as [`Interrupt::park`] asked. The same order goes on where it stopped.
    Parked,
}

/// What there is to see of a generation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glimpse<'a> {
    /// So many of the prompt's tokens are read; only long prompts are read in several parts.
    Read {
        /// Tokens read so far, those that were known already among them.
        tokens: usize,
        /// Tokens of the prompt.
        of: usize,
    },
    /// New words for people.
    Words(&'a str),
}

/// How far a warm-up got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warmed {
    /// All of it.
    Whole,
    /// It made room for an order. What was run is kept; the rest is still to do.
    Parked,
}

/// Answers an order without the model running, when its very prompt was answered before.
pub type Recall = Box<dyn Fn(&GenerateOrder) -> Option<Recalled> + Send + Sync>;

/// Something that writes. [`Gemma`](crate::Gemma) runs a model on this board, [`ScriptedModel`](crate::ScriptedModel)
/// says what a test tells it to.
pub trait LanguageModel: Send {
    /// Writes the answer to an order, telling `watch` how it goes. An order whose turn was parked goes on.
    ///
    /// # Errors
    /// [`GenerateFailure`]; the model is ready for the next order.
    fn generate(
        &mut self,
        order: &GenerateOrder,
        watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure>;

    /// Runs the beginning that all prompts like this one share, so that the first of them does not have to.
    ///
    /// # Errors
    /// [`GenerateFailure`]; the next generation runs it itself then.
    fn warm(&mut self, prompt: &Prompt, interrupt: &Interrupt) -> Result<Warmed, GenerateFailure>;

    /// Drops a parked generation that nobody waits for any more.
    fn forget(&mut self, turn: TurnId);

    /// Gives back what it has not used for a while: there is nothing to do now. Returns when it wants to be asked again,
    /// should there be nothing to do until then.
    fn rest(&mut self, now: Instant) -> Option<Instant> {
        let _: Instant = now;
        None
    }

    /// Its ears and eyes, for what is taken in before it is asked about; nothing for a model without.
    fn senses(&self) -> Option<Senses> {
        None
    }

    /// What the worker can ask while the model runs; nothing for a model that keeps no answers. [`generate`](Self::generate)
    /// looks there by itself.
    fn recall(&self) -> Option<Recall> {
        None
    }
}
