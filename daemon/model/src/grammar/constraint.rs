//! One generation's walk through a grammar.

use super::Thought;
use crate::chat::Markers;
use llguidance::Matcher;
use toktrie::SimpleVob;

/// Why a constraint cannot go on. The generation ends; nothing was written that the grammar forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintBroken {
    /// An id that the mask did not allow.
    #[error("token {0} is not allowed here")]
    Forbidden(u32),
    /// llguidance gave up, which it does at its own limits.
    #[error("the grammar cannot be followed further: {0}")]
    Lost(String),
}

/// The ids that may come next.
#[derive(Debug, Clone)]
pub struct Mask(pub(super) SimpleVob);

impl Mask {
    /// Whether the id may come next.
    #[must_use]
    pub fn allows(&self, id: u32) -> bool {
        usize::try_from(id).is_ok_and(|index| index < self.0.len()) && self.0.is_allowed(id)
    }

    /// A bit for each of the 64 ids from `64 × stride` on that may come next, the first in the lowest.
    pub(crate) fn stride(&self, stride: usize) -> u64 {
        let word = |place: usize| self.0.as_slice().get(place).map_or(0, |word| u64::from(*word));
        word(stride * 2) | word(stride * 2 + 1) << 32
    }

    /// How many ids may come next.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.num_set()
    }

    /// The allowed ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// One bit per id, the lowest id in the lowest bit of the first word.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }
}

/// What one generation may write. Made anew for each.
pub struct Constraint {
    /// None: anything goes.
    grammar: Option<Walk>,
    /// The thought in front of it, where there may be one.
    thought: Option<Thought>,
}

struct Walk {
    matcher: Matcher,
    markers: Markers,
    in_call: bool,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").field("bound", &self.grammar.is_some()).finish_non_exhaustive()
    }
}

impl Constraint {
    /// No constraint, for formats without markers.
    #[must_use]
    pub fn free() -> Self {
        Self { grammar: None, thought: None }
    }

    pub(super) fn bound(matcher: Matcher, markers: Markers) -> Self {
        Self { grammar: Some(Walk { matcher, markers, in_call: false }), thought: None }
    }

    /// The same with room for a thought in front.
    pub(crate) fn thinking(self, thought: Thought) -> Self {
        Self { thought: Some(thought), ..self }
    }

    /// Whether there may be a thought.
    pub(crate) fn may_think(&self) -> bool {
        self.thought.is_some()
    }

    /// Holds a thought that has not begun to `most` ids, those around it among them. Whether that is enough for it to be
    /// opened and ended; without a thought it always is.
    pub(crate) fn hold_thought(&mut self, most: usize) -> bool {
        self.thought.as_mut().is_none_or(|thought| thought.hold(most))
    }

    /// How many ids so far were a thought.
    pub(crate) fn thought_len(&self) -> usize {
        self.thought.as_ref().map_or(0, Thought::len)
    }

    /// The ids that may come next; nothing when all may. After the end no id may.
    ///
    /// # Errors
    /// [`ConstraintBroken::Lost`] when llguidance gives up.
    pub fn allowed(&mut self) -> Result<Option<Mask>, ConstraintBroken> {
        let Some(thought) = &self.thought else { return Self::by_grammar(&mut self.grammar) };
        let mut failed = None;
        let mask = thought.allowed(|| {
            let mask = Self::by_grammar(&mut self.grammar);
            mask.unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        failed.map_or(Ok(mask), Err)
    }

    fn by_grammar(grammar: &mut Option<Walk>) -> Result<Option<Mask>, ConstraintBroken> {
        let Some(walk) = grammar else { return Ok(None) };
        if walk.matcher.is_stopped() && !walk.matcher.is_error() {
            return Ok(Some(Mask(SimpleVob::new())));
        }
        walk.matcher.compute_mask().map(|mask| Some(Mask(mask))).map_err(lost)
    }

    /// The ids that must come next, as the tokenizer itself writes them; often none. They are not accepted yet.
    ///
    /// Forced is not the same as meant: where one lock is on offer, its name is forced whatever was asked for. So run
    /// them in one go, but let their logits count for the confidence of the call like those of any other step.
    pub fn forced(&mut self) -> Vec<u32> {
        if let Some(forced) = self.thought.as_ref().and_then(Thought::forced) {
            return forced;
        }
        match &mut self.grammar {
            Some(walk) if !walk.matcher.is_stopped() => walk.matcher.compute_ff_tokens(),
            Some(_) | None => Vec::new(),
        }
    }

    /// Goes on by one id.
    ///
    /// # Errors
    /// [`ConstraintBroken::Forbidden`] for an id outside the mask (nothing has changed then),
    /// [`ConstraintBroken::Lost`] when llguidance gives up.
    pub fn accept(&mut self, id: u32) -> Result<(), ConstraintBroken> {
        if self.thought.as_mut().is_some_and(|thought| thought.takes(id)) {
            return Ok(());
        }
        let Some(walk) = &mut self.grammar else { return Ok(()) };
        if walk.matcher.try_consume_tokens(&[id]).map_err(lost)? == 0 {
            return Err(ConstraintBroken::Forbidden(id));
        }
        if id == walk.markers.call_begin {
            walk.in_call = true;
        } else if id == walk.markers.call_end {
            walk.in_call = false;
        }
        Ok(())
    }

    /// Whether the last id stands inside a call. Always false without a grammar.
    #[must_use]
    pub fn in_call(&self) -> bool {
        self.grammar.as_ref().is_some_and(|walk| walk.in_call)
    }

    /// Whether an id that ends the generation may come next.
    pub fn may_end(&mut self) -> bool {
        let Some(walk) = &mut self.grammar else { return true };
        let ends = [walk.markers.turn_end, walk.markers.response_begin];
        ends.iter().any(|id| walk.matcher.validate_tokens(&[*id]).is_ok_and(|accepted| accepted == 1))
    }

    /// Whether the grammar has come to its end: the last id was one that ends a generation.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.grammar.as_ref().is_some_and(|walk| walk.matcher.is_stopped())
    }
}

fn lost(error: impl std::fmt::Display) -> ConstraintBroken {
    // llguidance appends its own state to errors after a line break.
    ConstraintBroken::Lost(error.to_string().lines().next().unwrap_or_default().to_owned())
}
