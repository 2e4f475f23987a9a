//! One model after another: what the worker is told to open next, and what became of it.

use crate::budget::Room;
use crate::describe::Description;
use crate::language_model::LanguageModel;

/// Opens a model, on the model's thread: at start, after it was idle, and when its successor cannot be had. Says why it
/// cannot.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn LanguageModel>, String> + Send>;

/// Looks at the next model. It runs on the model's thread, once nothing is under way there, and is told whether the
/// present model is open and so holds memory. Says why there is nothing to open.
pub type Planner = Box<dyn FnOnce(bool) -> Result<Plan, String> + Send>;

/// The model to come.
pub struct Plan {
    /// What it is.
    pub about: Description,
    /// Whether there is room for both.
    pub room: Room,
    /// Opens it.
    pub open: Opener,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("model", &self.about.name).field("room", &self.room).finish_non_exhaustive()
    }
}

/// Why the model is still the one it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapFailure {
    /// There was nothing to open; nothing was touched.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The new one could not be opened beside the old one, which was not touched.
    #[error("the new model could not be opened, and the old one goes on: {reason}")]
    Kept {
        /// Why.
        reason: String,
    },
    /// The old one had to make room, and was opened again.
    #[error("the new model could not be opened, and the old one was opened again: {reason}")]
    OpenedAgain {
        /// Why.
        reason: String,
    },
    /// Neither could be opened. The worker has given up.
    #[error("the new model could not be opened: {reason}; nor could the old one: {old}")]
    Lost {
        /// Why not the new one.
        reason: String,
        /// Why not the old one.
        old: String,
    },
}

/// Why a swap was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SwapNotBegun {
    /// One is under way.
    #[error("another swap is under way: wait for its end")]
    UnderWay,
    /// The first model is not open yet.
    #[error("the model is still being opened: wait until hob is ready")]
    Opening,
    /// The worker is gone.
    #[error("the model worker is not running")]
    Gone,
}

/// What the worker holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A model is being opened; orders wait.
    Opening,
    /// It is open.
    Open,
    /// It was idle for long and was dropped; the next order has it opened again.
    Unloaded,
}

impl Standing {
    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Unloaded => "unloaded",
        }
    }
}
