//! The control tokens of Gemma 4, found in the tokenizer by their text.

use super::vocabulary::{Vocabulary, VocabularyUnreadable};

/// Token ids by what they mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markers {
    /// `<bos>`: begins every prompt.
    pub bos: u32,
    /// `<eos>`: some models end with it where they should not.
    pub eos: u32,
    /// `<|tool_call>`
    pub call_begin: u32,
    /// `<tool_call|>`
    pub call_end: u32,
    /// `<|tool_response>`: after its calls the model writes it and waits.
    pub response_begin: u32,
    /// `<tool_response|>`
    pub response_end: u32,
    /// `<|"|>`: begins and ends a string.
    pub quote: u32,
    /// `<|channel>`: begins a thought.
    pub thought_begin: u32,
    /// `<channel|>`
    pub thought_end: u32,
    /// `<|turn>`
    pub turn_begin: u32,
    /// `<turn|>`
    pub turn_end: u32,
}

impl Markers {
    /// Looks every marker up.
    ///
    /// # Errors
    /// [`VocabularyUnreadable::Token`] with the first that is missing.
    pub fn find(vocabulary: &Vocabulary) -> Result<Self, VocabularyUnreadable> {
        Ok(Self {
            bos: vocabulary.id("<bos>")?,
            eos: vocabulary.id("<eos>")?,
            call_begin: vocabulary.id("<|tool_call>")?,
            call_end: vocabulary.id("<tool_call|>")?,
            response_begin: vocabulary.id("<|tool_response>")?,
            response_end: vocabulary.id("<tool_response|>")?,
            quote: vocabulary.id("<|\"|>")?,
            thought_begin: vocabulary.id("<|channel>")?,
            thought_end: vocabulary.id("<channel|>")?,
            turn_begin: vocabulary.id("<|turn>")?,
            turn_end: vocabulary.id("<turn|>")?,
        })
    }

    /// Whether a call cannot go on past this id. Models forget the end marker, and some end the turn instead.
    pub(super) fn ends_call(&self, id: u32) -> bool {
        id == self.call_end || id == self.call_begin || self.ends_text(id)
    }

    /// Whether words cannot go on past this id.
    pub(super) fn ends_text(&self, id: u32) -> bool {
        [self.turn_end, self.turn_begin, self.eos, self.response_begin, self.response_end, self.call_end].contains(&id)
    }

    /// What a model may generate of control tokens; all others belong to prompts alone.
    pub(super) fn may_be_written(&self, id: u32) -> bool {
        [
            self.eos,
            self.call_begin,
            self.call_end,
            self.response_begin,
            self.quote,
            self.thought_begin,
            self.thought_end,
            self.turn_end,
        ]
        .contains(&id)
    }
}
