//! What a rule decided about a message, and why: what people ask when a light went on, or did not.

use crate::rules::condition::{Miss, Span};
use hob_events::{ToolName, UnixMs};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// What one rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// Which rule.
    pub rule: Arc<str>,
    /// About which topic; none for a time.
    pub topic: Option<Arc<str>>,
    /// What.
    pub decision: Decision,
}

/// What a rule can decide.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It acts.
    Acts(Act),
    /// It has later rules do nothing either.
    Ignores,
    /// It acts at that time, if nothing comes in between.
    Waits(UnixMs),
    /// Its condition does not hold.
    Misses(Miss),
    /// It would have acted.
    Held(Held),
}

/// What a rule does, its words filled in.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Call a tool.
    Call {
        /// Which.
        tool: ToolName,
        /// Its arguments.
        args: Map<String, Value>,
    },
    /// Publish a message.
    Publish {
        /// Where.
        topic: String,
        /// What.
        payload: String,
        /// Whether the broker is to keep it.
        retain: bool,
    },
    /// Ask the model.
    Ask(String),
    /// Ask the model, and publish what it says.
    Notify {
        /// Where.
        topic: String,
        /// What is asked.
        words: String,
        /// After this time it goes out without words.
        within_ms: u64,
    },
}

/// Why a rule does not act although its condition holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// The broker had kept the message from before.
    Retained,
    /// Not at this time of day.
    Outside(String),
    /// It has acted on this, and the condition has not ended since.
    Told,
    /// It has acted often enough.
    Often {
        /// So many times.
        times: usize,
        /// Within so many milliseconds.
        within_ms: u64,
    },
    /// It caused itself.
    Itself {
        /// Until then it does nothing.
        until: UnixMs,
        /// Whether that was found out now.
        first: bool,
    },
    /// All rules together have asked the model often enough.
    Budget {
        /// So many times in an hour.
        per_hour: usize,
    },
    /// As many commands of rules wait as may.
    Full,
    /// An earlier rule decided.
    Before(Arc<str>),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acts(act) => act.fmt(f),
            Self::Ignores => f.write_str("ignores it"),
            Self::Waits(until) => write!(f, "waits until {}", Clock(*until)),
            Self::Misses(miss) => write!(f, "no: {miss}"),
            Self::Held(held) => write!(f, "holds, but {held}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { tool, args } => {
                write!(f, "calls {tool} {}", serde_json::to_string(args).map_err(|_| fmt::Error)?)
            }
            Self::Publish { topic, payload, .. } => write!(f, "publishes {payload} to {topic}"),
            Self::Ask(words) => write!(f, "asks: {words}"),
            Self::Notify { topic, words, within_ms } => {
                write!(f, "asks, and tells {topic} within {}: {words}", Span(*within_ms))
            }
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retained => f.write_str("the broker had kept the message from before"),
            Self::Outside(when) => write!(f, "only at {when}"),
            Self::Told => f.write_str("it has acted on this already"),
            Self::Often { times: 1, within_ms } => write!(f, "it acts once in {}", Span(*within_ms)),
            Self::Often { times, within_ms } => write!(f, "it acts {times} times in {}", Span(*within_ms)),
            Self::Itself { until, .. } => {
                write!(f, "it caused itself or acts too often, and does nothing until {}", Clock(*until))
            }
            Self::Budget { per_hour } => write!(f, "rules ask the model {per_hour} times an hour"),
            Self::Full => f.write_str("as many commands of rules wait as may"),
            Self::Before(rule) => write!(f, "'{rule}' decided before it"),
        }
    }
}

/// A moment as people read it, in universal time.
struct Clock(UnixMs);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        match chrono::DateTime::from_timestamp_millis(ms) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S UTC")),
            None => write!(f, "{ms} ms"),
        }
    }
}
