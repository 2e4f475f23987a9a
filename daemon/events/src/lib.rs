//! The words of the house: plain data that crosses stages, the command contract among it.
//!
//! No I/O, no channels, no clock: time arrives as [`UnixMs`] from whoever owns a clock. Every other crate of hob may
//! name this one, and this one names none of them. Read [`command`] for what may be asked, [`ToolSpec`] for what is done
//! about it, [`record`] for what is written down.

pub mod command;
pub mod conversation;
pub mod device;
pub mod event;
pub mod ids;
pub mod medium;
pub mod record;
pub mod result;
pub mod thinking;
pub mod tool;
pub mod topic;
pub mod trust;
pub mod unfinished;

pub use command::{
    Ask, Command, CommandDraft, CommandLimits, MalformedCommand, MediumDraft, Notice, Source, parse_command,
};
pub use conversation::{
    Allowed, GenerateFailure, GenerateOrder, Generated, Message, ModelTimings, Part, Priority, Prompt, StopReason,
    TokenizerId, Writing,
};
pub use device::{Area, Delivery, Device, DeviceAction, DeviceKind, DeviceState, Inventory, same_name};
pub use event::{Event, EventKind};
pub use ids::{
    CallId, CommandId, ConversationId, InvalidId, NodeName, PluginName, SenseName, ToolName, TurnId, UnixMs,
};
pub use medium::{Frame, InvalidMediumId, MAX_FRAMES, Medium, MediumId};
pub use record::{AuditEntry, AuditKind, Record};
pub use result::{ActionReport, CommandResult, ErrorReport, Status, StatusUpdate, Timings};
pub use thinking::{Thinking, UnknownThinking};
pub use tool::{Confidence, Effects, Offer, Outcome, Permit, Receipt, Replies, ToolCall, ToolSpec, WrittenCall};
pub use topic::{InvalidTopic, TopicFilter};
pub use trust::{Risk, Trust};
pub use unfinished::{Unfinished, UnfinishedCall};
