//! How long the model may think before it answers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Tokens that the model may think; none when it is not to think at all. Written as `true` or `"on"` (for
/// [`Thinking::USUAL`]), `false` or `"off"`, or the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Said", into = "u32")]
pub struct Thinking(u32);

/// More than [`Thinking::MOST`], or no such word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("thinking is on, off, or a number of tokens up to {MOST}, not '{0}'", MOST = Thinking::MOST)]
pub struct UnknownThinking(String);

impl Thinking {
    /// No thinking.
    pub const OFF: Self = Self(0);

    /// What is allowed when no number is named: a few paragraphs, a minute or two on a small board.
    pub const USUAL: Self = Self(512);

    /// The most that can be asked for: more takes minutes on any board. A thought that the model's context has no room for,
    /// beside prompt and answer, is ended sooner.
    pub const MOST: u32 = 8192;

    /// Up to so many tokens; 0 is off.
    ///
    /// # Errors
    /// [`UnknownThinking`] beyond [`Thinking::MOST`].
    pub fn up_to(tokens: u32) -> Result<Self, UnknownThinking> {
        if tokens > Self::MOST { Err(UnknownThinking(tokens.to_string())) } else { Ok(Self(tokens)) }
    }

    /// The most tokens of a thought; nothing when it is off.
    #[must_use]
    pub fn tokens(self) -> Option<u32> {
        (self.0 > 0).then_some(self.0)
    }

    /// Whether the model thinks.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for Thinking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Thinking {
    type Err = UnknownThinking;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" | "true" => Ok(Self::USUAL),
            "off" | "false" => Ok(Self::OFF),
            number => number.parse().map_err(|_| UnknownThinking(text.to_owned())).and_then(Self::up_to),
        }
    }
}

/// The ways to write it in JSON and TOML.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Switch(bool),
    Tokens(u32),
    Word(String),
}

impl TryFrom<Said> for Thinking {
    type Error = UnknownThinking;

    fn try_from(said: Said) -> Result<Self, Self::Error> {
        match said {
            Said::Switch(on) => Ok(if on { Self::USUAL } else { Self::OFF }),
            Said::Tokens(tokens) => Self::up_to(tokens),
            Said::Word(word) => word.parse(),
        }
    }
}

impl From<Thinking> for u32 {
    fn from(thinking: Thinking) -> Self {
        thinking.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json, to_value};

    #[test]
    fn it_is_a_switch_a_word_or_a_number() {
        let read = |value: Value| from_value::<Thinking>(value);
        for on in [json!(true), json!("on"), json!(512), json!("512")] {
            assert_eq!(read(on).unwrap(), Thinking::USUAL);
        }
        for off in [json!(false), json!("off"), json!(0)] {
            assert_eq!(read(off).unwrap().tokens(), None);
        }
        assert_eq!(to_value(Thinking::up_to(64).unwrap()).unwrap(), json!(64));
        assert_eq!(
            read(json!(9000)).unwrap_err().to_string(),
            "thinking is on, off, or a number of tokens up to 8192, not '9000'"
        );
        for wrong in [json!("much"), json!(-1), json!({})] {
            assert!(read(wrong).is_err());
        }
    }
}
