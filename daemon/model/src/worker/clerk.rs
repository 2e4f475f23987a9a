//! The clerk: ends what has run out of time, answers from the memo while the model is busy, and tells the ends that the
//! model has no part in.

use super::{Report, Shared, State, guarded};
use crate::front::Recalled;
use hob_events::{GenerateFailure, TurnId};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

impl Shared {
    /// The clerk's thread.
    pub(super) fn watch(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let next = state.expire(now);
            let untold = std::mem::take(&mut state.untold);
            if !untold.is_empty() {
                drop(state);
                untold.into_iter().for_each(&self.tell);
                state = self.lock();
                continue;
            }
            if state.closing && state.running.is_none() {
                return;
            }
            // An idle model looks there itself, and need not be waited for.
            if let Some(recall) = state.recall.clone()
                && state.running.is_some()
                && let Some(order) = state.queue.next_unasked()
            {
                drop(state);
                let recalled = guarded(|| recall(&order)).unwrap_or_default();
                state = self.lock();
                // What another model would have said meanwhile is no answer of this one.
                let same = state.recall.as_ref().is_some_and(|present| Arc::ptr_eq(present, &recall));
                if let Some(recalled) = recalled.filter(|_| same) {
                    state.answer(order.turn, recalled, Instant::now());
                }
                continue;
            }
            state = match next {
                Some(next) => {
                    let wait = self.changed.wait_timeout(state, next.saturating_duration_since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    /// Notes the end of an order that the memo answers, unless someone else has ended or begun it meanwhile.
    fn answer(&mut self, turn: TurnId, recalled: Recalled, now: Instant) {
        let Some(waiting) = self.queue.remove_unbegun(turn, now) else { return };
        let Recalled { mut generated, words } = recalled;
        generated.timings.queue_ms = waiting.waited.as_secs_f64() * 1e3;
        if !words.is_empty() {
            self.untold.push(Report::Text { turn, delta: words });
        }
        self.untold.push(Report::Ended { turn, result: Ok(generated) });
    }

    /// Ends what has run out of time. Returns the next moment to look.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        for waiting in self.queue.expired(now) {
            self.end(&waiting, GenerateFailure::Deadline { limit_ms: waiting.order.deadline_ms });
        }
        if let Some(running) = &mut self.running
            && running.deadline.is_some_and(|deadline| deadline <= now)
        {
            running.deadline = None;
            running.interrupt.expire();
        }
        let running = self.running.as_ref().and_then(|running| running.deadline);
        self.queue.next_deadline().into_iter().chain(running).min()
    }
}
