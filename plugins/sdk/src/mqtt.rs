//! Messages to topics outside the inventory. They leave when the tool returns `Ok`; else none does.
//!
//! Needs `mqtt = { publish = ["home/hvac/#"] }` under `[capabilities]`.

use crate::bindings::hob::plugin::mqtt as border;
use crate::error::ToolError;

/// Publishes a payload.
///
/// # Errors
/// A topic outside the grant or of a device in the inventory, or more messages than allowed.
pub fn publish(topic: &str, payload: &[u8], retain: bool) -> Result<(), ToolError> {
    Ok(border::publish(topic, payload, retain)?)
}
