//! How others reach into a generation that is under way.

use hob_events::GenerateFailure;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why a generation has to end at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Someone took it back.
    Cancelled,
    /// Its time is up.
    Deadline,
}

impl Interruption {
    /// What it is for the one who ordered the generation.
    pub(crate) fn told(self, limit_ms: u64) -> GenerateFailure {
        match self {
            Self::Cancelled => GenerateFailure::Cancelled,
            Self::Deadline => GenerateFailure::Deadline { limit_ms },
        }
    }
}

/// Shared between a generation and whoever may want to end or park it. Cheap to clone.
///
/// Ending reaches into a run of the decoder; parking is noticed between runs only, so that nothing is run twice.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    ended: Option<Interruption>,
    parking: bool,
    /// Ends the run that is under way.
    stop_run: Option<Box<dyn Fn() + Send>>,
}

impl Interrupt {
    /// Ends the generation: nobody waits for it any more.
    pub fn cancel(&self) {
        self.end(Interruption::Cancelled);
    }

    /// Ends the generation: its time is up.
    pub fn expire(&self) {
        self.end(Interruption::Deadline);
    }

    /// Asks the generation to make room at its next step, or takes that back.
    pub fn park(&self, parking: bool) {
        self.lock().parking = parking;
        self.shared.1.notify_all();
    }

    /// Whether the generation has to end. The first reason stays.
    #[must_use]
    pub fn ended(&self) -> Option<Interruption> {
        self.lock().ended
    }

    /// Whether the generation should make room.
    #[must_use]
    pub fn parking(&self) -> bool {
        self.lock().parking
    }

    /// Runs `run`; whoever ends the generation meanwhile also calls `stop`, from their own thread.
    pub fn during<R>(&self, stop: impl Fn() + Send + 'static, run: impl FnOnce() -> R) -> R {
        {
            let mut state = self.lock();
            if state.ended.is_some() {
                stop();
            }
            state.stop_run = Some(Box::new(stop));
        }
        let result = run();
        self.lock().stop_run = None;
        result
    }

    /// Rests, until someone wants the generation to end or to make room.
    pub(crate) fn rest(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let wanted = |state: &mut State| state.ended.is_none() && !state.parking;
        drop(self.shared.1.wait_timeout_while(self.lock(), duration, wanted));
    }

    /// Waits until the generation has to end. For models that stand in for a real one.
    #[must_use]
    pub fn wait(&self) -> Interruption {
        let mut state = self.lock();
        loop {
            if let Some(why) = state.ended {
                return why;
            }
            state = self.shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, why: Interruption) {
        let mut state = self.lock();
        state.ended.get_or_insert(why);
        if let Some(stop) = &state.stop_run {
            stop();
        }
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Interrupt")
            .field("ended", &state.ended)
            .field("parking", &state.parking)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_first_reason_stays_and_the_run_is_stopped_from_elsewhere() {
        let (interrupt, stopped) = (Interrupt::default(), Arc::new(AtomicUsize::new(0)));
        let (elsewhere, count) = (interrupt.clone(), stopped.clone());
        let why = interrupt.during(
            move || _ = count.fetch_add(1, Ordering::SeqCst),
            || {
                std::thread::spawn(move || elsewhere.expire()).join().unwrap();
                interrupt.wait()
            },
        );
        interrupt.cancel();
        assert_eq!((why, interrupt.ended()), (Interruption::Deadline, Some(Interruption::Deadline)));
        assert_eq!(stopped.load(Ordering::SeqCst), 1, "nothing is stopped once the run is over");
    }

    #[test]
    fn a_run_that_starts_after_the_end_is_stopped_at_once() {
        let interrupt = Interrupt::default();
        interrupt.cancel();
        let stopped = Arc::new(AtomicUsize::new(0));
        let count = stopped.clone();
        interrupt.during(move || _ = count.fetch_add(1, Ordering::SeqCst), || ());
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
    }
}
