//! Tools as the model is offered them, the calls it writes, and what became of each.

use crate::device::{DeviceAction, Inventory};
use crate::ids::{CallId, PluginName, ToolName};
use crate::trust::{Risk, Trust};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a call may do. The gate, the retry rule and the reply depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Effects {
    /// Changes nothing: the model words the answer itself.
    #[serde(default)]
    pub read_only: bool,
    /// Doing it twice is the same as doing it once, so it may be sent again after a crash.
    #[serde(default)]
    pub idempotent: bool,
}

/// Short sentences from which a reply is composed. `{name}` stands for a field of the result, else of the arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Replies {
    /// The result is known to be so.
    #[serde(default)]
    pub confirmed: String,
    /// It was sent, and nothing came back.
    #[serde(default)]
    pub sent: String,
}

/// One action that a plugin offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Unique on this node.
    pub name: ToolName,
    /// Who carries it out.
    pub plugin: PluginName,
    /// One sentence for the model.
    pub description: String,
    /// JSON Schema of the arguments, an object. `x-hob-device` (a list of kinds) marks a parameter that takes a
    /// device's name, `x-hob-area` one that takes an area's, `x-hob-kind` (a list of kinds) one that takes a kind's word.
    pub schema: Value,
    /// What a call may do.
    #[serde(default)]
    pub effects: Effects,
    /// What a mistaken call can cost, before the device is known.
    #[serde(default)]
    pub risk: Risk,
    /// How its outcome is told.
    #[serde(default)]
    pub replies: Replies,
    /// The longest a call may run.
    pub deadline_ms: u32,
}

/// What one turn may use: the tools, with the devices and areas that fill their marked parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Offer {
    /// Sorted by name, so that the prompt is the same for the same set.
    pub tools: Vec<ToolSpec>,
    /// Names for the marked parameters.
    pub inventory: Inventory,
}

impl Offer {
    /// The tool of that name, whatever its case.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|tool| tool.name.as_str().eq_ignore_ascii_case(name))
    }
}

/// How sure the model was of a call under the grammar (both 0 to 1; 1 for calls that no model wrote).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Over the call's steps, the least share of probability that the grammar left to the allowed tokens.
    pub kept: f32,
    /// Over the call's steps, the winner's least share of what was left.
    pub winner: f32,
}

impl Confidence {
    /// The confidence of a call that a person or a rule wrote out.
    pub const CERTAIN: Self = Self { kept: 1.0, winner: 1.0 };

    /// The one number that is held against the threshold.
    #[must_use]
    pub fn least(self) -> f32 {
        self.kept.min(self.winner)
    }
}

/// A call as it was written, before anyone checked it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenCall {
    /// The tool's name as written.
    pub tool: String,
    /// The arguments as written.
    pub args: Map<String, Value>,
    /// How sure the writer was.
    pub confidence: Confidence,
}

/// What the gate allowed: carried with the call, and checked again at every device effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The highest device risk this call may touch.
    pub risk: Risk,
    /// The devices it may touch, by their own names, when its arguments name some; else any up to that risk.
    #[serde(default)]
    pub devices: Option<Vec<String>>,
    /// The trust of the turn that made it.
    pub trust: Trust,
}

/// A call that passed the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which call of which turn.
    pub id: CallId,
    /// The tool, known to exist.
    pub tool: ToolName,
    /// The plugin that offers it.
    pub plugin: PluginName,
    /// Arguments by the schema's own names. Not yet validated: the plugin host does that.
    pub args: Map<String, Value>,
    /// What the gate allowed.
    pub permit: Permit,
    /// Whether sending it twice does no more than sending it once.
    pub idempotent: bool,
    /// The longest it may run.
    pub deadline_ms: u32,
}

/// What became of one tool call. What a tool gets wrong is data for the model, not an error of hob's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The plugin returned a value.
    Returned {
        /// What it returned.
        value: Value,
    },
    /// The plugin, or the check of its arguments, said no.
    Failed {
        /// For the model and the person.
        message: String,
    },
    /// The gate or a missing grant said no.
    Denied {
        /// Names what would have to change.
        reason: String,
    },
    /// The plugin trapped, ran past its deadline or its memory.
    Stopped {
        /// What it did.
        reason: String,
    },
    /// hob went away while it ran and cannot tell.
    Unknown,
}

/// The durable record of an outcome. A reply claims only what a receipt shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which call of which turn.
    pub id: CallId,
    /// The tool that was called.
    pub tool: ToolName,
    /// With these arguments.
    pub args: Map<String, Value>,
    /// What became of it.
    pub outcome: Outcome,
    /// The device commands that left the board while it ran.
    #[serde(default)]
    pub actions: Vec<DeviceAction>,
    /// Milliseconds the call took.
    pub took_ms: u64,
}
