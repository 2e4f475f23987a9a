//! Rules as the owner writes them.

use crate::rules::condition::{Condition, InvalidCondition, is_topic};
use crate::rules::moment::{InvalidMoment, Moment, Window, WrittenMoment};
use crate::rules::template::{pointers, topics};
use hob_events::{ToolName, TopicFilter};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::hash::{DefaultHasher, Hash, Hasher};

/// One rule: when it looks, what has to hold, how often it may, and what it does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rule {
    /// For the log and the audit; no two rules have the same.
    pub name: String,
    /// When it looks.
    pub trigger: Trigger,
    /// Only when this holds.
    pub when: Condition,
    /// It acts once when the condition begins to hold, and not again before that has ended.
    pub once: bool,
    /// The condition has to hold for so many milliseconds.
    pub for_ms: u64,
    /// It looks only when nothing more was said for so many milliseconds.
    pub debounce_ms: u64,
    /// Only in these parts of the day; empty for always.
    pub during: Vec<Window>,
    /// How often it may act.
    pub limits: Vec<AtMost>,
    /// What it does.
    pub action: RuleAction,
}

/// When a rule looks.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// Something is said.
    Message {
        /// On which topics.
        topic: TopicFilter,
        /// Also for messages that the broker kept from before: such a message may be days old.
        retained: bool,
    },
    /// Nothing was said for some time.
    Silence {
        /// On which topics: each for itself, from the first time that it says something.
        topic: TopicFilter,
        /// So many milliseconds.
        after_ms: u64,
    },
    /// A time has come.
    Time(Moment),
}

/// So many times within so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// How many times.
    pub times: usize,
    /// Within which time.
    pub within_ms: u64,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleAction {
    /// Nothing, and no later rule either.
    Ignore,
    /// Call a tool with these arguments.
    Call {
        /// Which tool.
        tool: ToolName,
        /// Its arguments.
        #[serde(default)]
        args: Map<String, Value>,
    },
    /// Publish a message.
    Publish {
        /// Where.
        topic: String,
        /// What: a template, as for `ask`.
        payload: String,
        /// Whether the broker is to keep it.
        #[serde(default)]
        retain: bool,
    },
    /// Ask the model. `{topic}` and `{payload}` stand for the message, `{value /pointer}` for a value in it, and
    /// `{last some/topic}` or `{last some/topic#/pointer}` for what another topic said last.
    Ask(String),
    /// Ask the model, and publish what it says of the camera's frame together with the frame.
    Notify {
        /// Where.
        topic: String,
        /// What is asked: a template, as for `ask`.
        ask: String,
        /// After this time the message goes out without words.
        #[serde(default = "RuleAction::default_within_ms")]
        within_ms: u64,
    },
}

impl RuleAction {
    const fn default_within_ms() -> u64 {
        10_000
    }

    /// Where it publishes.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Publish { topic, .. } | Self::Notify { topic, .. } => Some(topic),
            Self::Ignore | Self::Call { .. } | Self::Ask(_) => None,
        }
    }

    /// What it says or asks, not yet filled in.
    fn template(&self) -> Option<&str> {
        match self {
            Self::Ask(template) | Self::Publish { payload: template, .. } | Self::Notify { ask: template, .. } => {
                Some(template)
            }
            Self::Ignore | Self::Call { .. } => None,
        }
    }
}

/// As it is written: everything side by side.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    topic: Option<TopicFilter>,
    silent_ms: Option<u64>,
    at: Option<WrittenMoment>,
    #[serde(default)]
    when: Condition,
    #[serde(default)]
    retained: bool,
    #[serde(default)]
    once: bool,
    #[serde(default)]
    for_ms: u64,
    #[serde(default)]
    debounce_ms: u64,
    #[serde(default)]
    during: Vec<Window>,
    #[serde(default)]
    not_within_ms: u64,
    at_most: Option<AtMost>,
    #[serde(rename = "do")]
    action: RuleAction,
}

/// What is no rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidRule {
    /// It never looks.
    #[error("rule '{0}' needs a `topic`, or a time with `at`")]
    NoTrigger(String),
    /// It would look at two kinds of things.
    #[error("rule '{0}' has `at`, and beside it a topic or a time of silence: write two rules")]
    TwoTriggers(String),
    /// What a message alone can have.
    #[error("rule '{rule}': `{key}` is about messages, and this rule waits for {waits}")]
    NoMessage {
        /// The rule.
        rule: String,
        /// What was written.
        key: &'static str,
        /// What it waits for.
        waits: &'static str,
    },
    /// A condition that makes no sense.
    #[error("rule '{0}': {1}")]
    Condition(String, InvalidCondition),
    /// No such time.
    #[error("rule '{0}': {1}")]
    Moment(String, InvalidMoment),
    /// It may never act.
    #[error("rule '{0}': `at_most` needs 1 to {most} times, within at most {days} days", most = AtMost::MOST_TIMES, days = AtMost::LONGEST_MS / 86_400_000)]
    AtMost(String),
    /// It cannot be told from what all rules remember together.
    #[error("a rule needs a name")]
    Name,
    /// It would be told all the time.
    #[error("rule '{0}': `silent_ms` has to be 100 at least")]
    Silence(String),
    /// A time says nothing.
    #[error("rule '{0}' waits for a time: what its `when` asks needs a `topic`")]
    NothingSaid(String),
    /// A pointer that can never be found.
    #[error("rule '{0}': '{{value {1}}}' needs a pointer that begins with '/'")]
    Value(String, String),
    /// Words about a topic that is none.
    #[error("rule '{0}': '{{last {1}}}' names no topic")]
    Last(String, String),
    /// Its words could never come in time.
    #[error("rule '{0}': `within_ms` has to be 1 at least")]
    Notice(String),
    /// Nothing to publish to.
    #[error("rule '{0}' publishes to '{1}', which is no topic")]
    Topic(String, String),
}

