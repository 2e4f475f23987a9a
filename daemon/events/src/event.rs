//! Things that happen outside.

use crate::command::Command;
use crate::ids::{SenseName, UnixMs};
use crate::medium::Medium;
use serde::{Deserialize, Serialize};

/// Something that happened outside, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When hob saw it.
    pub at: UnixMs,
    /// What it was.
    pub kind: EventKind,
}

/// The closed list of what can happen outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A command was accepted: it is in the inbox.
    Command(Box<Command>),
    /// A message came on a topic that a rule listens to.
    Message {
        /// The topic.
        topic: String,
        /// Its payload, when it was text.
        payload: String,
        /// Whether the broker had kept it from before.
        retained: bool,
    },
    /// Something moved in front of a camera. To rules it is a message on the topic `$camera/<name>`, with `{"motion":…}`.
    Frame {
        /// Which.
        camera: SenseName,
        /// What it showed.
        medium: Medium,
        /// Which share of the picture changed, from 0 to 1.
        motion: f32,
    },
}
