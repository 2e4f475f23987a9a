//! One generation: prefill, then a token at a time, until the model stops, its budget ends or someone ends it.
//!
//! A step runs the decoder and works out the mask for what comes next at the same time. What the grammar leaves no
//! choice about is appended at once and run together with the next step; its logits still count for how sure the model
//! was, since a single lock on offer is forced whatever was asked for.

use crate::chat::{ChatFormat, Vocabulary};
use crate::decoder::{Decoder, ForwardFailure, Keep, Logits, Slot};
use crate::draft::Drafting;
use crate::grammar::{Constraint, ConstraintBroken, Mask};
use crate::ids::{IdSet, alone};
use crate::interrupt::{Interrupt, Interruption};
use crate::kv::Slots;
use crate::language_model::Glimpse;
use crate::pace::Pace;
use crate::prefix::Prefixes;
use crate::sampler::{Sampler, has_no_numbers, sureness};
use crate::words::Words;
use hob_events::{Confidence, ConversationId, GenerateFailure, ModelTimings, StopReason, TurnId};
use std::time::Instant;

/// What a generation stands on; the same for all of one model.
pub(crate) struct Stage<'a> {
    pub(crate) decoder: &'a mut dyn Decoder,
    pub(crate) slots: &'a mut Slots,
    /// Beginnings on disk, where they are kept.
    pub(crate) prefixes: Option<&'a mut Prefixes>,
    pub(crate) format: &'a dyn ChatFormat,
    pub(crate) vocabulary: &'a Vocabulary,
    /// By id, whether it must never be chosen.
    pub(crate) suppressed: &'a IdSet,
    /// Ids that end a turn even when the format does not know them.
    pub(crate) stops: &'a [u32],
    /// Tokens of one prefill run.
    pub(crate) chunk: usize,
    pub(crate) pace: &'a mut Pace,
    pub(crate) drafting: &'a mut Drafting,
}

impl Stage<'_> {
    fn stop(&self, id: u32) -> Option<StopReason> {
        self.format.stop(id).or_else(|| self.stops.contains(&id).then_some(StopReason::EndOfTurn))
    }

    /// Chooses a slot for `tokens` and fills it with as much of them as is known, in memory or on disk, `reusable` at
    /// most. Returns the slot and how many those are.
    pub(crate) fn prepare(
        &mut self,
        tokens: &[u32],
        reusable: usize,
        conversation: Option<&ConversationId>,
    ) -> Result<(Slot, usize), ForwardFailure> {
        let (slot, cached) = self.slots.prepare(self.decoder, tokens, reusable, conversation)?;
        let Some(prefixes) = self.prefixes.as_deref_mut() else { return Ok((slot, cached)) };
        let restored = prefixes.restore(self.decoder, slot, tokens, cached, reusable);
        let known = *restored.as_ref().unwrap_or(&0);
        if known != cached {
            self.slots.refilled(slot, tokens.get(..known).unwrap_or_default());
        }
        restored.map(|known| (slot, known))
    }

    /// Rests after a run, where the board is hot.
    pub(crate) fn rest(&mut self, began: Instant, interrupt: &Interrupt) {
        interrupt.rest(self.pace.rest(began.elapsed(), Instant::now()));
    }

    /// Takes the last `wrong` tokens of a slot back.
    fn take_back(&mut self, slot: Slot, wrong: usize) -> Result<(), ForwardFailure> {
        if wrong == 0 {
            return Ok(());
        }
        let len = self.decoder.len(slot).saturating_sub(wrong);
        let cut = self.decoder.truncate(slot, len);
        self.slots.cut(slot, self.decoder.len(slot));
        cut
    }
}

/// How far a generation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    Ended(StopReason),
    Parked,
}

/// Why a generation gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Forward(#[from] ForwardFailure),
    #[error(transparent)]
    Constraint(#[from] ConstraintBroken),
    #[error("the grammar and the suppressed tokens leave nothing to choose")]
    NothingLeft,
    #[error(
        "the model computed something that is no number: its files are damaged (hob model verify tells), or the provider \
         computes wrongly (hob doctor tells)"
    )]
    NoNumbers,
    #[error("the prompt of {tokens} tokens does not fit into {context}")]
    TooLong { tokens: usize, context: usize },
    #[error("the generation was ended")]
    Interrupted(Interruption),
}

