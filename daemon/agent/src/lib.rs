//! Decides: what a command or a message leads to, whether a call may run, what is said in the end.
//!
//! [`Agent::step`] takes one [`Step`] and answers with [`Decisions`]: records to write down, and effects to let go once
//! those are durable. The crate does no I/O, reads no clock and spawns nothing: time arrives in the step, and
//! [`Agent::next_wake`] says when the agent wants to be called again. The same steps give the same answers, so a test is
//! a list of steps and a night's log can be stepped through again. The driver in `hob` is its only caller.
//!
//! Read [`agent`] first, then [`gate`]; [`turn`] holds what one turn remembers, [`reply`] what is said.

pub mod agent;
mod calls;
mod ending;
pub mod gate;
pub mod prompt;
pub mod reply;
mod ruled;
pub mod rules;
pub mod settings;
pub mod step;
mod target;
pub mod turn;

pub use agent::{Agent, CAMERA_TOPIC, KeptConversation};
pub use calls::source_word;
pub use gate::{Gate, Verdict};
pub use ruled::LookedAt;
pub use rules::{Engine, InvalidRules, Place, Rule, RuleAction, RuleLimits, RuleMemory, Ruling};
pub use settings::{AgentSettings, Thresholds};
pub use step::{Answer, Decisions, Effect, Input, Step};
