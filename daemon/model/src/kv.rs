//! What is in the KV slots, and which of them serves the next prompt best.

use crate::decoder::{Decoder, ForwardFailure, Slot};
use hob_events::ConversationId;

/// The memory of one slot.
#[derive(Debug, Clone, Default)]
struct Held {
    tokens: Vec<u32>,
    conversation: Option<ConversationId>,
    /// When it was used last, counted in uses.
    used: u64,
    /// A parked generation comes back for it.
    parked: bool,
}

/// What every slot of a decoder holds. The decoder knows how many tokens, this knows which.
#[derive(Debug)]
pub struct Slots {
    held: Vec<Held>,
    uses: u64,
}

/// Where a prompt goes, and where the front of it can be copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    slot: Slot,
    /// Tokens of the prompt that are in that slot already, or will be after the copy.
    common: usize,
    copy_from: Option<Slot>,
}

impl Slots {
    /// As many empty slots.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { held: vec![Held::default(); count.max(1)], uses: 0 }
    }

    /// Chooses a slot for `tokens`, makes its cache begin as they do, and gives back the slot with the count of tokens
    /// that need not be run. That is at most `reusable`: of the rest the caller wants logits.
    ///
    /// # Errors
    /// [`ForwardFailure`] when the decoder has no memory for a cut or a copy.
    pub fn prepare(
        &mut self,
        decoder: &mut dyn Decoder,
        tokens: &[u32],
        reusable: usize,
        conversation: Option<&ConversationId>,
    ) -> Result<(Slot, usize), ForwardFailure> {
        let choice = self.choose(tokens, conversation);
        let common = choice.common.min(reusable);
        let front = tokens.get(..common).unwrap_or_default().to_vec();
        self.uses += 1;
        if let Some(from) = choice.copy_from {
            self.set(choice.slot, Held::default());
            decoder.fork(from, choice.slot, common)?;
        } else {
            self.cut(choice.slot, common);
            decoder.truncate(choice.slot, common)?;
        }
        let conversation = conversation.cloned();
        self.set(choice.slot, Held { tokens: front, conversation, used: self.uses, parked: false });
        Ok((choice.slot, common))
    }

    /// Notes tokens that the decoder has appended.
    pub fn append(&mut self, slot: Slot, tokens: &[u32]) {
        if let Some(held) = self.held.get_mut(slot.0) {
            held.tokens.extend_from_slice(tokens);
        }
    }

    /// Keeps a slot for a generation that will come back, or frees it.
    pub fn park(&mut self, slot: Slot, parked: bool) {
        if let Some(held) = self.held.get_mut(slot.0) {
            held.parked = parked;
        }
    }

    fn set(&mut self, slot: Slot, held: Held) {
        if let Some(place) = self.held.get_mut(slot.0) {
            *place = held;
        }
    }

    fn cut(&mut self, slot: Slot, len: usize) {
        if let Some(held) = self.held.get_mut(slot.0) {
            held.tokens.truncate(len);
        }
    }

    /// The longest common beginning wins. Where the rest of the winner is worth keeping (another conversation's, or a
    /// parked generation's), its beginning is copied into the slot that is missed least.
    fn choose(&self, tokens: &[u32], conversation: Option<&ConversationId>) -> Choice {
        let common = |held: &Held| held.tokens.iter().zip(tokens).take_while(|(held, new)| held == new).count();
        let own = |held: &Held| conversation.is_some() && held.conversation.as_ref() == conversation;
        let slots = || self.held.iter().enumerate();

        // Among equals: the conversation's own, then what nobody comes back for, then the longest unused.
        let fit = |held: &Held| (common(held), own(held), worth(held).is_none(), u64::MAX - held.used);
        let best = slots().max_by_key(|(_, held)| fit(held));
        let missed_least = slots().min_by_key(|(_, held)| (worth(held), held.used));
        let (Some((best, winner)), Some((least, loser))) = (best, missed_least) else {
            return Choice { slot: Slot(0), common: 0, copy_from: None };
        };
        let front = common(winner);
        let is_cut = winner.parked || (winner.tokens.len() > front && !own(winner) && worth(winner).is_some());
        if !is_cut || least == best {
            return Choice { slot: Slot(best), common: front, copy_from: None };
        }
        let copy_from = (front > common(loser)).then_some(Slot(best));
        Choice { slot: Slot(least), common: front.max(common(loser)), copy_from }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Conversation,
    Parked,
}

/// How much a slot's tokens would be missed: not at all after a one-shot, for a while after a turn of a conversation,
/// most by a parked generation.
fn worth(held: &Held) -> Option<Worth> {
    if held.parked { Some(Worth::Parked) } else { held.conversation.is_some().then_some(Worth::Conversation) }
}
