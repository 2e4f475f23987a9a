//! The owner's deterministic answers: to messages, to silence, to the time of day. First match wins; what no rule looks at is
//! ignored. `rule` is how they are written, `engine` how they work; a `condition` looks at payloads, a `moment` at the clock.

mod begin;
mod condition;
mod engine;
mod limits;
mod memory;
mod moment;
mod rule;
mod ruling;
mod template;
#[cfg(test)]
mod tests;

pub use condition::{Condition, InvalidCondition, Miss};
pub use engine::{Engine, InvalidRules};
pub use limits::RuleLimits;
pub use memory::RuleMemory;
pub use moment::{InvalidMoment, InvalidPlace, Moment, Place, SunEvent, Window};
pub use rule::{AtMost, InvalidRule, Rule, RuleAction, Trigger};
pub use ruling::{Act, Decision, Held, Ruling};
