//! What the model is given and what it gives back, before and after tokens.

use crate::ids::{ConversationId, ToolName, TurnId};
use crate::medium::Medium;
use crate::thinking::Thinking;
use crate::tool::{Offer, WrittenCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// One message of a prompt. The system text and the tools stand apart: they come first and hardly change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What came in.
    User {
        /// The words, volatile values frozen into them.
        text: String,
        /// What is seen and heard with them; it stands in front of the words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        media: Vec<Medium>,
    },
    /// Everything of one model turn: calls, their responses, words.
    Model {
        /// In the order in which they came to be.
        parts: Vec<Part>,
    },
}

impl Message {
    /// Words of a person, and nothing to look at or to listen to.
    #[must_use]
    pub fn words(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), media: Vec::new() }
    }

    /// What is seen and heard with it.
    #[must_use]
    pub fn media(&self) -> &[Medium] {
        match self {
            Self::User { media, .. } => media,
            Self::Model { .. } => &[],
        }
    }

    /// The same, and nothing to look at or to listen to.
    #[must_use]
    pub fn without_media(self) -> Self {
        match self {
            Self::User { text, .. } => Self::words(text),
            Self::Model { parts } => Self::Model { parts },
        }
    }
}

/// Which tokenizer: the beginning of a hash over all that its ids stand for. Zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenizerId(pub u64);

/// A part of a model turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    /// What the model wrote in one go: its meaning, and the token ids, so that what is rendered again is what was
    /// generated.
    Written {
        /// What it means.
        writing: Vec<Writing>,
        /// The tokens, the stop token among them when it stays in the context.
        tokens: Vec<u32>,
        /// Whose tokens they are. To another tokenizer they mean something else, and it spells the meaning anew.
        #[serde(default)]
        tokenizer: TokenizerId,
    },
    /// What a tool answered to a call before.
    Response {
        /// Which tool.
        tool: ToolName,
        /// An object; anything else is put under `value`.
        value: Value,
    },
}

/// The meaning of a stretch of generated tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "writing", rename_all = "snake_case")]
pub enum Writing {
    /// Words for people.
    Text {
        /// Without thought channel or markers.
        text: String,
    },
    /// A call to make.
    Call(WrittenCall),
    /// Something that began as a call and is none.
    Malformed {
        /// What was written.
        text: String,
        /// Why it is no call.
        reason: String,
    },
}

/// Everything the model sees for one step of one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Instructions and inventory: the same for every turn until the owner changes something.
    pub system: Arc<str>,
    /// The tools and names the grammar is made of.
    pub offer: Arc<Offer>,
    /// Oldest first; the last is what is answered now.
    pub messages: Vec<Message>,
    /// Whether it thinks first, and for how long.
    pub thinking: Thinking,
}

/// What the model may write next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Calls from the offer, or words.
    CallsOrText,
    /// Calls from the offer, or the end: the reply is composed from receipts.
    CallsOrEnd,
}

/// Who waits for a generation; the lower is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A person waits for the answer.
    Person,
    /// A camera event.
    Camera,
    /// A sensor event, a timer.
    Sensor,
}

/// An order to the model worker.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOrder {
    /// The turn it is for.
    pub turn: TurnId,
    /// What the model sees.
    pub prompt: Prompt,
    /// What it may write.
    pub allowed: Allowed,
    /// Who waits.
    pub priority: Priority,
    /// The conversation whose KV slot is the likeliest to fit.
    pub conversation: Option<ConversationId>,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// The longest it may take from being handed over, waiting included.
    pub deadline_ms: u64,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// The model wrote calls and waits for their responses.
    ToolCalls,
    /// `max_tokens` were generated.
    Length,
}

/// How long each part of a generation took, and over how many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct ModelTimings {
    /// Waiting for the worker.
    pub queue_ms: f64,
    /// Running the prompt's new tokens.
    pub prefill_ms: f64,
    /// From the start of prefill to the first generated token.
    pub first_token_ms: f64,
    /// Generating.
    pub decode_ms: f64,
    /// Tokens of the prompt, those in the KV slot included.
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were in the KV slot already.
    pub cached_tokens: u32,
    /// Tokens generated, forced ones included.
    pub generated_tokens: u32,
    /// Tokens that the grammar left no choice about.
    pub forced_tokens: u32,
    /// Tokens that were drafted from what was said before, and right.
    #[serde(default)]
    pub drafted_tokens: u32,
    /// Tokens generated that were a thought, and are no part of the answer.
    #[serde(default)]
    pub thought_tokens: u32,
    /// The very same prompt had been answered before: nothing was run, and every count of tokens is 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_memo: bool,
}

/// What came of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// What was written, in order.
    pub writing: Vec<Writing>,
    /// Its token ids.
    pub tokens: Vec<u32>,
    /// Whose ids they are.
    pub tokenizer: TokenizerId,
    /// Why it ended.
    pub stop: StopReason,
    /// What it took.
    pub timings: ModelTimings,
}

/// Why a generation gave nothing. The turn ends with it; the daemon goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GenerateFailure {
    /// More generations wait than the queue holds.
    #[error("the model is busy: {waiting} generations wait already")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The deadline passed.
    #[error("the model did not finish within {limit_ms} ms")]
    Deadline {
        /// The limit it had.
        limit_ms: u64,
    },
    /// Someone took the order back.
    #[error("the generation was cancelled")]
    Cancelled,
    /// The prompt does not fit.
    #[error("the prompt has {tokens} tokens and the context holds {context}")]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// A picture or a sound in the prompt cannot be shown to this model.
    #[error("{message}")]
    Medium {
        /// Which, and why.
        message: String,
    },
    /// The model could not be run.
    #[error("the model failed: {message}")]
    Model {
        /// What went wrong.
        message: String,
    },
}
