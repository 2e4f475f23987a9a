//! Pictures, sounds and films by name: what travels through the house instead of their bytes.

use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A medium's name: the SHA-256 of its bytes, so that the same bytes have the same name everywhere and for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediumId(pub [u8; 32]);

/// A text that is no medium's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a medium's id has 64 digits from 0 to 9 and a to f: send the id that came back when it was handed over")]
pub struct InvalidMediumId;

impl fmt::Display for MediumId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MediumId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for MediumId {
    type Err = InvalidMediumId;

    fn from_str(text: &str) -> Result<Self, InvalidMediumId> {
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(InvalidMediumId)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect();
        bytes.try_into().map(Self).map_err(|_| InvalidMediumId)
    }
}

/// Lower case only: a name has one spelling, and becomes the name of a file.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl TryFrom<String> for MediumId {
    type Error = InvalidMediumId;

    fn try_from(text: String) -> Result<Self, InvalidMediumId> {
        text.parse()
    }
}

impl From<MediumId> for String {
    fn from(id: MediumId) -> Self {
        id.to_string()
    }
}

/// Something to look at or to listen to, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Medium {
    /// A picture: PNG, JPEG or WebP.
    Image {
        /// Its bytes.
        id: MediumId,
    },
    /// A sound: WAV.
    Audio {
        /// Its bytes.
        id: MediumId,
    },
    /// What whoever gives the command said. Only hob's own microphones make one; it is kept in memory alone, and believed as
    /// far as its speaker is, where every other sound is believed not at all.
    Speech {
        /// Its samples.
        id: MediumId,
    },
    /// What one of hob's own cameras showed: a JPEG.
    Camera {
        /// Its bytes.
        id: MediumId,
        /// How far what stands in it is believed.
        trust: Trust,
    },
    /// Text too long to be said: UTF-8.
    Document {
        /// Its bytes.
        id: MediumId,
    },
    /// A film, taken apart into pictures.
    Video {
        /// In the order in which they are seen, at least one.
        frames: Vec<Frame>,
    },
}

/// One picture of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// When it is seen, in milliseconds from the beginning.
    pub at_ms: u64,
    /// Its bytes.
    pub id: MediumId,
}

/// Most pictures of one film: what Gemma 4's own processor takes.
pub const MAX_FRAMES: usize = 32;

impl Medium {
    /// Every name in it that lies on the shelf.
    pub fn shelved(&self) -> impl Iterator<Item = MediumId> {
        let (one, frames) = match self {
            Self::Image { id } | Self::Audio { id } | Self::Camera { id, .. } | Self::Document { id } => {
                (Some(*id), [].as_slice())
            }
            Self::Speech { .. } => (None, [].as_slice()),
            Self::Video { frames } => (None, frames.as_slice()),
        };
        one.into_iter().chain(frames.iter().map(|frame| frame.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_survives_its_spelling(bytes in any::<[u8; 32]>()) {
            let id = MediumId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn what_is_no_name_is_refused(text in "[0-9a-g/.é]{0,70}") {
            let read: Result<MediumId, InvalidMediumId> = text.parse();
            prop_assert_eq!(read.is_ok(), text.len() == 64 && text.bytes().all(|byte| digit(byte).is_some()));
        }
    }

    #[test]
    fn media_are_plain_json() {
        let id = MediumId([0xAB; 32]);
        let media = [Medium::Image { id }, Medium::Video { frames: vec![Frame { at_ms: 1500, id }] }];
        let json = serde_json::to_string(&media).unwrap().replace(&id.to_string(), "<id>");
        insta::assert_snapshot!(json, @r#"[{"kind":"image","id":"<id>"},{"kind":"video","frames":[{"at_ms":1500,"id":"<id>"}]}]"#);
        assert_eq!(media.iter().flat_map(Medium::shelved).count(), 2);
    }
}
