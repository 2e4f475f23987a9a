//! All of a model that needs no decoder: its template, its tokenizer, its grammars, its limits, and the memo.
//!
//! The model's thread shares it with the worker's clerk, who can answer a known prompt while the decoder is busy.

use crate::chat::{ChatFormat, RenderFailure, Vocabulary};
use crate::grammar::{CompileFailure, Constraint, Grammars, Thought, resolve};
use crate::ids::IdSet;
use crate::memo::{Entry, Key, KeyWriter, Memo};
use crate::rendered::Rendered;
use crate::sampler::Sampling;
use crate::soft::{Library, Look, ShowMediumError};
use crate::words::Words;
use hob_events::{
    Allowed, Confidence, GenerateFailure, GenerateOrder, Generated, Message, ModelTimings, Offer, Prompt, StopReason,
    Writing,
};
use std::sync::Arc;

/// What stands in front of the decoder.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) format: Box<dyn ChatFormat>,
    pub(crate) vocabulary: Arc<Vocabulary>,
    /// None leaves everything free.
    pub(crate) grammars: Option<Grammars>,
    /// What must never be chosen.
    pub(crate) suppressed: IdSet,
    /// Ids that end a turn even when the format does not know them.
    pub(crate) stops: Vec<u32>,
    pub(crate) sampling: Sampling,
    pub(crate) memo: Option<Memo>,
    pub(crate) rendered: Rendered,
    /// The media that prompts show.
    pub(crate) library: Arc<Library>,
}

/// An answer from the memo.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// What was generated then.
    pub generated: Generated,
    /// Its words for people, as they streamed; empty when there were none.
    pub words: String,
}

impl Front {
    /// `look` bounds how long media are looked at; `limit_ms` is how long all may take.
    fn render(&self, prompt: &Prompt, look: &mut Look<'_>, limit_ms: u64) -> Result<Vec<u32>, GenerateFailure> {
        let media = prompt.messages.iter().flat_map(Message::media);
        let shown: Result<Vec<_>, _> = media.map(|medium| self.library.show(medium, look)).collect();
        let shown = shown.map_err(|error| unshown(&error, limit_ms))?;
        self.format.render(prompt, &shown).map_err(|error| match error {
            RenderFailure::NoMedia => GenerateFailure::Medium { message: error.to_string() },
            RenderFailure::Template { .. } | RenderFailure::Missing(_) => failed(&error),
        })
    }

    /// The ids of an order's prompt.
    pub(crate) fn prompt_ids(&self, order: &GenerateOrder, mut look: Look<'_>) -> Result<Arc<[u32]>, GenerateFailure> {
        let mut render = |prompt: &Prompt| self.render(prompt, &mut look, order.deadline_ms);
        // A conversation is longer each time, and the ids of media are not for ever.
        if order.conversation.is_some() || has_media(&order.prompt) {
            return render(&order.prompt).map(Arc::from);
        }
        self.rendered.ids(&order.prompt, render)
    }

    /// A fresh constraint for an order.
    pub(crate) fn constraint(&self, order: &GenerateOrder) -> Result<Constraint, GenerateFailure> {
        let constraint = match &self.grammars {
            Some(grammars) => {
                grammars.constraint(&order.prompt.offer, order.allowed).map_err(|error| failed(&error))?
            }
            None => Constraint::free(),
        };
        let Some(budget) = order.prompt.thinking.tokens() else { return Ok(constraint) };
        let Some(markers) = self.format.markers().filter(|_| self.format.thinks()) else {
            tracing::warn!(turn = %order.turn, "this model has no thoughts: its template does not ask for them");
            return Ok(constraint);
        };
        let opening = self.format.thought_opening(&order.prompt);
        Ok(constraint.thinking(Thought::new(&self.vocabulary, markers, opening, budget)))
    }

    /// The beginning that prompts share whatever is asked: what two different questions have in common.
    pub(crate) fn shared_beginning(&self, prompt: &Prompt) -> Result<Vec<u32>, GenerateFailure> {
        let asked = |text: &str| {
            let messages = vec![Message::words(text)];
            self.render(&Prompt { messages, ..prompt.clone() }, &mut Look::at_leisure(), 0)
        };
        let (mut one, other) = (asked("on")?, asked("?")?);
        let common = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        one.truncate(common);
        Ok(one)
    }

