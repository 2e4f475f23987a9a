//! What is said on the control socket: one JSON object a line, both ways.

use hob_events::{CommandId, CommandResult, MalformedCommand, StatusUpdate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The longest line either way, in bytes: a command's 16 KiB escaped, and answers like the list of tools.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What a peer may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A command, by the same contract as on MQTT. Answered by `accepted`, `status` lines, `text`, and one `final`.
    Command {
        /// Plain words, or the JSON object of the contract.
        command: Value,
    },
    /// The answer to a command's question.
    Confirm {
        /// The command that waits.
        id: CommandId,
        /// The answer.
        yes: bool,
        /// The question's number, as its status told it; without one, the command's first question.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// Takes a command back.
    Cancel {
        /// Which.
        id: CommandId,
    },
    /// Begins to hand a medium over. Answered by `data` with its number, `{"upload": N}`.
    Upload,
    /// The next piece of a medium, in Base64; at most 512 KiB of it. Answered by `done`, which the next piece waits for.
    Piece {
        /// Its number.
        upload: u64,
        /// The bytes.
        data: String,
    },
    /// That was all of a medium. Answered by `data` with its id, `{"id": "…"}`, under which a command may name it.
    Uploaded {
        /// Its number.
        upload: u64,
    },
    /// How every microphone is.
    Microphones,
    /// How every camera is.
    Cameras,
    /// Mutes a microphone, or no longer.
    Mute {
        /// Its name.
        microphone: String,
        /// Whether it is to be.
        muted: bool,
    },
    /// The button of a microphone: what is said next is meant for hob, or was all.
    Listen {
        /// Its name.
        microphone: String,
        /// Whether it was pressed, or let go.
        pressed: bool,
    },
    /// What the rules looked at last, and what each decided.
    Rules {
        /// How many of the newest.
        last: usize,
    },
    /// The tools on offer, with their schemas.
    Tools,
    /// The inventory with last known states.
    Devices,
    /// What the model is and how it does.
    Model,
    /// Another model for a running hob. Root and hob's own user may ask for it. Answered by `progress` lines, then
    /// `data` with what it is now, or an `error`: the old one then goes on.
    ModelSwap {
        /// Its folder, by the whole path.
        folder: PathBuf,
        /// Which graphs; the first that is there without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
    },
    /// How hob is: uptime, queues, broker.
    Status,
    /// The last lines of the audit log.
    Audit {
        /// How many.
        last: usize,
    },
    /// Walks the audit log's chain.
    AuditVerify,
}

/// What a peer is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// A command is in the inbox.
    Accepted {
        /// Its id.
        id: CommandId,
    },
    /// How a command is going.
    Status(StatusUpdate),
    /// How much of a long prompt the model has read.
    Reading {
        /// Which command.
        id: CommandId,
        /// Tokens read so far.
        tokens: usize,
        /// Tokens of the prompt.
        of: usize,
    },
    /// Words as the model writes them.
    Text {
        /// Which command.
        id: CommandId,
        /// The next piece.
        delta: String,
    },
    /// How a command ended.
    Final {
        /// The stored result.
        result: CommandResult,
    },
    /// The answer to a request for information.
    Data {
        /// Its shape depends on the request.
        value: Value,
    },
    /// How a request that takes long is going.
    Progress {
        /// For people.
        message: String,
    },
    /// It was done, and there is nothing to tell.
    Done,
    /// It was not.
    Error {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
}

impl Reply {
    /// A typed refusal.
    pub fn error(code: &str, message: impl ToString) -> Self {
        Self::Error { code: code.to_owned(), message: message.to_string() }
    }
}

impl From<&MalformedCommand> for Reply {
    fn from(error: &MalformedCommand) -> Self {
        Self::error(error.code(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn requests_and_replies_are_plain_json() {
        let line = |request: &Request| serde_json::to_string(request).unwrap();
        assert_snapshot!(line(&Request::Command { command: json!("lights off") }), @r#"{"op":"command","command":"lights off"}"#);
        assert_snapshot!(line(&Request::Confirm { id: CommandId::lossy("a"), yes: true, number: None }), @r#"{"op":"confirm","id":"a","yes":true}"#);
        assert_snapshot!(line(&Request::Piece { upload: 3, data: "AAA=".to_owned() }), @r#"{"op":"piece","upload":3,"data":"AAA="}"#);
        assert_snapshot!(line(&Request::AuditVerify), @r#"{"op":"audit_verify"}"#);
        let reply = Reply::Status(StatusUpdate {
            id: CommandId::lossy("a"),
            status: hob_events::Status::Thinking,
            question: None,
            number: None,
        });
        assert_snapshot!(serde_json::to_string(&reply).unwrap(), @r#"{"reply":"status","id":"a","status":"thinking"}"#);
    }
}
