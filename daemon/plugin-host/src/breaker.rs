//! The circuit breaker of a plugin: after three stops within a minute its tools are not offered for a while, so that a
//! broken plugin does not fail turn after turn. Pure: the time comes in.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Stops that open it.
const STOPS: usize = 3;
/// Within this time.
const WINDOW: Duration = Duration::from_secs(60);
/// How long it stays open first; each time in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// But no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Whether a plugin may be called.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// When it was stopped lately.
    stops: VecDeque<Instant>,
    /// Pauses in a row without a good call between them.
    pauses: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
}

/// Whether a call may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// As usual.
    Admitted,
    /// The pause is over: this call is the trial.
    Trial,
    /// For so much longer.
    Paused(Duration),
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { stops: VecDeque::new(), pauses: 0, state: State::Closed }
    }

    /// Whether the tools are offered.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a call may run now.
    pub(crate) fn admits(&self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Admitted,
            State::Open { until } if until <= now => Admission::Trial,
            State::Open { until } => Admission::Paused(until - now),
        }
    }

    /// A call came to a good end, or the plugin answered at all. Whether that changed the offer.
    pub(crate) fn answered(&mut self) -> bool {
        let changed = !self.is_closed();
        self.state = State::Closed;
        self.pauses = 0;
        changed
    }

    /// A trial without a call went well: offered again, but one more stop is enough to pause it for longer.
    pub(crate) fn recovered(&mut self) {
        self.state = State::Closed;
    }

    /// A call was stopped. Whether that changed the offer.
    pub(crate) fn stopped(&mut self, now: Instant) -> bool {
        let was_closed = self.is_closed();
        self.stops.push_back(now);
        while self.stops.front().is_some_and(|stop| now.duration_since(*stop) > WINDOW) {
            self.stops.pop_front();
        }
        if self.stops.len() >= STOPS || self.pauses > 0 {
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.pauses)).min(LONGEST_PAUSE);
            self.pauses = self.pauses.saturating_add(1);
            self.stops.clear();
            self.state = State::Open { until: now + pause };
        }
        was_closed && !self.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn three_stops_in_a_minute_open_it_and_a_trial_closes_it() {
        let (mut breaker, start) = (Breaker::new(), Instant::now());
        assert!(!breaker.stopped(start) && !breaker.stopped(start + seconds(20)) && breaker.is_closed());
        assert!(breaker.stopped(start + seconds(40)), "the third one takes the tools away");
        assert_eq!(breaker.admits(start + seconds(60)), Admission::Paused(seconds(10)));
        assert_eq!(breaker.admits(start + seconds(70)), Admission::Trial);
        assert!(breaker.answered() && breaker.is_closed());
    }

    #[test]
    fn stops_far_apart_are_forgiven() {
        let (mut breaker, start) = (Breaker::new(), Instant::now());
        for minute in 0..10 {
            breaker.stopped(start + seconds(minute * 61));
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn each_failed_trial_doubles_the_pause() {
        let (mut breaker, start) = (Breaker::new(), Instant::now());
        for _ in 0..STOPS {
            breaker.stopped(start);
        }
        breaker.stopped(start + seconds(30));
        assert_eq!(breaker.admits(start + seconds(30)), Admission::Paused(seconds(60)));
        breaker.recovered();
        breaker.stopped(start + seconds(90));
        assert_eq!(breaker.admits(start + seconds(90)), Admission::Paused(seconds(120)), "on probation one is enough");
    }

    proptest! {
        #[test]
        fn a_pause_always_ends_and_never_outlasts_an_hour(steps in proptest::collection::vec((0_u64..200, any::<bool>()), 1..200)) {
            let (mut breaker, mut now) = (Breaker::new(), Instant::now());
            for (wait, good) in steps {
                now += seconds(wait);
                match breaker.admits(now) {
                    Admission::Paused(left) => prop_assert!(left <= LONGEST_PAUSE && !breaker.is_closed()),
                    Admission::Admitted | Admission::Trial => {
                        if good { breaker.answered(); } else { breaker.stopped(now); }
                    }
                }
                prop_assert_eq!(breaker.is_closed(), breaker.admits(now) == Admission::Admitted);
            }
        }
    }
}
