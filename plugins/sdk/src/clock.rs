//! The time of day.
//!
//! Needs `clock = true` under `[capabilities]`.

/// Milliseconds since the Unix epoch, UTC.
#[must_use]
pub fn unix_ms() -> u64 {
    crate::bindings::hob::plugin::clock::unix_ms()
}