impl Failure {
    /// What it is for the one who ordered it.
    pub(crate) fn told(self, limit_ms: u64) -> GenerateFailure {
        match self {
            Self::Interrupted(why) | Self::Forward(ForwardFailure::Interrupted(why)) => why.told(limit_ms),
            Self::TooLong { tokens, context } => GenerateFailure::TooLong { tokens, context },
            Self::Forward(ForwardFailure::Medium(message)) => GenerateFailure::Medium { message },
            Self::Forward(ForwardFailure::Full { .. } | ForwardFailure::Failed(_))
            | Self::Constraint(_)
            | Self::NothingLeft
            | Self::NoNumbers => GenerateFailure::Model { message: self.to_string() },
        }
    }
}

/// A generation, from its first prompt token to its end. It can be parked between steps and gone on with later.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) turn: TurnId,
    conversation: Option<ConversationId>,
    constraint: Constraint,
    sampler: Sampler,
    words: Words,
    /// Prompt and written, one after the other.
    tokens: Vec<u32>,
    prompt: usize,
    /// One entry per written id.
    sureness: Vec<Confidence>,
    /// How many of the last ids were forced and have not seen their logits.
    unscored: usize,
    /// The most ids, prompt and written, thoughts left out.
    limit: usize,
    /// The most ids that fit, prompt and written.
    context: usize,
    /// The least ids that must be left for the answer.
    room: usize,
    begun: bool,
    /// The slot that is kept for it while it is parked.
    pub(crate) parked_in: Option<Slot>,
    /// It made room before: what it finds in its slot is its own work.
    was_parked: bool,
    timings: ModelTimings,
}

/// What the last run of a step gave.
struct Ran {
    logits: Logits,
    mask: Option<Mask>,
    /// When that run began; what had to be read before it was run, and rested from, earlier.
    began: Instant,
    /// Ids that were run in it.
    ids: usize,
}

/// Stands for a forced id whose logits have not been seen: as unsure as can be.
const UNSCORED: Confidence = Confidence { kept: 0.0, winner: 0.0 };

/// Tokens for an answer in a conversation and behind a thought: a call of a few arguments.
const LEAST_ROOM: usize = 64;

impl Generation {
    pub(crate) fn new(
        turn: TurnId,
        conversation: Option<ConversationId>,
        prompt: Vec<u32>,
        max_tokens: usize,
        constraint: Constraint,
        sampler: Sampler,
    ) -> Self {
        let room = if constraint.may_think() { LEAST_ROOM.min(max_tokens).max(1) } else { 1 };
        Self {
            turn,
            conversation,
            constraint,
            sampler,
            words: Words::default(),
            limit: prompt.len().saturating_add(max_tokens),
            context: usize::MAX,
            room,
            prompt: prompt.len(),
            tokens: prompt,
            sureness: Vec::new(),
            unscored: 0,
            begun: false,
            parked_in: None,
            was_parked: false,
            timings: ModelTimings::default(),
        }
    }

    /// Wants room for an answer: a conversation can make some by leaving out what was said first.
    pub(crate) fn with_room(mut self) -> Self {
        self.room = LEAST_ROOM.min(self.limit - self.prompt).max(1);
        self
    }

    /// The written ids.
    pub(crate) fn written(&self) -> &[u32] {
        self.tokens.get(self.prompt..).unwrap_or_default()
    }

    /// One entry per written id.
    pub(crate) fn sureness(&self) -> &[Confidence] {
        &self.sureness
    }

    /// What it took so far.
    pub(crate) fn timings(&self) -> ModelTimings {
        ModelTimings {
            prompt_tokens: count(self.prompt),
            generated_tokens: count(self.written().len()),
            thought_tokens: count(self.constraint.thought_len()),
            ..self.timings
        }
    }

