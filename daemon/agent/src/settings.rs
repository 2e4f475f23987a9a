//! The agent's bounds, as the owner sets them.

use hob_events::Risk;
use serde::{Deserialize, Serialize};

/// Below which confidence a call is asked about instead of run, by the call's risk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// For calls that only read.
    pub none: f32,
    /// For a light, a blind.
    pub low: f32,
    /// For heat and water.
    pub medium: f32,
    /// For locks, which are always asked about besides.
    pub high: f32,
}

impl Default for Thresholds {
    /// With 0.2 nine in ten commands for something that is not there are refused or asked about, and 97 in 100 right ones
    /// are still done without a question (docs/decisions/0005-confidence.md).
    fn default() -> Self {
        Self { none: 0.1, low: 0.2, medium: 0.3, high: 0.4 }
    }
}

impl Thresholds {
    /// The threshold for calls of this risk.
    #[must_use]
    pub fn of(self, risk: Risk) -> f32 {
        match risk {
            Risk::None => self.none,
            Risk::Low => self.low,
            Risk::Medium => self.medium,
            Risk::High => self.high,
        }
    }
}

/// Bounds on turns. Every queue of the agent has one of these as its size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// What the system text begins with.
    pub instructions: String,
    /// Turns that work at the same time. Two fit the two KV slots; more would push each other out of them.
    pub turns_at_once: usize,
    /// Turns that wait for a yes or no. The next one is denied.
    pub questions_at_once: usize,
    /// Commands that wait for their turn. When it is full, doors answer `busy` and accept nothing.
    pub backlog: usize,
    /// Times the model may be asked in one turn.
    pub rounds: u32,
    /// Tool calls of one turn.
    pub calls: u32,
    /// Most tokens of one generation.
    pub max_tokens: u32,
    /// The longest a turn may take, waiting for people left out.
    pub turn_deadline_ms: u64,
    /// How long a question stays open.
    pub confirm_within_ms: u64,
    /// Conversations kept.
    pub conversations: usize,
    /// Turns kept of each conversation; whole oldest turns go first.
    pub conversation_turns: usize,
    /// When to ask rather than act.
    pub thresholds: Thresholds,
}

/// Part of every prompt: what hob is, and that only tools act.
pub const INSTRUCTIONS: &str = "You look after this house by calling tools. Name devices as listed. If no device or \
                                tool fits, say so briefly.";

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            instructions: INSTRUCTIONS.to_owned(),
            turns_at_once: 2,
            questions_at_once: 8,
            backlog: 32,
            rounds: 6,
            calls: 12,
            max_tokens: 256,
            turn_deadline_ms: 120_000,
            confirm_within_ms: 60_000,
            conversations: 32,
            conversation_turns: 8,
            thresholds: Thresholds::default(),
        }
    }
}
