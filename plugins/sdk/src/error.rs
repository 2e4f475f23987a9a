//! What can go wrong, as hob tells it to a plugin and as a plugin tells it to hob.

use crate::bindings::exports::hob::plugin::tools::ToolError as Contract;
use std::fmt;

pub use crate::bindings::hob::plugin::types::Refusal;

/// Why a tool did not do what it was asked. The text is read by the model and by the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolError {
    /// The arguments cannot be used; say what to give instead.
    InvalidArguments(String),
    /// A right is missing; the text names it.
    Denied(String),
    /// Anything else: "milk is not on the shopping list".
    Failed(String),
}

impl ToolError {
    /// Something did not work, in a few words.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn into_contract(self) -> Contract {
        match self {
            Self::InvalidArguments(text) => Contract::InvalidArguments(text),
            Self::Denied(text) => Contract::Denied(text),
            Self::Failed(text) => Contract::Failed(text),
        }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArguments(text) | Self::Denied(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ToolError {}

/// The text of a refusal, without its kind.
pub(crate) fn refusal_text(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Denied(text) | Refusal::NotFound(text) | Refusal::Limit(text) | Refusal::Failed(text) => text,
    }
}

impl From<Refusal> for ToolError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(text) => Self::Denied(text),
            Refusal::NotFound(text) | Refusal::Limit(text) | Refusal::Failed(text) => Self::Failed(text),
        }
    }
}

impl From<serde_json::Error> for ToolError {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(format!("the plugin met JSON it did not expect: {error}"))
    }
}
