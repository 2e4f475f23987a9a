//! Names every task, joins every task, and stops them within a grace period.
//!
//! A task that ends or panics before it was told to takes the daemon down: systemd starts it again, and the inbox is on
//! disk. Restarting single stages inside the process would keep half of what they knew.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// How a run of the daemon ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every task finished by itself.
    Drained,
    /// These tasks were still running after the grace period.
    Aborted(Vec<&'static str>),
}

/// Owns the daemon's long-lived tasks.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Supervisor {
    /// The token every task watches.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a named task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits until a task ends although nobody stopped it, and names it. Pends for ever when all go on.
    pub async fn first_to_fail(&mut self) -> &'static str {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.names.remove(&id).unwrap_or("unnamed"),
            Some(Err(error)) => {
                tracing::error!(%error, "a task panicked");
                self.names.remove(&error.id()).unwrap_or("unnamed")
            }
            None => std::future::pending().await,
        }
    }

    /// Tells every task to stop and waits for them, at most `grace`.
    pub async fn stop(mut self, grace: Duration) -> Stopped {
        self.stop.cancel();
        let drained = tokio::time::timeout(grace, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                self.names.remove(&id);
            }
        });
        if drained.await.is_ok() {
            return Stopped::Drained;
        }
        self.tasks.shutdown().await;
        let mut left: Vec<&'static str> = self.names.into_values().collect();
        left.sort_unstable();
        Stopped::Aborted(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stuck_task_is_named_after_the_grace_period() {
        let mut supervisor = Supervisor::default();
        let stop = supervisor.stop_token();
        supervisor.spawn("polite", async move { stop.cancelled().await });
        supervisor.spawn("stuck", std::future::pending());
        assert_eq!(supervisor.stop(Duration::from_secs(20)).await, Stopped::Aborted(vec!["stuck"]));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("steady", std::future::pending());
        supervisor.spawn("broken", async { panic!("as a broken task would") });
        assert_eq!(supervisor.first_to_fail().await, "broken");
    }
}