    /// What was written, as the offer spells it.
    pub(crate) fn read(&self, written: &[u32], sureness: &[Confidence], offer: &Offer) -> Vec<Writing> {
        resolve(self.format.parse(written, sureness), offer)
    }

    /// The answer to an order whose prompt is not rendered yet. Nothing when it cannot be rendered either: the model's
    /// thread finds out why.
    pub(crate) fn recall_order(&self, order: &GenerateOrder) -> Option<Recalled> {
        if !self.may_recall(order) {
            return None;
        }
        let prompt = self.prompt_ids(order, Look::at_leisure()).ok()?;
        self.recall(order, &self.key(order, &prompt)?)
    }

    /// By what the memo knows an order; nothing when it is not to be answered from there. `prompt` is its prompt's ids.
    pub(crate) fn key(&self, order: &GenerateOrder, prompt: &[u32]) -> Option<Key> {
        let memo = self.memo.as_ref().filter(|_| self.may_recall(order))?;
        let grammar = self.grammar_digest(&order.prompt.offer, order.allowed).ok()?;
        let grammar = grammar.as_ref().map(<[u8; 32]>::as_slice);
        let key = memo.key().option(grammar).number(order.max_tokens).ids(prompt.iter().copied());
        Some(order.prompt.thinking.tokens().into_iter().fold(key, KeyWriter::number).key())
    }

    /// Commands of a conversation hardly ever repeat, nor do pictures, and a choice by chance is not to be repeated.
    fn may_recall(&self, order: &GenerateOrder) -> bool {
        self.memo.is_some() && order.conversation.is_none() && self.sampling.is_greedy() && !has_media(&order.prompt)
    }

    fn grammar_digest(&self, offer: &Offer, allowed: Allowed) -> Result<Option<[u8; 32]>, CompileFailure> {
        self.grammars.as_ref().map(|grammars| grammars.digest(offer, allowed)).transpose()
    }

    /// What the memo holds under a key, read as if it had just been written.
    pub(crate) fn recall(&self, order: &GenerateOrder, key: &Key) -> Option<Recalled> {
        let Entry { stop, tokens, sureness } = self.memo.as_ref()?.recall(key)?;
        tracing::debug!(turn = %order.turn, %key, "answered from the memo");
        let writing = self.read(&tokens, &sureness, &order.prompt.offer);
        let mut words = Words::default();
        let words = tokens.iter().map(|id| words.push(&self.vocabulary, self.format.markers(), *id)).collect();
        let timings = ModelTimings { from_memo: true, ..ModelTimings::default() };
        Some(Recalled {
            generated: Generated { writing, tokens, tokenizer: self.vocabulary.tokenizer_id(), stop, timings },
            words,
        })
    }

    /// Keeps what a generation wrote that came to its own end.
    pub(crate) fn remember(&self, key: &Key, stop: StopReason, written: &[u32], sureness: &[Confidence]) {
        if let Some(memo) = &self.memo {
            memo.remember(key, &Entry { stop, tokens: written.to_vec(), sureness: sureness.to_vec() });
        }
    }
}

/// What it is for the one who ordered the generation that a medium is not shown.
fn unshown(error: &ShowMediumError, limit_ms: u64) -> GenerateFailure {
    if let ShowMediumError::Ended(why) = error {
        return why.told(limit_ms);
    }
    if let ShowMediumError::TooMuch { rows, context } = *error {
        return GenerateFailure::TooLong { tokens: rows, context };
    }
    GenerateFailure::Medium { message: told(error) }
}

fn has_media(prompt: &Prompt) -> bool {
    prompt.messages.iter().any(|message| !message.media().is_empty())
}

/// An error and what it comes from, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |told, source| format!("{told}: {source}"))
}

fn failed(error: &dyn std::error::Error) -> GenerateFailure {
    GenerateFailure::Model { message: error.to_string() }
}