    /// Goes on until there is an end or a reason to make room. `watch` is told how it goes.
    pub(crate) fn run(
        &mut self,
        stage: &mut Stage<'_>,
        watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Pause, Failure> {
        self.context = stage.decoder.context();
        if self.tokens.len() == self.prompt && !self.begun {
            self.fit()?;
            self.take_forced(stage, watch)?;
        }
        // Given back first: it is the slot to go on in, not one to spare.
        if let Some(parked) = self.parked_in.take() {
            stage.slots.park(parked, false);
        }
        let slot = self.take_slot(stage)?;
        loop {
            let started = Instant::now();
            let draft = self.draft(stage);
            let Some(Ran { logits, mask, began, ids }) = self.advance(stage, slot, &draft, watch, interrupt)? else {
                self.note_time(started);
                stage.slots.park(slot, true);
                self.parked_in = Some(slot);
                self.was_parked = true;
                return Ok(Pause::Parked);
            };
            if logits.rows().any(has_no_numbers) {
                // So is what was kept of it: nothing may go on from there.
                stage.slots.refilled(slot, &[]);
                stage.decoder.truncate(slot, 0)?;
                return Err(Failure::NoNumbers);
            }
            let rows: Vec<&[f32]> = logits.rows().collect();
            let (rows, ahead) = rows.split_at(rows.len().saturating_sub(draft.len()));
            self.score_forced(rows);
            let row = rows.last().ok_or(Failure::NothingLeft)?;
            let mut ended = self.choose(stage, row, mask.as_ref(), watch)?;
            let right = self.take_right(stage, &draft, ahead, &mut ended, watch)?;
            stage.take_back(slot, draft.len() - right)?;
            // Only a run of the last id alone, or of it and its draft, tells what a step costs: after a pause, and behind
            // forced ids, more than that is run.
            if self.begun && ids == 1 + draft.len() {
                match draft.is_empty() {
                    false => stage.drafting.note_drafted(began.elapsed(), count(1 + right)),
                    true => stage.drafting.note_plain(began.elapsed()),
                }
            }
            if self.begun && ended.is_none() {
                stage.rest(began, interrupt);
            }
            self.note_time(started);
            self.begun = true;
            if let Some(reason) = ended {
                return Ok(Pause::Ended(reason));
            }
        }
    }

    /// Holds it to the context: there has to be room for an answer behind the prompt, and a thought may use what is left
    /// beside that.
    fn fit(&mut self) -> Result<(), Failure> {
        let left = self.context.checked_sub(self.prompt.saturating_add(self.room));
        match left.is_some_and(|left| self.constraint.hold_thought(left)) {
            true => Ok(()),
            false => Err(Failure::TooLong { tokens: self.prompt, context: self.context }),
        }
    }

    /// Finds the slot whose beginning fits best.
    fn take_slot(&mut self, stage: &mut Stage<'_>) -> Result<Slot, Failure> {
        // The last id always has to be run, for its logits; so do forced ids and the one before them.
        let reusable = self.tokens.len().saturating_sub(self.unscored + 1);
        let conversation = self.conversation.as_ref();
        let (slot, cached) = stage.prepare(&self.tokens, reusable, conversation)?;
        // What it finds when it comes back is its own work.
        if !self.begun && !self.was_parked {
            self.timings.cached_tokens = count(cached.min(self.prompt));
        }
        Ok(slot)
    }

    /// What is likely to come next, to be run along; nothing inside a call, which the grammar writes half of.
    fn draft(&self, stage: &mut Stage<'_>) -> Vec<u32> {
        let free = self.begun && self.unscored == 0 && !self.constraint.in_call() && self.sampler.is_greedy();
        let room = self.room_left().min(stage.chunk).saturating_sub(1);
        if !free || room == 0 {
            return Vec::new();
        }
        let draft = stage.drafting.draft(&self.tokens, room);
        let may_be = draft.iter().take_while(|id| !stage.suppressed.contains(**id)).count();
        draft.into_iter().take(may_be).collect()
    }

    /// Goes through a draft for as long as it is what is chosen: `ahead` has the row behind each of its ids. Returns how many
    /// were right.
    fn take_right(
        &mut self,
        stage: &Stage<'_>,
        draft: &[u32],
        ahead: &[&[f32]],
        ended: &mut Option<StopReason>,
        watch: &mut dyn FnMut(Glimpse<'_>),
    ) -> Result<usize, Failure> {
        let mut right = 0;
        for (id, row) in draft.iter().zip(ahead) {
            // What is forced behind a choice was not run with it.
            if ended.is_some() || self.unscored > 0 || self.tokens.last() != Some(id) {
                break;
            }
            right += 1;
            let mask = self.constraint.allowed()?;
            *ended = self.choose(stage, row, mask.as_ref(), watch)?;
        }
        self.timings.drafted_tokens += count(right);
        Ok(right)
    }

    /// Runs what the slot lacks and works out the next mask meanwhile. Nothing when there is to be room.
    fn advance(
        &mut self,
        stage: &mut Stage<'_>,
        slot: Slot,
        draft: &[u32],
        watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Option<Ran>, Failure> {
        let wanted = self.unscored + 1;
        loop {
            if let Some(why) = interrupt.ended() {
                return Err(Failure::Interrupted(why));
            }
            if interrupt.parking() {
                return Ok(None);
            }
            let rest = self.tokens.get(stage.decoder.len(slot)..).unwrap_or_default();
            let (now, keep) = split(rest, stage.chunk, wanted);
            if keep != Keep::Nothing {
                let (now, keep) = ([now, draft].concat(), Keep::Last(keep.rows() + draft.len()));
                let began = Instant::now();
                let (logits, mask) =
                    beside(|| self.constraint.allowed(), || stage.decoder.forward(slot, &now, keep, interrupt));
                let logits = logits?;
                stage.slots.append(slot, &now);
                return Ok(Some(Ran { logits, mask: mask?, began, ids: now.len() }));
            }
            let began = Instant::now();
            stage.decoder.forward(slot, now, keep, interrupt)?;
            stage.slots.append(slot, now);
            if !self.begun {
                watch(Glimpse::Read { tokens: stage.decoder.len(slot).min(self.prompt), of: self.prompt });
            }
            stage.rest(began, interrupt);
        }
    }

    /// Judges the forced ids by the rows in front of them.
    fn score_forced(&mut self, rows: &[&[f32]]) {
        let forced = self.tokens.iter().rev().take(self.unscored);
        let places = self.sureness.iter_mut().rev();
        // The last row is for the id that is chosen next.
        for ((id, place), row) in forced.zip(places).zip(rows.iter().rev().skip(1)) {
            *place = sureness(row, *id, |stride| alone(*id, stride));
        }
        self.unscored = 0;
    }

    /// Chooses the next id, and takes what follows from it without a choice.
    fn choose(
        &mut self,
        stage: &Stage<'_>,
        row: &[f32],
        mask: Option<&Mask>,
        watch: &mut dyn FnMut(Glimpse<'_>),
    ) -> Result<Option<StopReason>, Failure> {
        if self.room_left() == 0 {
            return Ok(Some(StopReason::Length));
        }
        let left = |stride: usize| mask.map_or(u64::MAX, |mask| mask.stride(stride));
        let allowed = |stride: usize| left(stride) & !stage.suppressed.stride(stride);
        let choice = self.sampler.choose(row, allowed).ok_or(Failure::NothingLeft)?;
        self.constraint.accept(choice.token)?;
        self.write(stage, choice.token, choice.sureness, watch);
        if let Some(reason) = stage.stop(choice.token) {
            return Ok(Some(reason));
        }
        self.take_forced(stage, watch)?;
        Ok((self.room_left() == 0).then_some(StopReason::Length))
    }

    /// How many more ids may be written. A thought takes nothing from the answer that follows it.
    fn room_left(&self) -> usize {
        let limit = self.limit.saturating_add(self.constraint.thought_len()).min(self.context);
        limit.saturating_sub(self.tokens.len())
    }

    /// Appends what has to come next. A stop among it is left to the next step, so that what leads to it is judged too.
    fn take_forced(&mut self, stage: &Stage<'_>, watch: &mut dyn FnMut(Glimpse<'_>)) -> Result<(), Failure> {
        let forced = self.constraint.forced();
        for id in forced.into_iter().take_while(|id| stage.stop(*id).is_none()) {
            if self.room_left() == 0 {
                break;
            }
            self.constraint.accept(id)?;
            self.write(stage, id, UNSCORED, watch);
            self.unscored += 1;
            self.timings.forced_tokens += 1;
        }
        Ok(())
    }

    fn write(&mut self, stage: &Stage<'_>, id: u32, sureness: Confidence, watch: &mut dyn FnMut(Glimpse<'_>)) {
        self.tokens.push(id);
        self.sureness.push(sureness);
        let words = self.words.push(stage.vocabulary, stage.format.markers(), id);
        if !words.is_empty() {
            watch(Glimpse::Words(&words));
        }
    }

    /// Up to the first choice it is prefill, from there on decoding.
    fn note_time(&mut self, started: Instant) {
        let ms = started.elapsed().as_secs_f64() * 1e3;
        if self.begun {
            self.timings.decode_ms += ms;
        } else {
            self.timings.prefill_ms += ms;
            self.timings.first_token_ms = self.timings.prefill_ms;
        }
    }
}

/// Runs `aside` on a thread of its own while `run` runs on this one.
fn beside<A: Send, B>(aside: impl FnOnce() -> A + Send, run: impl FnOnce() -> B) -> (B, A) {
    std::thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let result = run();
        (result, aside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The ids to run now, and the rows to keep: all that is left when it fits into a chunk or is what rows are wanted of,
/// else the next chunk.
fn split(rest: &[u32], chunk: usize, wanted: usize) -> (&[u32], Keep) {
    let chunk = chunk.max(1);
    if rest.len() <= chunk.max(wanted) {
        return (rest, Keep::Last(wanted));
    }
    let now = chunk.min(rest.len() - wanted);
    (rest.split_at(now).0, Keep::Nothing)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
