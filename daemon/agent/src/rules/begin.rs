//! How a rule takes up what it remembers: at the start, after hob was away, and when the clock was set.

use crate::rules::memory::{Kept, OnTopic};
use crate::rules::moment::Place;
use crate::rules::rule::{Rule, Trigger};
use hob_events::UnixMs;

/// A time that came while hob was away is made up for if it is not longer ago.
pub(crate) const LATE_MS: u64 = 300_000;

/// What is held when its time has come is tried again after this time.
pub(crate) const RETRY_MS: u64 = 300_000;

/// What came due while hob was away waits so long for what the broker has kept meanwhile.
const SETTLE_MS: u64 = 10_000;

/// Gets a rule ready with what it remembers, at the start or when the clock was set.
pub(crate) fn begin(rule: &Rule, kept: &mut Kept, place: &Place, at: UnixMs) {
    match &rule.trigger {
        Trigger::Message { .. } => {
            let span = rule.for_ms.max(rule.debounce_ms).max(RETRY_MS);
            for on in kept.topics.values_mut() {
                on.since = on.since.map(|since| since.min(at));
                // Long over: nobody knows whether it holds still.
                let over = on.waits.take_if(|(until, _)| at.since(*until) > LATE_MS).is_some();
                if over {
                    on.since = None;
                }
                if let Some((until, _)) = &mut on.waits {
                    *until = (*until).clamp(at.plus_ms(SETTLE_MS), at.plus_ms(SETTLE_MS.max(span)));
                }
            }
        }
        Trigger::Silence { topic, after_ms } => {
            kept.topics.retain(|known, _| topic.matches(known));
            if !topic.as_str().contains(['+', '#']) {
                let new = || OnTopic { heard: at, ..OnTopic::default() };
                kept.topics.entry(topic.as_str().into()).or_insert_with(new);
            }
            // What was said while hob was away nobody knows: each has its whole time again.
            for on in kept.topics.values_mut().filter(|on| !on.told) {
                let said = on.waits.take().map(|(_, said)| said).unwrap_or_default();
                on.waits = Some((at.plus_ms(*after_ms), said));
            }
        }
        Trigger::Time(moment) => {
            let missed = kept.due.is_some_and(|due| due <= at && at.since(due) <= LATE_MS);
            if !missed {
                kept.due = moment.after(at, place);
            }
        }
    }
}
