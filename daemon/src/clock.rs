//! The one clock of the daemon. Everything below is told the time.

use hob_events::UnixMs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since the epoch.
#[must_use]
pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
