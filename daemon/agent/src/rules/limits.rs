//! How often rules may act, and what a rule that causes itself is known by.

use crate::rules::memory::Kept;
use crate::rules::rule::AtMost;
use crate::rules::ruling::Held;
use hob_events::UnixMs;
use serde::Deserialize;
use std::collections::VecDeque;

/// What bounds all rules together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleLimits {
    /// How often rules may ask the model in an hour, all together: a sensor that does not stop talking must not keep people
    /// waiting.
    pub asks_per_hour: usize,
    /// A rule that acts more often in a minute causes itself, by whatever way, and is cut off.
    pub acts_per_minute: usize,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self { asks_per_hour: 60, acts_per_minute: 60 }
    }
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// For how long a rule that caused itself is cut off.
const CUT_MS: u64 = 600_000;

/// Why a rule may not act now. `itself` is whether it led to what it looks at.
pub(crate) fn why_held(kept: &mut Kept, limits: &[AtMost], all: RuleLimits, at: UnixMs, itself: bool) -> Option<Held> {
    let farthest = limits.iter().map(|limit| limit.within_ms).max().unwrap_or(0).max(MINUTE_MS);
    // What lies ahead was written down by a clock that was wrong.
    kept.fired.retain(|fired| *fired <= at && at.since(*fired) < farthest);
    let lately = |within_ms: u64| kept.fired.iter().filter(|fired| at.since(**fired) < within_ms).count();
    kept.cut_until = kept.cut_until.filter(|until| *until > at && until.since(at) <= CUT_MS);
    if kept.cut_until.is_none() && (itself || lately(MINUTE_MS) >= all.acts_per_minute) {
        kept.cut_until = Some(at.plus_ms(CUT_MS));
        return kept.cut_until.map(|until| Held::Itself { until, first: true });
    }
    if let Some(until) = kept.cut_until {
        return Some(Held::Itself { until, first: false });
    }
    let often = limits.iter().find(|limit| lately(limit.within_ms) >= limit.times);
    often.map(|AtMost { times, within_ms }| Held::Often { times: *times, within_ms: *within_ms })
}

/// Counts a question to the model, if there is one left.
pub(crate) fn may_ask(asked: &mut Vec<UnixMs>, limits: RuleLimits, at: UnixMs) -> Result<(), Held> {
    asked.retain(|asked| *asked <= at && at.since(*asked) < HOUR_MS);
    if asked.len() >= limits.asks_per_hour {
        return Err(Held::Budget { per_hour: limits.asks_per_hour });
    }
    asked.push(at);
    Ok(())
}

/// For how long a message that a rule published is known again.
const ECHO_MS: u64 = 10_000;

/// Messages that are known again.
const ECHOES: usize = 64;

/// Messages that rules published, to be known again when they come back.
#[derive(Debug, Default)]
pub(crate) struct Echoes(VecDeque<Echo>);

#[derive(Debug)]
struct Echo {
    at: UnixMs,
    topic: String,
    payload: String,
    /// The rules that led to it, by number.
    chain: Vec<usize>,
}

impl Echoes {
    /// A rule published something because of what those in a chain had published.
    pub(crate) fn published(&mut self, at: UnixMs, topic: &str, payload: &str, chain: &[usize], rule: usize) {
        let chain = chain.iter().copied().chain([rule]).collect();
        self.0.push_back(Echo { at, topic: topic.to_owned(), payload: payload.to_owned(), chain });
        self.0.drain(..self.0.len().saturating_sub(ECHOES));
    }

    /// The rules that led to a message, if one of them published it.
    pub(crate) fn chain(&self, at: UnixMs, topic: &str, payload: &str) -> Vec<usize> {
        let same = |echo: &&Echo| echo.topic == topic && echo.payload == payload && at.since(echo.at) <= ECHO_MS;
        self.0.iter().rev().find(same).map(|echo| echo.chain.clone()).unwrap_or_default()
    }
}
