//! Ending a run from another thread.

use crate::library::Runtime;
use crate::session::RunError;
use ort::session::RunOptions;
use std::fmt;
use std::sync::Arc;

/// Ends runs. Give a clone to whoever may want to end them; once stopped, every run under it ends at its next operator.
#[derive(Clone)]
pub struct Stop {
    pub(crate) options: Arc<RunOptions>,
}

impl Stop {
    /// A handle that any graph can be run under. It needs a library that is loaded.
    ///
    /// # Errors
    /// [`RunError::Failed`] when there is no memory for it.
    pub fn new(_loaded: &Runtime) -> Result<Self, RunError> {
        let options = RunOptions::new().map_err(|error| RunError::Failed(error.to_string()))?;
        Ok(Self { options: Arc::new(options) })
    }

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
