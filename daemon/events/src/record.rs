//! What is written down: records go to disk before the effects they describe are let go.

use crate::command::{Command, Source};
use crate::conversation::Message;
use crate::device::{DeviceAction, DeviceState};
use crate::ids::{CallId, CommandId, ConversationId, ToolName, TurnId, UnixMs};
use crate::result::{CommandResult, Status};
use crate::tool::{Confidence, Receipt};
use crate::trust::{Risk, Trust};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One thing to make durable. All records of one commit become durable together or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A command enters the inbox.
    Accepted {
        /// The whole command.
        command: Command,
    },
    /// A turn began for it: turn numbers are never given out twice.
    Began {
        /// The command.
        command: CommandId,
        /// Its turn.
        turn: TurnId,
    },
    /// A tool call with an effect is about to run: after a crash it counts as perhaps done unless a receipt follows.
    Calling {
        /// The call.
        call: CallId,
        /// The command it serves.
        command: CommandId,
        /// The tool.
        tool: ToolName,
        /// Its arguments.
        args: Map<String, Value>,
        /// Whether it may be run again after a crash.
        idempotent: bool,
    },
    /// A device action is about to leave: from here on it counts as perhaps done.
    Sending {
        /// The call.
        call: CallId,
        /// The command it serves.
        command: CommandId,
        /// The device's own name.
        device: String,
        /// What is asked of it.
        change: DeviceState,
        /// Whether it may be sent again after a crash.
        idempotent: bool,
    },
    /// What became of that device action.
    Sent {
        /// The call.
        call: CallId,
        /// The action, with what is known of it.
        action: DeviceAction,
    },
    /// A tool call ended.
    Receipt {
        /// The command it served.
        command: CommandId,
        /// How it ended.
        receipt: Receipt,
    },
    /// A command has its final result; its inbox entry is closed in the same commit.
    Final {
        /// The result.
        result: CommandResult,
        /// Who is to be told. Kept until `Told`, so that a result is told even when hob goes away in between; its
        /// correlation data, where it has some, is a second name by which a repeated command is known.
        source: Source,
    },
    /// The broker, or the peer on the socket, has taken a command's final result.
    Told {
        /// The command.
        command: CommandId,
    },
    /// A conversation as it stands now.
    Conversation {
        /// Which one.
        id: ConversationId,
        /// Its messages, oldest first.
        messages: Vec<Message>,
        /// The least that anything in it was believed, what was left out since then among it.
        lowest: Trust,
        /// When it last grew.
        at: UnixMs,
    },
    /// What the rules remember, a piece of it: nothing, for a rule that is gone.
    Remembered {
        /// Whose it is.
        piece: String,
        /// What.
        memory: Option<Value>,
    },
    /// A line of the audit log.
    Audit(AuditEntry),
}

/// A line of the audit log, before the log numbers and chains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: UnixMs,
    /// What.
    #[serde(flatten)]
    pub kind: AuditKind,
}

/// What the audit log tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum AuditKind {
    /// A command was accepted.
    Accepted {
        /// Which.
        command: CommandId,
        /// From where.
        source: String,
        /// How far it is believed.
        trust: Trust,
        /// The words or the call.
        ask: String,
    },
    /// The model wrote something.
    Written {
        /// In which turn.
        turn: TurnId,
        /// What, as text.
        text: String,
    },
    /// The gate decided on a call.
    Gated {
        /// Which call.
        call: CallId,
        /// The tool.
        tool: ToolName,
        /// Its arguments.
        args: Map<String, Value>,
        /// Tool risk and device risk, the higher.
        risk: Risk,
        /// The turn's trust.
        trust: Trust,
        /// How sure the writer was.
        confidence: Confidence,
        /// `allow`, `confirm: why` or `deny: why`.
        decision: String,
    },
    /// A person answered a question.
    Answered {
        /// The command that waited.
        command: CommandId,
        /// What they said.
        yes: bool,
        /// Through which door.
        source: String,
    },
    /// A device action is about to leave.
    Sending {
        /// The call.
        call: CallId,
        /// The device.
        device: String,
        /// What is asked of it.
        change: DeviceState,
    },
    /// A plugin's message is about to leave.
    Publishing {
        /// The call.
        call: CallId,
        /// The topic.
        topic: String,
        /// Bytes of the payload.
        bytes: usize,
    },
    /// A tool call ended.
    Ended {
        /// The call.
        call: CallId,
        /// How.
        outcome: String,
    },
    /// A command ended.
    Finished {
        /// Which.
        command: CommandId,
        /// How.
        status: Status,
        /// What was said.
        speech: String,
    },
    /// A rule decided about a message.
    Ruled {
        /// The rule.
        rule: String,
        /// The topic.
        topic: String,
        /// What it did.
        decision: String,
    },
    /// The owner changed something.
    Owner {
        /// What, in words.
        change: String,
    },
    /// hob started or stopped.
    Daemon {
        /// Which of the two, and what was found.
        change: String,
    },
}
