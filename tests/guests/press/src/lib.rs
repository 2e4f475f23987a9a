//! The `press` plugin of the tests: presses a button. Twice is not the same as once, so hob must never press it again
//! after a crash; the shipped tools are all safe to repeat and could not show that.

use hob_plugin::{Done, Target, ToolError, devices, tool};
use serde_json::json;

/// Presses a button.
#[tool(
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} was pressed.", sent = "{target} was pressed.")
)]
fn press(#[takes(switch)] target: Target) -> Result<Done, ToolError> {
    devices::change(&target, &json!({"state": "toggle"}), 0)
}

hob_plugin::export!(press);
