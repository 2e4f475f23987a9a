//! The simplest format that works with any tokenizer: words in, words out, calls as `call:NAME{…}` in the text.

use super::notation::{read_call, signs_of_text, write_call};
use super::template::RenderFailure;
use super::vocabulary::Vocabulary;
use super::{ChatFormat, Markers};
use crate::soft::Shown;
use hob_events::{Confidence, Message, Part, Prompt, StopReason, Writing, WrittenCall};
use std::sync::Arc;

/// Words only. There are no markers, so nothing constrains what is written; a line that reads as a call is one.
#[derive(Debug)]
pub struct Plain {
    vocabulary: Arc<Vocabulary>,
    /// Ends a generation.
    stop: u32,
}

impl Plain {
    /// A format that stops at the id `stop`.
    #[must_use]
    pub fn new(vocabulary: Arc<Vocabulary>, stop: u32) -> Self {
        Self { vocabulary, stop }
    }

    fn part(&self, part: &Part, ids: &mut Vec<u32>) {
        match part {
            Part::Written { tokens, tokenizer, .. } if *tokenizer == self.vocabulary.tokenizer_id() => {
                ids.extend(tokens);
            }
            Part::Written { writing, .. } => {
                ids.extend(writing.iter().flat_map(|writing| self.harmless_ids(&shown(writing))));
            }
            Part::Response { tool, value } => ids.extend(self.harmless_ids(&format!("\n{tool}: {value}\n"))),
        }
    }

    fn harmless_ids(&self, text: &str) -> Vec<u32> {
        self.vocabulary.ids(&self.vocabulary.harmless(text))
    }
}

impl ChatFormat for Plain {
    fn render(&self, prompt: &Prompt, shown: &[Shown]) -> Result<Vec<u32>, RenderFailure> {
        if !shown.is_empty() {
            return Err(RenderFailure::NoMedia);
        }
        let mut ids = self.harmless_ids(&prompt.system);
        let mut open = false;
        for message in &prompt.messages {
            match message {
                Message::User { text, .. } => {
                    ids.extend(self.harmless_ids(&format!("\nuser: {text}\nmodel: ")));
                    open = true;
                }
                Message::Model { parts } => {
                    parts.iter().for_each(|part| self.part(part, &mut ids));
                    open = matches!(parts.last(), Some(Part::Response { .. }));
                }
            }
        }
        if !open {
            ids.extend(self.vocabulary.ids("\nmodel: "));
        }
        Ok(ids)
    }

    fn parse(&self, ids: &[u32], sureness: &[Confidence]) -> Vec<Writing> {
        let text = self.vocabulary.text(ids);
        let least = |least: Confidence, step: &Confidence| Confidence {
            kept: least.kept.min(step.kept),
            winner: least.winner.min(step.winner),
        };
        let confidence = sureness.iter().fold(Confidence::CERTAIN, least);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| meaning(line, confidence)).collect()
    }

    fn stop(&self, id: u32) -> Option<StopReason> {
        (id == self.stop).then_some(StopReason::EndOfTurn)
    }

    fn thinks(&self) -> bool {
        false
    }

    fn thought_opening(&self, _prompt: &Prompt) -> &[u32] {
        &[]
    }

    fn suppressed(&self) -> &[u32] {
        &[]
    }

    fn markers(&self) -> Option<&Markers> {
        None
    }
}

fn meaning(line: &str, confidence: Confidence) -> Writing {
    if !line.starts_with("call:") {
        return Writing::Text { text: line.to_owned() };
    }
    match read_call(&signs_of_text(line, "\"")) {
        Ok((tool, args)) => Writing::Call(WrittenCall { tool, args, confidence }),
        Err(reason) => Writing::Malformed { text: line.to_owned(), reason },
    }
}

fn shown(writing: &Writing) -> String {
    match writing {
        Writing::Text { text } | Writing::Malformed { text, .. } => text.clone(),
        Writing::Call(call) => write_call(&call.tool, &call.args, "\""),
    }
}
