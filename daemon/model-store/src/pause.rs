//! Waiting between tries, so that a failure elsewhere ends it at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Told once that there is no use in going on.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Pause {
    /// Ends every wait, now and later.
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until stopped.
    pub(crate) fn wait(&self, duration: Duration) {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(stopped, duration, |stopped| !*stopped));
    }
}