impl Rule {
    /// What it has to be told: the filters of its own topics, and of those that its condition and its words look at.
    #[must_use]
    pub fn listens_on(&self) -> Vec<String> {
        let own = match &self.trigger {
            Trigger::Message { topic, .. } | Trigger::Silence { topic, .. } => Some(topic.as_str()),
            Trigger::Time(_) => None,
        };
        own.into_iter().chain(self.watches()).map(str::to_owned).collect()
    }

    /// Tells a rule from one that was written otherwise: how it is called does not count, nor how often it may act.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Self { trigger, when, once, for_ms, debounce_ms, action, .. } = self;
        format!("{trigger:?} {when:?} {once} {for_ms} {debounce_ms} {action:?}").hash(&mut hasher);
        hasher.finish()
    }

    /// The topics beside its own that it looks at.
    pub(crate) fn watches(&self) -> Vec<&str> {
        let mut watched = Vec::new();
        self.when.topics(&mut watched);
        watched.extend(self.action.template().into_iter().flat_map(topics));
        watched
    }

    /// Whether it looks at what is said on a topic.
    pub(crate) fn listens_to(&self, topic: &str) -> bool {
        match &self.trigger {
            Trigger::Message { topic: filter, .. } | Trigger::Silence { topic: filter, .. } => filter.matches(topic),
            Trigger::Time(_) => false,
        }
    }
}

impl AtMost {
    /// What is further back is not remembered.
    pub const LONGEST_MS: u64 = 31 * 86_400_000;

    /// More is not counted.
    pub const MOST_TIMES: usize = 1_000;
}

impl TryFrom<Written> for Rule {
    type Error = InvalidRule;

    fn try_from(written: Written) -> Result<Self, InvalidRule> {
        let Written { name, topic, silent_ms, at, when, retained, once, for_ms, debounce_ms, .. } = written;
        let Written { during, not_within_ms, at_most, action, .. } = written;
        const LEAST_SILENCE_MS: u64 = 100;
        if name.is_empty() {
            return Err(InvalidRule::Name);
        }
        if silent_ms.is_some_and(|ms| ms < LEAST_SILENCE_MS) {
            return Err(InvalidRule::Silence(name));
        }
        let trigger = match (topic, silent_ms, at) {
            (Some(topic), None, None) => Trigger::Message { topic, retained },
            (Some(topic), Some(after_ms), None) => Trigger::Silence { topic, after_ms },
            (None, None, Some(moment)) => match Moment::try_from(moment) {
                Ok(moment) => Trigger::Time(moment),
                Err(error) => return Err(InvalidRule::Moment(name, error)),
            },
            (None, _, None) => return Err(InvalidRule::NoTrigger(name)),
            (_, _, Some(_)) => return Err(InvalidRule::TwoTriggers(name)),
        };
        let waits = match &trigger {
            Trigger::Message { .. } => None,
            Trigger::Silence { .. } => Some("silence"),
            Trigger::Time(_) => Some("a time"),
        };
        let given = [(retained, "retained"), (once, "once"), (for_ms > 0, "for_ms"), (debounce_ms > 0, "debounce_ms")];
        let given = given.into_iter().find(|(given, _)| *given);
        if let Some((waits, (_, key))) = waits.zip(given) {
            return Err(InvalidRule::NoMessage { rule: name, key, waits });
        }
        if let Err(error) = when.check() {
            return Err(InvalidRule::Condition(name, error));
        }
        let sensible = |limit: &AtMost| {
            (1..=AtMost::MOST_TIMES).contains(&limit.times) && (1..=AtMost::LONGEST_MS).contains(&limit.within_ms)
        };
        if at_most.is_some_and(|limit| !sensible(&limit)) {
            return Err(InvalidRule::AtMost(name));
        }
        if let Some(topic) = action.topic().filter(|topic| !is_topic(topic)) {
            return Err(InvalidRule::Topic(name, topic.to_owned()));
        }
        if matches!(action, RuleAction::Notify { within_ms: 0, .. }) {
            return Err(InvalidRule::Notice(name));
        }
        if matches!(trigger, Trigger::Time(_)) && !when.is_of_others() {
            return Err(InvalidRule::NothingSaid(name));
        }
        if let Some(template) = action.template() {
            if let Some(last) = topics(template).find(|topic| !is_topic(topic)) {
                return Err(InvalidRule::Last(name, last.to_owned()));
            }
            if let Some(pointer) = pointers(template).find(|pointer| !pointer.starts_with('/')) {
                return Err(InvalidRule::Value(name, pointer.to_owned()));
            }
        }
        let pause = (not_within_ms > 0).then_some(AtMost { times: 1, within_ms: not_within_ms });
        let limits = pause.into_iter().chain(at_most).collect();
        let once = once || for_ms > 0 || when.has_hysteresis();
        Ok(Self { name, trigger, when, once, for_ms, debounce_ms, during, limits, action })
    }
}
