//! Background work that ends with its owner.

use std::future::Future;
use tokio::task::JoinHandle;

/// A task that is ended when this is dropped.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins background work. Keep the [`Task`] for as long as the work should go on.
#[must_use]
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon's supervisor is not part of the harness; a Task has an owner"
    )]
    let handle = tokio::task::spawn(work);
    Task(handle)
}
