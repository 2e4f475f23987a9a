//! Generated ids to their meaning. It works on ids, not on text: inside a call one token opens and closes strings, so
//! braces and commas in a string are just characters.

use super::Markers;
use super::notation::{Sign, read_call, signs_of_text};
use super::vocabulary::Vocabulary;
use hob_events::{Confidence, Writing, WrittenCall};
use std::ops::Range;

/// Reads what was generated. `sureness` has one entry per token (see [`super::ChatFormat::parse`]).
pub(super) fn parse(vocabulary: &Vocabulary, markers: &Markers, ids: &[u32], sureness: &[Confidence]) -> Vec<Writing> {
    let mut parser = Parser { vocabulary, markers, ids, sureness, written: Vec::new() };
    parser.run();
    parser.written
}

struct Parser<'a> {
    vocabulary: &'a Vocabulary,
    markers: &'a Markers,
    ids: &'a [u32],
    sureness: &'a [Confidence],
    written: Vec<Writing>,
}

impl Parser<'_> {
    fn run(&mut self) {
        let mut text_from = 0;
        let mut at = 0;
        while let Some(&id) = self.ids.get(at) {
            if id == self.markers.call_begin {
                self.text(text_from..at);
                let end = self.find(at + 1, |id| self.markers.ends_call(id));
                self.call(at..end);
                // The end marker belongs to the call; any other token that ended it is looked at again.
                at = if self.ids.get(end) == Some(&self.markers.call_end) { end + 1 } else { end };
                text_from = at;
            } else if id == self.markers.thought_begin {
                self.text(text_from..at);
                at = self.find(at + 1, |id| id == self.markers.thought_end) + 1;
                text_from = at;
            } else if self.markers.ends_text(id) {
                self.text(text_from..at);
                at += 1;
                text_from = at;
            } else {
                at += 1;
            }
        }
        self.text(text_from..self.ids.len());
    }

    /// The first place from `from` on whose id is `wanted`, or the end.
    fn find(&self, from: usize, wanted: impl Fn(u32) -> bool) -> usize {
        let rest = self.ids.iter().skip(from);
        rest.copied().position(wanted).map_or(self.ids.len(), |offset| from + offset)
    }

    /// A call from its begin marker to whatever ended it, which is not in the span.
    fn call(&mut self, span: Range<usize>) {
        let inside = self.ids.get(span.start + 1..span.end).unwrap_or_default();
        let (signs, closed) = self.signs(inside);
        let read = if closed { read_call(&signs) } else { Err("a string does not end".to_owned()) };
        self.written.push(match read {
            Ok((tool, args)) => Writing::Call(WrittenCall { tool, args, confidence: self.confidence(span) }),
            Err(reason) => Writing::Malformed { text: self.shown(inside), reason },
        });
    }

    /// Words; nothing when there are none. A call that was printed as words is still a call.
    fn text(&mut self, span: Range<usize>) {
        let inside = self.ids.get(span.clone()).unwrap_or_default();
        let text = self.shown(inside);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let read = if text.starts_with("call:") { read_call(&signs_of_text(text, "\"")).ok() } else { None };
        self.written.push(match read {
            Some((tool, args)) => Writing::Call(WrittenCall { tool, args, confidence: self.confidence(span) }),
            None => Writing::Text { text: text.to_owned() },
        });
    }

    /// The signs of a call, and whether its last string was closed.
    fn signs(&self, inside: &[u32]) -> (Vec<Sign>, bool) {
        let mut signs = Vec::new();
        let mut in_string = false;
        for stretch in inside.split(|id| *id == self.markers.quote) {
            let text = self.vocabulary.text(stretch);
            if in_string {
                signs.push(Sign::Quoted(text));
            } else {
                signs.extend(text.chars().map(Sign::Bare));
            }
            in_string = !in_string;
        }
        // An even number of quote tokens leaves an odd number of stretches, the last of them outside strings.
        (signs, in_string)
    }

    /// The text with quote tokens shown as `"`.
    fn shown(&self, ids: &[u32]) -> String {
        let stretches = ids.split(|id| *id == self.markers.quote).map(|stretch| self.vocabulary.text(stretch));
        stretches.collect::<Vec<_>>().join("\"")
    }

    /// The least of both shares over the span.
    fn confidence(&self, span: Range<usize>) -> Confidence {
        let steps = self.sureness.get(span).unwrap_or_default();
        steps.iter().fold(Confidence::CERTAIN, |least, step| Confidence {
            kept: least.kept.min(step.kept),
            winner: least.winner.min(step.winner),
        })
    }
}
