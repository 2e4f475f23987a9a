//! What has to hold of a message, of what was said before it, and of what others said last.

use crate::rules::memory::Leaf;
use hob_events::{TopicFilter, UnixMs};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A condition. All parts that are given must hold.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Another topic, whose last message is looked at in place of the one that came.
    pub topic: Option<String>,
    /// That other message may not be older than so many milliseconds.
    pub not_older_ms: Option<u64>,
    /// JSON Pointer (RFC 6901) into the payload; empty for the whole.
    pub pointer: Arc<str>,
    /// The value there is this.
    pub equals: Option<Value>,
    /// The value there is one of these.
    pub one_of: Option<Vec<Value>>,
    /// The text there has this in it.
    pub contains: Option<String>,
    /// The number there is larger.
    pub above: Option<f64>,
    /// The number there is smaller.
    pub below: Option<f64>,
    /// Hysteresis: once past `above` or `below`, it holds until the number is back past this one.
    pub until: Option<f64>,
    /// The value is another than the last time.
    pub changed: bool,
    /// The number is at least so far from that of the last time.
    pub changed_by: Option<f64>,
    /// The number rose by more than so much in a minute since the last time; falling with a negative number below.
    pub rising_above: Option<f64>,
    /// The number rose by less than so much in a minute since the last time.
    pub rising_below: Option<f64>,
    /// Each of these holds too.
    pub all: Vec<Condition>,
    /// One of these holds too.
    pub any: Vec<Condition>,
    /// This does not hold.
    pub not: Option<Box<Condition>>,
}

/// What cannot be asked of a message.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidCondition {
    /// Hysteresis without a limit, or with two.
    #[error("`until` needs `above` or `below` beside it, and not both")]
    Until,
    /// A limit that is never left.
    #[error("with `above = {0}`, `until` has to be smaller or the same")]
    UntilAbove(f64),
    /// A limit that is never left.
    #[error("with `below = {0}`, `until` has to be larger or the same")]
    UntilBelow(f64),
    /// A pointer that can never be found.
    #[error("the pointer '{0}' has to begin with '/', or be empty for the whole payload (RFC 6901)")]
    Pointer(String),
    /// Another topic that none can be.
    #[error("'{0}' is no topic: a condition looks at one, without '+' and '#'")]
    Topic(String),
    /// Nothing is one of none.
    #[error("`one_of` needs at least one value")]
    OneOfNone,
    /// A limit that is none.
    #[error("a limit has to be a number")]
    NoNumber,
    /// An age of the message that just came.
    #[error("`not_older_ms` is about another message: say of which `topic`")]
    Age,
    /// Deeper than anyone means.
    #[error("conditions stand within each other {} deep at most", Condition::DEEPEST)]
    Deep,
}

/// Why a condition does not hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Miss {
    /// There is no such value.
    Absent(Arc<str>),
    /// The other topic has said nothing yet.
    Unheard(String),
    /// It said something, too long ago.
    Old(String, u64),
    /// The value is another than is wanted.
    Other(Arc<str>, String),
    /// It is no number.
    NoNumber(Arc<str>),
    /// The number is not above.
    NotAbove(Arc<str>, f64, f64),
    /// The number is not below.
    NotBelow(Arc<str>, f64, f64),
    /// It is what it was.
    Unchanged(Arc<str>),
    /// There was nothing before it to compare with.
    First(Arc<str>),
    /// It rose too slowly, or too fast.
    Rising(Arc<str>, f64),
    /// None of several holds.
    None(usize),
    /// What must not hold does.
    Holds,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(pointer) => write!(f, "there is no {}", named(pointer)),
            Self::Unheard(topic) => write!(f, "{topic} has said nothing yet"),
            Self::Old(topic, age) => write!(f, "{topic} said that {} ago", Span(*age)),
            Self::Other(pointer, value) => write!(f, "{} is {value}", named(pointer)),
            Self::NoNumber(pointer) => write!(f, "{} is no number", named(pointer)),
            Self::NotAbove(pointer, number, limit) => write!(f, "{} is {number}, not above {limit}", named(pointer)),
            Self::NotBelow(pointer, number, limit) => write!(f, "{} is {number}, not below {limit}", named(pointer)),
            Self::Unchanged(pointer) => write!(f, "{} has not changed enough", named(pointer)),
            Self::First(pointer) => write!(f, "{} was never seen before", named(pointer)),
            Self::Rising(pointer, rate) => write!(f, "{} rises by {rate:.3} a minute", named(pointer)),
            Self::None(of) => write!(f, "none of {of} conditions holds"),
            Self::Holds => f.write_str("what must not hold does"),
        }
    }
}

