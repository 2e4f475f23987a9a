//! MQTT topic filters: which topics a rule, a device or a grant means.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is no topic filter (MQTT 5, section 4.7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// Nothing in it.
    #[error("a topic must not be empty")]
    Empty,
    /// More bytes than the protocol carries.
    #[error("a topic has at most 65535 bytes, this one has {0}")]
    TooLong(usize),
    /// `#` that is not the last level, or `+` or `#` beside other characters in a level.
    #[error("'{0}': '+' stands for one whole level and '#' for all that follow, at the end")]
    Wildcard(String),
    /// The null character.
    #[error("a topic must not hold the null character")]
    Null,
}

/// A filter with `+` for one level and `#` for all levels from there on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicFilter(String);

impl TopicFilter {
    /// Checks the text and takes it.
    ///
    /// # Errors
    /// [`InvalidTopic`] when a broker would refuse it.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidTopic> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidTopic::Empty);
        }
        if text.len() > usize::from(u16::MAX) {
            return Err(InvalidTopic::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(InvalidTopic::Null);
        }
        let last = text.split('/').count() - 1;
        let misplaced = |(at, level): (usize, &str)| {
            (level.contains(['+', '#']) && level.len() > 1) || (level == "#" && at != last)
        };
        if text.split('/').enumerate().any(misplaced) {
            return Err(InvalidTopic::Wildcard(text));
        }
        Ok(Self(text))
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `topic` falls under it. A wildcard at the front does not reach topics that begin with `$`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in self.0.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                (_, Some(_) | None) => return false,
            }
        }
        levels.next().is_none()
    }
}

impl TryFrom<String> for TopicFilter {
    type Error = InvalidTopic;
    fn try_from(text: String) -> Result<Self, InvalidTopic> {
        Self::new(text)
    }
}

impl From<TopicFilter> for String {
    fn from(filter: TopicFilter) -> String {
        filter.0
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(filter: &str, topic: &str) -> bool {
        TopicFilter::new(filter).unwrap().matches(topic)
    }

    #[test]
    fn wildcards_stand_for_whole_levels() {
        assert!(matches("a/+/c", "a/b/c") && matches("a/#", "a/b/c") && matches("a/#", "a") && matches("#", "a/b"));
        assert!(!matches("a/+", "a/b/c") && !matches("a/+/c", "a/c") && !matches("a", "a/b"));
        assert!(
            !matches("#", "$SYS/uptime") && !matches("+/uptime", "$SYS/uptime") && matches("$SYS/#", "$SYS/uptime")
        );
    }

    #[test]
    fn a_misplaced_wildcard_is_refused() {
        for bad in ["", "a/#/b", "a#", "a/b+", "a\0"] {
            assert!(TopicFilter::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_topic_matches_itself_and_itself_with_a_level_made_a_wildcard(
            levels in proptest::collection::vec("[a-z0-9 ]{0,4}", 1..6), at in any::<prop::sample::Index>(),
        ) {
            let topic = levels.join("/");
            prop_assume!(!topic.is_empty());
            prop_assert!(matches(&topic, &topic));
            let at = at.index(levels.len());
            let mut wild = levels.clone();
            wild[at] = "+".into();
            prop_assert!(matches(&wild.join("/"), &topic));
            let mut tail = levels[..at].to_vec();
            tail.push("#".into());
            prop_assert!(matches(&tail.join("/"), &topic));
        }
    }
}
