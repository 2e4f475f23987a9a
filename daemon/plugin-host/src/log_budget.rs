//! Log lines of one call: a guest can write some hundred thousand a second, the journal cannot take them.

use crate::limits::{LOG_BYTES, LOG_LINES};
use std::time::Duration;

/// What is left to write, and what was dropped.
#[derive(Debug)]
pub(crate) struct LogBudget {
    bytes_left: usize,
    lines: u32,
    dropped: u64,
}

impl LogBudget {
    pub(crate) fn new() -> Self {
        Self { bytes_left: LOG_BYTES, lines: 0, dropped: 0 }
    }

    /// Whether a line of `bytes` may be written now, so long after the call began; counts it either way.
    pub(crate) fn admits(&mut self, bytes: usize, elapsed: Duration) -> bool {
        let seconds = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        let allowed = LOG_LINES.saturating_mul(seconds.saturating_add(1));
        if bytes > self.bytes_left || self.lines >= allowed {
            self.dropped += 1;
            return false;
        }
        self.bytes_left -= bytes;
        self.lines += 1;
        true
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut budget = LogBudget::new();
        let written = (0..1_000).filter(|_| budget.admits(10, Duration::ZERO)).count();
        assert_eq!((written, budget.dropped()), (20, 980));
        assert!(budget.admits(10, Duration::from_secs(1)), "each second brings more lines");
        assert!(!budget.admits(LOG_BYTES, Duration::from_secs(2)), "but never more bytes");
    }
}
