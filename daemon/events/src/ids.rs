//! Names and numbers by which the rest of the vocabulary refers to things.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// This moment `ms` milliseconds later; stays at the end of time instead of overflowing.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, or zero when the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One piece of work the agent does for one event. Unique for the life of the state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TurnId(pub u64);

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn-{}", self.0)
    }
}

/// One tool call of one turn, counted from zero within the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// The turn that made the call.
    pub turn: TurnId,
    /// Its place among the calls of that turn.
    pub index: u32,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.turn, self.index)
    }
}

/// Why a text cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing in it.
    #[error("an identifier must not be empty")]
    Empty,
    /// Longer than topics, logs and keys should carry.
    #[error("an identifier has at most {limit} characters, this one has {length}")]
    TooLong {
        /// Characters found.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// A character that would change the meaning of a topic, a path or a key.
    #[error("'{0}' cannot be part of an identifier: use letters, digits, '_', '-', '.' and ':'")]
    Character(char),
}

/// The most characters an identifier may have: it becomes part of MQTT topics and database keys.
pub const MAX_ID_CHARS: usize = 64;

fn check_id(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    let length = text.chars().count();
    if length > MAX_ID_CHARS {
        return Err(InvalidId::TooLong { length, limit: MAX_ID_CHARS });
    }
    let bad = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'));
    match text.chars().find(bad) {
        Some(character) => Err(InvalidId::Character(character)),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long, or holds a character outside `[A-Za-z0-9_.:-]`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check_id(&text)?;
                Ok(Self(text))
            }

            /// Makes an identifier out of any text: characters that cannot be in one become `_`, what is too long is
            /// cut. For names that strangers or models wrote and that only have to be told, not to be found.
            #[must_use]
            pub fn lossy(text: &str) -> Self {
                let kept = |c: char| if check_id(c.encode_utf8(&mut [0; 4])).is_ok() { c } else { '_' };
                let text: String = text.chars().take(MAX_ID_CHARS).map(kept).collect();
                if text.is_empty() { Self("_".to_owned()) } else { Self(text) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A command, as its sender or hob named it. A command with a known id is answered, not run again.
    CommandId
);
text_id!(
    /// A conversation whose turns see each other.
    ConversationId
);
text_id!(
    /// The board as others see it: the second level of every topic.
    NodeName
);
text_id!(
    /// A plugin, unique on this node.
    PluginName
);
text_id!(
    /// A microphone or a camera of this node.
    SenseName
);
text_id!(
    /// A tool, unique on this node over all plugins.
    ToolName
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_accepted_id_survives_json(text in ".{0,80}") {
            let told = CommandId::lossy(&text);
            prop_assert_eq!(CommandId::new(told.as_str()), Ok(told));
            if let Ok(id) = CommandId::new(text.clone()) {
                let json = serde_json::to_string(&id).unwrap();
                prop_assert_eq!(serde_json::from_str::<CommandId>(&json).unwrap(), id);
                prop_assert!(!text.contains(['/', '+', '#', '\0']), "{text} would change a topic");
            }
        }
    }

    #[test]
    fn a_refused_id_says_what_is_wrong_with_it() {
        assert_eq!(CommandId::new(""), Err(InvalidId::Empty));
        assert_eq!(CommandId::new("a/b"), Err(InvalidId::Character('/')));
        assert!(matches!(CommandId::new("x".repeat(65)), Err(InvalidId::TooLong { length: 65, .. })));
    }
}
