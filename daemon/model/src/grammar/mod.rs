//! What a model may write next, as a mask over token ids: calls that exist, to devices that exist, or words.
//!
//! [`Grammars`] compiles an offer once and remembers it; each generation gets a [`Constraint`] of its own. Nothing here
//! judges whether a call is wise: a grammar turns "I do not know" into a valid call, which is why the generation loop
//! measures how much probability each mask cut away.

mod constraint;
mod environment;
mod lark;
mod resolve;
mod thought;

pub use constraint::{Constraint, ConstraintBroken, Mask};
pub use resolve::resolve;
pub(crate) use thought::Thought;

use crate::chat::{Markers, Vocabulary};
use hob_events::{Allowed, Offer};
use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Offers whose grammars are kept. A node has few: one per set of plugins, trust and source.
const MAX_KEPT: usize = 8;

/// Why an offer has no grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileFailure {
    /// The tokenizer cannot be used for grammars.
    #[error("the tokenizer cannot carry a grammar: {0}")]
    Tokenizer(String),
    /// llguidance refused it.
    #[error("the tools on offer make no grammar: {0}")]
    Grammar(String),
}

/// Compiles offers to grammars for one tokenizer, and keeps the last few.
pub struct Grammars {
    vocabulary: Arc<Vocabulary>,
    markers: Markers,
    factory: ParserFactory,
    /// The latest last.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    /// The offer itself, so that two offers can never be taken for one another.
    offer: Offer,
    allowed: Allowed,
    /// Never advanced; its clones share what its lexer has worked out.
    start: Matcher,
    /// Of the grammar's text.
    digest: [u8; 32],
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").field("markers", &self.markers).finish_non_exhaustive()
    }
}

impl Grammars {
    /// Prepares the tokenizer for grammars. `width` is the number of logits of a step. With a vocabulary of 262,144
    /// tokens this takes half a second on a desktop core: do it once, while the model loads.
    ///
    /// # Errors
    /// [`CompileFailure::Tokenizer`] when llguidance cannot use it.
    pub fn new(vocabulary: Arc<Vocabulary>, markers: Markers, width: usize) -> Result<Self, CompileFailure> {
        let environment = environment::environment(Arc::clone(&vocabulary), width);
        let mut factory =
            ParserFactory::new_simple(&environment).map_err(|error| CompileFailure::Tokenizer(error.to_string()))?;
        factory.quiet();
        // Errors end up in results and logs: they need not carry the whole grammar.
        factory.limits_mut().verbose_errors = false;
        Ok(Self { vocabulary, markers, factory, kept: Mutex::new(Vec::new()) })
    }

    /// A fresh constraint for one generation under the offer.
    ///
    /// # Errors
    /// [`CompileFailure::Grammar`] when a tool's schema makes no grammar.
    pub fn constraint(&self, offer: &Offer, allowed: Allowed) -> Result<Constraint, CompileFailure> {
        self.with_kept(offer, allowed, |kept| Constraint::bound(kept.start.clone(), self.markers))
    }

    /// What tells this grammar from every other: the SHA-256 of its text.
    ///
    /// # Errors
    /// [`CompileFailure::Grammar`] when a tool's schema makes no grammar.
    pub fn digest(&self, offer: &Offer, allowed: Allowed) -> Result<[u8; 32], CompileFailure> {
        self.with_kept(offer, allowed, |kept| kept.digest)
    }

    /// Compiles the offer unless it is known, and puts it last among the kept.
    fn with_kept<R>(
        &self,
        offer: &Offer,
        allowed: Allowed,
        take: impl FnOnce(&Kept) -> R,
    ) -> Result<R, CompileFailure> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|known| known.allowed == allowed && known.offer == *offer);
        let entry = match known {
            Some(index) => kept.remove(index),
            None => self.compile(offer, allowed)?,
        };
        let taken = take(&entry);
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push(entry);
        Ok(taken)
    }

    /// The grammar's text, for people who look for a mistake in it.
    #[must_use]
    pub fn source(&self, offer: &Offer, allowed: Allowed) -> String {
        lark::grammar(&self.vocabulary, &self.markers, offer, allowed)
    }

    fn compile(&self, offer: &Offer, allowed: Allowed) -> Result<Kept, CompileFailure> {
        let source = self.source(offer, allowed);
        let digest = Sha256::digest(&source).into();
        let parser = self.factory.create_parser(TopLevelGrammar::from_lark(source));
        let parser = parser.map_err(|error| CompileFailure::Grammar(error.to_string()))?;
        Ok(Kept { offer: offer.clone(), allowed, start: Matcher::new(Ok(parser)), digest })
    }
}

#[cfg(test)]
mod tests;
