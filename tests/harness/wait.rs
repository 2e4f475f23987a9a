//! Waiting for something to become true.

use anyhow::bail;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longer than anything takes on two busy cores; what is not there by then will not come.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at that nobody announces: a port that opens, a process that ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `look` again and again until it has an answer.
///
/// # Errors
/// When there is none by [`DEADLINE`]: says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}", DEADLINE.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}