fn named(pointer: &str) -> &str {
    if pointer.is_empty() { "the payload" } else { pointer }
}

/// Milliseconds as people say them: `90 s`, `10 min`.
pub(crate) struct Span(pub(crate) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms < 1_000 => write!(f, "{ms} ms"),
            ms if ms < 120_000 => write!(f, "{} s", ms / 1_000),
            ms if ms < 7_200_000 => write!(f, "{} min", ms / 60_000),
            ms => write!(f, "{} h", ms / 3_600_000),
        }
    }
}

/// What a condition looks at.
pub(crate) struct Look<'a> {
    pub(crate) at: UnixMs,
    /// The payload that came.
    pub(crate) payload: &'a Value,
    /// What another topic said last, and when.
    pub(crate) last: &'a dyn Fn(&str) -> Option<(UnixMs, &'a Value)>,
}

impl Condition {
    /// Deeper than people think, and shallow enough for any stack.
    pub const DEEPEST: usize = 8;

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`InvalidCondition`] for one that could never hold, or never end.
    pub fn check(&self) -> Result<(), InvalidCondition> {
        self.check_at(0)
    }

    fn check_at(&self, depth: usize) -> Result<(), InvalidCondition> {
        if depth == Self::DEEPEST {
            return Err(InvalidCondition::Deep);
        }
        match (self.until, self.above, self.below) {
            (None, _, _) => (),
            (Some(until), Some(above), None) if until > above => return Err(InvalidCondition::UntilAbove(above)),
            (Some(until), None, Some(below)) if until < below => return Err(InvalidCondition::UntilBelow(below)),
            (Some(_), Some(_), None) | (Some(_), None, Some(_)) => (),
            (Some(_), Some(_), Some(_)) | (Some(_), None, None) => return Err(InvalidCondition::Until),
        }
        if !self.pointer.is_empty() && !self.pointer.starts_with('/') {
            return Err(InvalidCondition::Pointer(self.pointer.to_string()));
        }
        if let Some(topic) = self.topic.as_ref().filter(|topic| !is_topic(topic)) {
            return Err(InvalidCondition::Topic(topic.clone()));
        }
        if self.one_of.as_ref().is_some_and(Vec::is_empty) {
            return Err(InvalidCondition::OneOfNone);
        }
        let limits = [self.above, self.below, self.until, self.changed_by, self.rising_above, self.rising_below];
        if limits.into_iter().flatten().any(|limit| !limit.is_finite()) {
            return Err(InvalidCondition::NoNumber);
        }
        if self.not_older_ms.is_some() && self.topic.is_none() {
            return Err(InvalidCondition::Age);
        }
        self.within().try_for_each(|condition| condition.check_at(depth + 1))
    }

    fn within(&self) -> impl Iterator<Item = &Self> {
        self.all.iter().chain(&self.any).chain(self.not.as_deref())
    }

    /// The topics beside the message's own that it looks at.
    pub(crate) fn topics<'a>(&'a self, to: &mut Vec<&'a str>) {
        to.extend(self.topic.as_deref());
        self.within().for_each(|condition| condition.topics(to));
    }

    /// Whether it holds from one moment to another, and not of each message anew.
    pub(crate) fn has_hysteresis(&self) -> bool {
        self.until.is_some() || self.within().any(Self::has_hysteresis)
    }

    /// How many places of memory it takes.
    pub(crate) fn leaves(&self) -> usize {
        1 + self.within().map(Self::leaves).sum::<usize>()
    }

    /// Whether it holds. Every part is looked at, whatever the others say: each remembers what it saw in `leaves`, of which
    /// there are [`leaves`](Self::leaves).
    pub(crate) fn test(&self, look: &Look<'_>, leaves: &mut [Leaf]) -> Result<(), Miss> {
        let Some((own, mut rest)) = leaves.split_first_mut() else { return Ok(()) };
        let mut next = |condition: &Self| {
            let (those, others) = std::mem::take(&mut rest).split_at_mut(condition.leaves());
            rest = others;
            condition.test(look, those)
        };
        let mut outcome = self.test_own(look, own);
        for condition in &self.all {
            let one = next(condition);
            outcome = outcome.and(one);
        }
        // Not `any`, which would stop at the first.
        let held = self.any.iter().map(&mut next).filter(Result::is_ok).count();
        if !self.any.is_empty() && held == 0 {
            outcome = outcome.and(Err(Miss::None(self.any.len())));
        }
        if let Some(condition) = &self.not
            && next(condition).is_ok()
        {
            outcome = outcome.and(Err(Miss::Holds));
        }
        outcome
    }

    /// Whether what others have said meanwhile lets it hold still. What it asks of the message itself held when that came.
    pub(crate) fn still_holds(&self, look: &Look<'_>, leaves: &mut [Leaf]) -> Result<(), Miss> {
        let Some((own, mut rest)) = leaves.split_first_mut() else { return Ok(()) };
        let mut next = |condition: &Self| {
            let (those, others) = std::mem::take(&mut rest).split_at_mut(condition.leaves());
            rest = others;
            condition.still_holds(look, those)
        };
        let mut outcome = if self.topic.is_some() { self.test_own(look, own) } else { Ok(()) };
        for condition in &self.all {
            let one = next(condition);
            outcome = outcome.and(one);
        }
        let held = self.any.iter().map(&mut next).filter(Result::is_ok).count();
        if !self.any.is_empty() && held == 0 && self.any.iter().all(Self::is_of_others) {
            outcome = outcome.and(Err(Miss::None(self.any.len())));
        }
        if let Some(condition) = &self.not
            && next(condition).is_ok()
            && condition.is_of_others()
        {
            outcome = outcome.and(Err(Miss::Holds));
        }
        outcome
    }

    /// Whether it asks nothing of the message itself.
    pub(crate) fn is_of_others(&self) -> bool {
        (self.topic.is_some() || !self.asks_of_value()) && self.within().all(Self::is_of_others)
    }

    fn asks_of_value(&self) -> bool {
        let limits = self.above.is_some() || self.below.is_some();
        let changes = self.changed || self.changed_by.is_some();
        let rates = self.rising_above.is_some() || self.rising_below.is_some();
        let values = self.equals.is_some() || self.one_of.is_some() || self.contains.is_some();
        limits || changes || rates || values || !self.pointer.is_empty() || self.topic.is_some()
    }

    fn test_own(&self, look: &Look<'_>, leaf: &mut Leaf) -> Result<(), Miss> {
        if !self.asks_of_value() {
            return Ok(());
        }
        let (at, whole) = match &self.topic {
            None => (look.at, look.payload),
            Some(topic) => (look.last)(topic).ok_or_else(|| Miss::Unheard(topic.clone()))?,
        };
        if let Some((topic, age)) = self.topic.as_ref().zip(self.not_older_ms)
            && look.at.since(at) > age
        {
            return Err(Miss::Old(topic.clone(), look.at.since(at)));
        }
        let pointer = || self.pointer.clone();
        let value = whole.pointer(&self.pointer).ok_or_else(|| Miss::Absent(pointer()))?;
        let before = self.remember(at, value, leaf);
        let equals = self.equals.as_ref().is_none_or(|wanted| alike(wanted, value));
        let one_of = self.one_of.as_ref().is_none_or(|those| those.iter().any(|wanted| alike(wanted, value)));
        let text = || value.as_str().unwrap_or_default();
        let contains = self.contains.as_ref().is_none_or(|wanted| text().contains(wanted.as_str()));
        if !equals || !one_of || !contains {
            return Err(Miss::Other(pointer(), short(value)));
        }
        self.test_limits(value, leaf)?;
        self.test_change(at, value, before)
    }

    /// What was seen the last time, and takes its place.
    fn remember(&self, at: UnixMs, value: &Value, leaf: &mut Leaf) -> Option<(UnixMs, Value)> {
        let compares = self.changed || self.changed_by.is_some();
        if !compares && self.rising_above.is_none() && self.rising_below.is_none() {
            return None;
        }
        leaf.seen.replace((at, small(value)))
    }

    fn test_limits(&self, value: &Value, leaf: &mut Leaf) -> Result<(), Miss> {
        if self.above.is_none() && self.below.is_none() {
            return Ok(());
        }
        let pointer = || self.pointer.clone();
        let number = number(value).ok_or_else(|| Miss::NoNumber(pointer()))?;
        // Past its limit it stays until the other one.
        let held = |limit: f64| if leaf.latched { self.until.unwrap_or(limit) } else { limit };
        let above = self.above.map(held).filter(|limit| number <= *limit);
        let below = self.below.map(held).filter(|limit| number >= *limit);
        leaf.latched = above.is_none() && below.is_none();
        match (above, below) {
            (Some(limit), _) => Err(Miss::NotAbove(pointer(), number, limit)),
            (None, Some(limit)) => Err(Miss::NotBelow(pointer(), number, limit)),
            (None, None) => Ok(()),
        }
    }

    fn test_change(&self, at: UnixMs, value: &Value, before: Option<(UnixMs, Value)>) -> Result<(), Miss> {
        let compares = self.changed || self.changed_by.is_some();
        if !compares && self.rising_above.is_none() && self.rising_below.is_none() {
            return Ok(());
        }
        let pointer = || self.pointer.clone();
        let (then, before) = before.ok_or_else(|| Miss::First(pointer()))?;
        if self.changed && alike(&before, &small(value)) {
            return Err(Miss::Unchanged(pointer()));
        }
        if self.changed_by.is_none() && self.rising_above.is_none() && self.rising_below.is_none() {
            return Ok(());
        }
        let now = number(value).ok_or_else(|| Miss::NoNumber(pointer()))?;
        let before = number(&before).ok_or_else(|| Miss::NoNumber(pointer()))?;
        if self.changed_by.is_some_and(|by| (now - before).abs() < by) {
            return Err(Miss::Unchanged(pointer()));
        }
        let rate = (now - before) / minutes(at.since(then));
        let slow = self.rising_above.is_some_and(|limit| rate <= limit);
        let fast = self.rising_below.is_some_and(|limit| rate >= limit);
        if slow || fast { Err(Miss::Rising(pointer(), rate)) } else { Ok(()) }
    }
}

/// A value as it is shown to people: with its quotes, so that a text and a number are told apart.
fn short(value: &Value) -> String {
    const SHORT: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Whether it is one topic, and none of many.
pub(crate) fn is_topic(topic: &str) -> bool {
    !topic.contains(['+', '#']) && TopicFilter::new(topic).is_ok()
}

/// What is compared later: a number or a short text as it is, of everything else a digest.
fn small(value: &Value) -> Value {
    const SHORT: usize = 128;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) if text.len() <= SHORT => value.clone(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let mut hasher = DefaultHasher::new();
            value.to_string().hash(&mut hasher);
            json!({ "digest": hasher.finish() })
        }
    }
}

/// Two messages of one millisecond are a millisecond apart.
fn minutes(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time between two messages")]
    let ms = ms.max(1) as f64;
    ms / 60_000.0
}

/// Numbers as devices write them: also as text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// The same value, be it `21` or `21.0`.
fn alike(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number))
}
