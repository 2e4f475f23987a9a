//! What is known of commands that hob had accepted and not finished when it went away.

use crate::command::Command;
use crate::device::DeviceAction;
use crate::ids::{CallId, ToolName, TurnId};
use crate::tool::Receipt;
use serde_json::{Map, Value};

/// Beginnings after which a command is given up: one crash can be chance, three with the same command are not.
const MOST_BEGINNINGS: usize = 3;

/// A command whose inbox entry is still open, with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// The command.
    pub command: Command,
    /// Its turn, when one had begun.
    pub turn: Option<TurnId>,
    /// How often it was begun: a command that takes hob down each time must not be begun for ever.
    pub begun: usize,
    /// Calls with an effect that were about to run, in order.
    pub calls: Vec<UnfinishedCall>,
}

/// A call that may have run.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedCall {
    /// Which call.
    pub id: CallId,
    /// The tool.
    pub tool: ToolName,
    /// Its arguments.
    pub args: Map<String, Value>,
    /// Whether running it again does no more than running it once.
    pub idempotent: bool,
    /// How it ended, when that is known.
    pub receipt: Option<Receipt>,
    /// Device actions that were about to leave or had left. Those of which nothing more is known are `unknown`.
    pub actions: Vec<DeviceAction>,
}

impl Unfinished {
    /// Whether the command can be begun anew: nothing that must not happen twice may have happened once, and it was
    /// not begun too often already.
    #[must_use]
    pub fn can_begin_anew(&self) -> bool {
        self.begun < MOST_BEGINNINGS && self.calls.iter().all(|call| call.idempotent)
    }
}
