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

    /// Notes what a slot holds now, after it was filled from elsewhere.
    pub fn refilled(&mut self, slot: Slot, tokens: &[u32]) {
        if let Some(held) = self.held.get_mut(slot.0) {
            held.tokens = tokens.to_vec();
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

    /// Notes that a slot was cut back.
    pub(crate) fn cut(&mut self, slot: Slot, len: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::ToyDecoder;
    use proptest::prelude::*;

    fn conversation(name: &str) -> ConversationId {
        ConversationId::new(name).unwrap()
    }

    /// Prepares a slot for a prompt and runs the rest of it. Returns the slot and what was in it already.
    fn run(slots: &mut Slots, decoder: &mut ToyDecoder, tokens: &[u32], own: Option<&ConversationId>) -> (Slot, usize) {
        let (slot, cached) = slots.prepare(decoder, tokens, tokens.len() - 1, own).unwrap();
        decoder.take(slot, &tokens[cached..]);
        slots.append(slot, &tokens[cached..]);
        (slot, cached)
    }

    #[test]
    fn commands_between_the_turns_of_a_conversation_leave_it_alone() {
        let (mut slots, mut decoder) = (Slots::new(2), ToyDecoder::new(2, 99));
        let evening = conversation("evening");
        let (first, _) = run(&mut slots, &mut decoder, &[1, 2, 3, 10, 11, 12], Some(&evening));
        let (other, cached) = run(&mut slots, &mut decoder, &[1, 2, 3, 20, 21], None);
        assert_eq!((cached, other == first), (3, false), "the shared beginning is copied into the other slot");
        let (again, cached) = run(&mut slots, &mut decoder, &[1, 2, 3, 30], None);
        assert_eq!((again, cached), (other, 3));
        let (back, cached) = run(&mut slots, &mut decoder, &[1, 2, 3, 10, 11, 12, 13, 14], Some(&evening));
        assert_eq!((back, cached), (first, 6));
    }

    #[test]
    fn of_two_conversations_the_one_that_was_used_last_is_kept() {
        let (mut slots, mut decoder) = (Slots::new(2), ToyDecoder::new(2, 99));
        let [one, two, three] = ["one", "two", "three"].map(conversation);
        run(&mut slots, &mut decoder, &[1, 10, 11], Some(&one));
        run(&mut slots, &mut decoder, &[1, 20, 21], Some(&two));
        run(&mut slots, &mut decoder, &[1, 30, 31], Some(&three));
        assert_eq!(run(&mut slots, &mut decoder, &[1, 20, 21, 22], Some(&two)).1, 3);
    }

    #[test]
    fn a_parked_slot_is_taken_last() {
        let (mut slots, mut decoder) = (Slots::new(2), ToyDecoder::new(2, 99));
        let (parked, _) = run(&mut slots, &mut decoder, &[1, 2, 3], None);
        slots.park(parked, true);
        for end in [7, 8, 9] {
            assert_ne!(run(&mut slots, &mut decoder, &[1, 2, 3, end], None).0, parked);
        }
        assert_eq!(run(&mut slots, &mut decoder, &[1, 2, 3, 4], None).1, 3);
        assert_eq!(decoder.held(parked), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn a_slot_always_begins_as_the_prompt_does(
            prompts in proptest::collection::vec((proptest::collection::vec(0_u32..3, 1..8), 0_u8..4, any::<bool>()), 1..30),
            count in 1_usize..4,
        ) {
            let (mut slots, mut decoder) = (Slots::new(count), ToyDecoder::new(count, 99));
            for (tokens, who, parks) in prompts {
                let own = (who > 0).then(|| conversation(&who.to_string()));
                let (slot, cached) = slots.prepare(&mut decoder, &tokens, tokens.len() - 1, own.as_ref()).unwrap();
                prop_assert!(cached < tokens.len());
                prop_assert_eq!(decoder.held(slot), &tokens[..cached]);
                decoder.take(slot, &tokens[cached..]);
                slots.append(slot, &tokens[cached..]);
                slots.park(slot, parks);
            }
        }
    }
}
