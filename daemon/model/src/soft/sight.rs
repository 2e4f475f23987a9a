//! Media in the forms in which a prompt shows them.

use crate::media::image::ImageBudget;
use hob_events::MediumId;
use std::fmt;
use std::ops::Range;

/// How a medium is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sense {
    /// As a picture, of so many soft tokens at most.
    Picture(ImageBudget),
    /// As a picture of a film.
    Frame,
    /// As a sound.
    Sound,
}

impl Sense {
    /// The budget of a picture; none for a sound.
    pub(crate) fn budget(self) -> Option<ImageBudget> {
        match self {
            Self::Picture(budget) => Some(budget),
            Self::Frame => Some(ImageBudget::Tokens70),
            Self::Sound => None,
        }
    }
}

impl Sense {
    /// What is taken in, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Picture(_) | Self::Frame => "picture",
            Self::Sound => "sound",
        }
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One medium, taken in one way: what has rows of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sight {
    pub(crate) medium: MediumId,
    pub(crate) sense: Sense,
}

/// The ids of one medium's rows, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows(pub(crate) Range<u32>);

impl Rows {
    /// The ids.
    pub fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        self.0.clone()
    }
}

/// A medium of a prompt, ready to be put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A picture.
    Picture(Rows),
    /// A sound.
    Sound(Rows),
    /// A film: each picture with its time, as the model is told it.
    Film(Vec<(String, Rows)>),
    /// A document, which has no rows of its own: it is words among the others.
    Document(String),
}
