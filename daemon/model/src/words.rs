//! What of a growing generation may be shown to people while it grows: words, no calls, no thoughts.

use crate::chat::{Markers, Vocabulary};

/// Lets text go as soon as it can no longer change: a character may lie in several tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// Bytes of a character that is not whole yet.
    pending: Vec<u8>,
    /// The id that ends what is not shown.
    hidden_until: Option<u32>,
    begun: bool,
}

impl Words {
    /// Takes one more id and gives back what can be shown now.
    pub(crate) fn push(&mut self, vocabulary: &Vocabulary, markers: Option<&Markers>, id: u32) -> String {
        if let Some(end) = self.hidden_until {
            if id == end {
                self.hidden_until = None;
            }
            return String::new();
        }
        let hides = markers.and_then(|markers| {
            let pairs = [(markers.call_begin, markers.call_end), (markers.thought_begin, markers.thought_end)];
            pairs.into_iter().find(|(begin, _)| *begin == id)
        });
        if let Some((_, end)) = hides {
            self.hidden_until = Some(end);
            return String::new();
        }
        self.pending.extend_from_slice(vocabulary.bytes_of(id));
        let text = self.whole_characters();
        // A model likes to begin with a blank or a line break.
        let text = if self.begun { text } else { text.trim_start().to_owned() };
        self.begun |= !text.is_empty();
        text
    }

    /// Takes out what is whole: everything but the bytes of a last character that may still be completed.
    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let rest = self.pending.split_off(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(&self.pending));
                    self.pending = rest;
                    let Some(broken) = error.error_len() else { return text };
                    self.pending.drain(..broken);
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn tiny() -> Vocabulary {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny/tokenizer.json");
        Vocabulary::open(Path::new(path)).unwrap()
    }

    fn shown(vocabulary: &Vocabulary, ids: &[u32]) -> String {
        let markers = Markers::find(vocabulary).unwrap();
        let mut words = Words::default();
        ids.iter().map(|id| words.push(vocabulary, Some(&markers), *id)).collect()
    }

    proptest! {
        #[test]
        fn what_is_shown_bit_by_bit_is_the_whole(text in "[a-zé€😀 .,0-9]{0,40}") {
            let vocabulary = tiny();
            let ids = vocabulary.ids(&text);
            let (told, at_once) = (shown(&vocabulary, &ids), vocabulary.text(&ids));
            prop_assert_eq!(told, at_once.trim_start());
        }
    }

    #[test]
    fn calls_and_thoughts_are_not_shown() {
        let vocabulary = tiny();
        let ids = vocabulary.ids("<|channel>thought\nhm<channel|> so<|tool_call>call:x{}<tool_call|> done<turn|>");
        assert_eq!(shown(&vocabulary, &ids), "so done");
    }
}
