//! How a command is going, and how it ended: what doors send back.

use crate::conversation::ModelTimings;
use crate::device::DeviceAction;
use crate::ids::CommandId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a command stands. The first four are on the way, the rest are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Durable in the inbox.
    Accepted,
    /// The model is at it.
    Thinking,
    /// A person must say yes first.
    AwaitingConfirmation,
    /// A tool runs.
    Executing,
    /// Done, or answered.
    Succeeded,
    /// Something did not work; the error says what.
    Failed,
    /// The gate, the owner's answer or a missing answer said no.
    Denied,
    /// It waited longer than it was worth.
    Expired,
    /// Someone took it back.
    Cancelled,
}

impl Status {
    /// Whether no other status follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Accepted | Self::Thinking | Self::AwaitingConfirmation | Self::Executing => false,
            Self::Succeeded | Self::Failed | Self::Denied | Self::Expired | Self::Cancelled => true,
        }
    }
}

/// A step on the way: published, not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// Which command.
    pub id: CommandId,
    /// Where it stands.
    pub status: Status,
    /// The question a person is asked, when it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The number of that question among those of the command, from 1. An answer names it; without a number it answers
    /// a first question only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

/// One tool call in a final result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionReport {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub args: Map<String, Value>,
    /// `returned`, `failed`, `denied`, `stopped` or `unknown`.
    pub outcome: String,
    /// What it returned, or why not.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// The device commands that left the board.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceAction>,
    /// Milliseconds it took.
    pub ms: u64,
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// For programs: `malformed`, `invalid`, `oversize`, `retained`, `busy`, `deadline`, `denied`, `tool`, `model`,
    /// `expired`, `cancelled`, `interrupted`, `duplicate`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Milliseconds by stage, and the tokens behind them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Timings {
    /// From arrival to the first stage that worked on it, and later waits for the model.
    pub queue_ms: f64,
    /// Running new prompt tokens, over all steps.
    pub prefill_ms: f64,
    /// Generating, over all steps.
    pub decode_ms: f64,
    /// From the start of the first prefill to the first token.
    pub first_token_ms: f64,
    /// In tools.
    pub tool_ms: f64,
    /// From arrival to the end.
    pub total_ms: f64,
    /// Prompt tokens run, those found in the KV slot left out.
    pub prefill_tokens: u32,
    /// Prompt tokens found in the KV slot.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub generated_tokens: u32,
    /// How many of them were thoughts, which no reply shows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub thought_tokens: u32,
    /// Every answer of the model came from the memo: it had seen the very same prompts before, and was not run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_memo: bool,
}

impl Timings {
    /// Adds one generation.
    pub fn add(&mut self, step: &ModelTimings) {
        if self.first_token_ms == 0.0 {
            self.first_token_ms = step.first_token_ms;
        }
        // A generation that ran wrote one token at least.
        self.from_memo = step.from_memo && self.generated_tokens == 0;
        self.queue_ms += step.queue_ms;
        self.prefill_ms += step.prefill_ms;
        self.decode_ms += step.decode_ms;
        self.prefill_tokens += step.prompt_tokens.saturating_sub(step.cached_tokens);
        self.cached_tokens += step.cached_tokens;
        self.generated_tokens += step.generated_tokens;
        self.thought_tokens += step.thought_tokens;
    }
}

/// The end of a command: stored once, published byte for byte the same whenever it is asked for again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Which command.
    pub id: CommandId,
    /// A final status.
    pub status: Status,
    /// What to say or show. Claims only what receipts show.
    pub speech: String,
    /// The calls it made, in order.
    #[serde(default)]
    pub actions: Vec<ActionReport>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// What it took.
    pub timings: Timings,
    /// The model that decided, when one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Nothing was acted on because the sender asked for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Turns of the conversation that the model did not see any more, because not all of them fit into its context.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten_turns: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_from_the_memo_when_every_step_of_it_is() {
        let recalled = ModelTimings { from_memo: true, ..ModelTimings::default() };
        let ran = ModelTimings { generated_tokens: 3, ..ModelTimings::default() };
        let of = |steps: &[ModelTimings]| {
            let mut timings = Timings::default();
            steps.iter().for_each(|step| timings.add(step));
            timings.from_memo
        };
        assert!(of(&[recalled]) && of(&[recalled, recalled]));
        assert!(!of(&[]) && !of(&[ran]) && !of(&[recalled, ran]) && !of(&[ran, recalled]));
        assert!(!of(&[recalled, ran, recalled]));
    }
}
