//! When to connect again, and when to give the session up for that.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The first wait. A broker that restarts is back within seconds.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(10);
/// So many connections in a row that broke for the same reason are no accident.
const SAME_REASON: u32 = 4;

/// Counts failures of connections.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    reason: String,
    same_reason: u32,
}

/// How to connect next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) wait: Duration,
    /// Ask the broker to forget the session: something in it breaks every connection.
    pub(crate) clean: bool,
}

impl Backoff {
    /// A connection was up for `lasted` and broke, or did not come about when that is none.
    pub(crate) fn broke(&mut self, lasted: Option<Duration>, reason: &str) -> Next {
        let good = lasted.is_some_and(|lasted| lasted >= LASTED);
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
        // A broker that cannot be reached has delivered nothing that could have broken the connection.
        let poisoned = lasted.is_some() && !good;
        self.same_reason = match poisoned {
            true if self.reason == reason => self.same_reason + 1,
            true => 1,
            false => 0,
        };
        reason.clone_into(&mut self.reason);
        let clean = self.same_reason >= SAME_REASON;
        if clean {
            self.same_reason = 0;
        }
        Next { wait: jittered(self.longest_wait()), clean }
    }

    fn longest_wait(&self) -> Duration {
        FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(LONGEST)
    }
}

/// Between half and all of it, so that a house full of boards does not come back in the same moment.
fn jittered(longest: Duration) -> Duration {
    let half = longest / 2;
    let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_millis(RandomState::new().build_hasher().finish() % span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_and_start_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.broke(None, "refused").wait).collect();
        assert!(waits[0] <= FIRST && waits[11] >= LONGEST / 2 && waits[11] <= LONGEST);
        assert!(backoff.broke(Some(LASTED), "closed").wait <= FIRST);
    }

    #[test]
    fn the_session_is_given_up_once_after_the_same_failure_again_and_again() {
        let mut backoff = Backoff::default();
        let short = Some(Duration::from_millis(5));
        let clean: Vec<_> = (0..5).map(|_| backoff.broke(short, "packet too large").clean).collect();
        assert_eq!(clean, [false, false, false, true, false]);
        let mut backoff = Backoff::default();
        assert!((0..9).all(|_| !backoff.broke(None, "refused").clean));
        assert!((0..9).all(|number| !backoff.broke(short, &format!("reason {number}")).clean));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest(lasted in prop::collection::vec(prop::option::of(0..20_000_u64), 1..80)) {
            let mut backoff = Backoff::default();
            for lasted in lasted {
                let next = backoff.broke(lasted.map(Duration::from_millis), "closed");
                prop_assert!(next.wait <= LONGEST && next.wait >= FIRST / 2);
            }
        }
    }
}
