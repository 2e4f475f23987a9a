//! Ending a run from another thread.

use ort::session::RunOptions;
use std::fmt;
use std::sync::Arc;

/// Ends runs. Give a clone to whoever may want to end them; once stopped, every run under it ends at its next operator.
#[derive(Clone)]
pub struct Stop {
    pub(crate) options: Arc<RunOptions>,
}

impl Stop {
    /// Stops the run under way, and every later one under the same handle.
    pub fn stop(&self) {
        // The flag is one store; the library has no way to refuse it.
        if let Err(error) = self.options.terminate() {
            tracing::error!(%error, "a run could not be stopped");
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}
