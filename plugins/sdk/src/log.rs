//! Lines in hob's log. Past a call's budget of bytes and lines they are dropped, and hob says how many.
//!
//! Needs `log = true` under `[capabilities]`.

use crate::bindings::hob::plugin::log::{Level, write};

/// For whoever looks closely.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Worth a line.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Odd, but the call goes on.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Went wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}
