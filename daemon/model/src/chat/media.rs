//! Pictures and sounds in a rendered prompt: from what the template writes for them to the ids of their rows.
//!
//! Templates write one placeholder for each medium. Google's processor puts a begin and an end around it and repeats it
//! for every row; a film becomes its pictures, each with its time in front. Words that a person wrote never hold a
//! placeholder: [`Vocabulary::harmless`] breaks it, as it breaks every control token.

use super::template::RenderFailure;
use super::vocabulary::Vocabulary;
use crate::soft::{Rows, Shown};
use serde_json::{Value, json};

const IMAGE: &str = "<|image|>";
const AUDIO: &str = "<|audio|>";
const VIDEO: &str = "<|video|>";

/// The tokens of pictures, sounds and films that a tokenizer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MediaMarkers {
    /// `<|image|>`, where its begin and end are there too.
    pub(crate) image: Option<u32>,
    /// `<|audio|>`, where its begin and end are there too.
    pub(crate) audio: Option<u32>,
    /// `<|video|>`, which stands between those of a picture.
    pub(crate) video: Option<u32>,
}

/// What a template is given as the content of a person's message: words alone, or media and then the words. Documents are
/// words, in front of what was said about them. `harmless` breaks the control tokens in words.
pub(super) fn content(text: &str, shown: &[Shown], harmless: impl Fn(&str) -> String) -> Value {
    let (mut placeholders, mut words) = (Vec::new(), String::new());
    for medium in shown {
        placeholders.push(match medium {
            Shown::Picture(_) => json!({"type": "image"}),
            Shown::Sound(_) => json!({"type": "audio"}),
            Shown::Film(_) => json!({"type": "video"}),
            Shown::Document(document) => {
                words.push_str(&format!("<document>\n{}\n</document>\n\n", harmless(document)));
                continue;
            }
        });
    }
    words.push_str(&harmless(text));
    if placeholders.is_empty() {
        return json!(words);
    }
    placeholders.push(json!({"type": "text", "text": words}));
    json!(placeholders)
}

impl MediaMarkers {
    /// Looks for them.
    pub(crate) fn find(vocabulary: &Vocabulary) -> Self {
        // A placeholder that is no control token could be written by anyone.
        let control = |token: &str| vocabulary.control().iter().find(|(_, text)| text == token).map(|(id, _)| *id);
        let framed = |begin, middle, end| control(begin).and(control(end)).and(control(middle));
        Self {
            image: framed("<|image>", IMAGE, "<image|>"),
            audio: framed("<|audio>", AUDIO, "<audio|>"),
            video: framed("<|image>", VIDEO, "<image|>"),
        }
    }

    /// The text of a prompt with the begin and the end of every medium around its placeholder. `shown` are the media that
    /// the placeholders of the template stand for, in their order.
    pub(super) fn announced(&self, text: &str, shown: &[Shown]) -> Result<String, RenderFailure> {
        let mut announced = String::with_capacity(text.len());
        let mut rest = text;
        for medium in shown {
            let (id, placeholder, named, put) = match medium {
                Shown::Picture(_) => (self.image, IMAGE, "pictures", "<|image><|image|><image|>".to_owned()),
                Shown::Sound(_) => (self.audio, AUDIO, "sounds", "<|audio><|audio|><audio|>".to_owned()),
                Shown::Film(frames) => {
                    let frames = frames.iter().map(|(at, _)| format!("{at} <|image><|video|><image|>"));
                    (self.video, VIDEO, "films", frames.collect::<Vec<_>>().join(" "))
                }
                Shown::Document(_) => continue,
            };
            id.ok_or(RenderFailure::NoMedia)?;
            let (before, after) = rest.split_once(placeholder).ok_or(RenderFailure::Missing(named))?;
            announced.push_str(before);
            announced.push_str(&put);
            rest = after;
        }
        announced.push_str(rest);
        Ok(announced)
    }

    /// The rows of all media, to be put where their placeholders are.
    pub(super) fn places<'a>(&self, shown: &'a [Shown]) -> Places<'a> {
        let rows = |medium: &'a Shown| -> Vec<(Option<u32>, &'a Rows)> {
            match medium {
                Shown::Picture(rows) => vec![(self.image, rows)],
                Shown::Sound(rows) => vec![(self.audio, rows)],
                Shown::Film(frames) => frames.iter().map(|(_, rows)| (self.video, rows)).collect(),
                Shown::Document(_) => Vec::new(),
            }
        };
        let waiting: Vec<_> = shown.iter().flat_map(rows).collect();
        Places { markers: *self, waiting: waiting.into_iter() }
    }

    fn is_placeholder(&self, id: u32) -> bool {
        [self.image, self.audio, self.video].contains(&Some(id))
    }
}

/// Rows that have yet to be put into the ids of a prompt.
pub(super) struct Places<'a> {
    markers: MediaMarkers,
    waiting: std::vec::IntoIter<(Option<u32>, &'a Rows)>,
}

impl Places<'_> {
    /// Ids with every placeholder replaced by its rows.
    pub(super) fn filled(&mut self, ids: Vec<u32>) -> Result<Vec<u32>, RenderFailure> {
        if self.waiting.len() == 0 && !ids.iter().any(|id| self.markers.is_placeholder(*id)) {
            return Ok(ids);
        }
        let mut filled = Vec::with_capacity(ids.len());
        for id in ids {
            if !self.markers.is_placeholder(id) {
                filled.push(id);
                continue;
            }
            let rows = self.waiting.next().filter(|(kind, _)| *kind == Some(id)).map(|(_, rows)| rows);
            filled.extend(rows.ok_or(RenderFailure::Missing("pictures and sounds in their order"))?.ids());
        }
        Ok(filled)
    }

    /// Makes sure that every medium is in the prompt.
    pub(super) fn all_filled(mut self) -> Result<(), RenderFailure> {
        match self.waiting.next() {
            Some(_) => Err(RenderFailure::Missing("pictures and sounds in their order")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
