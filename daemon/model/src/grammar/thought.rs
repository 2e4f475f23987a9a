//! The thought in front of an answer: it may be opened, it ends in time, and it holds nothing but words.

use super::Mask;
use crate::chat::{Markers, Vocabulary};
use toktrie::SimpleVob;

/// How far the thought of one generation is.
#[derive(Debug)]
pub(crate) struct Thought {
    begin: u32,
    end: u32,
    /// What a thought may hold: everything but markers, and its end.
    inside: SimpleVob,
    /// What may follow it where no grammar says so: everything but another one.
    outside: SimpleVob,
    /// The ids that open it, where the format does that instead of the model; the next one last.
    opening: Vec<u32>,
    stage: Stage,
    /// Ids of it so far, markers included.
    len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may begin, and need not.
    Before {
        budget: u32,
    },
    /// So many ids are left.
    Inside {
        left: u32,
    },
    After,
}

impl Thought {
    /// A thought of at most `budget` ids besides those that open it. `opening` begins it, or is empty where that is the
    /// model's to do.
    pub(crate) fn new(vocabulary: &Vocabulary, markers: &Markers, opening: &[u32], budget: u32) -> Self {
        let mut inside = SimpleVob::alloc_ones(vocabulary.len());
        vocabulary.control().iter().for_each(|(id, _)| inside.disallow_token(*id));
        inside.allow_token(markers.thought_end);
        let mut outside = SimpleVob::alloc_ones(vocabulary.len());
        outside.disallow_token(markers.thought_begin);
        Self {
            begin: markers.thought_begin,
            end: markers.thought_end,
            inside,
            outside,
            opening: opening.iter().rev().copied().collect(),
            stage: Stage::Before { budget },
            len: 0,
        }
    }

    /// Holds one that has not begun to `most` ids, those that open and end it among them. Whether these fit.
    pub(super) fn hold(&mut self, most: usize) -> bool {
        let around = self.opening.len().max(1) + 1;
        let Some(most) = most.checked_sub(around) else { return false };
        if let Stage::Before { budget } = &mut self.stage {
            *budget = u32::try_from(most).unwrap_or(u32::MAX).min(*budget);
        }
        true
    }

    /// What may come next, given what may come without a thought. Nothing when it has no say.
    pub(super) fn allowed(&self, otherwise: impl FnOnce() -> Option<Mask>) -> Option<Mask> {
        match self.stage {
            Stage::Before { .. } => otherwise().map(|Mask(mut mask)| {
                mask.allow_token(self.begin);
                Mask(mask)
            }),
            Stage::Inside { .. } => Some(Mask(self.inside.clone())),
            Stage::After => otherwise().or_else(|| Some(Mask(self.outside.clone()))),
        }
    }

    /// What has to come next; nothing when that is for the grammar to say.
    pub(super) fn forced(&self) -> Option<Vec<u32>> {
        if !self.opening.is_empty() {
            return Some(self.opening.iter().rev().copied().collect());
        }
        match self.stage {
            // Whatever the grammar leaves no choice about: there is one now.
            Stage::Before { .. } => Some(Vec::new()),
            Stage::Inside { left: 0 } => Some(vec![self.end]),
            Stage::Inside { .. } => Some(Vec::new()),
            Stage::After => None,
        }
    }

    /// Whether the next id is one of the thought's. If so it is taken in.
    pub(super) fn takes(&mut self, id: u32) -> bool {
        let opens = self.opening.last() == Some(&id);
        if opens {
            self.opening.pop();
        }
        self.stage = match self.stage {
            Stage::Before { budget } if id == self.begin => Stage::Inside { left: budget },
            Stage::Inside { .. } if id == self.end => {
                self.opening.clear();
                Stage::After
            }
            Stage::Inside { left } => Stage::Inside { left: if opens { left } else { left.saturating_sub(1) } },
            Stage::Before { .. } => {
                self.opening.clear();
                self.stage = Stage::After;
                return false;
            }
            Stage::After => return false,
        };
        self.len += 1;
        true
    }

    /// Ids of it so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
