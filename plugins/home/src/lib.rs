//! The `home` plugin: switches, sets, opens, locks and reads the devices of the inventory.
//!
//! Every tool acts on one device, or on all of a kind in a room, on a floor or in the house. The wanted state is the same
//! for every device of a call (`{"state":"on"}`, `{"percent":40}`, `{"celsius":21.5}`); hob knows how each is told.

mod summary;

use hob_plugin::{Done, Target, ToolError, devices, tool};
use serde_json::{Map, Value, json};

/// How long a device may take to report what it was told. Most answer within half a second; a slow blind or a sleeping
/// radiator valve does not, and is then reported as told, not as done.
const READ_BACK_MS: u32 = 1_500;

/// Turns a device, or all of a kind, on.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is on.", sent = "{target} was told to turn on; it has not answered yet.")
)]
fn turn_on(#[takes(light, switch, fan, media, vacuum, scene, climate)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "on"}))
}

/// Turns a device, or all of a kind, off.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is off.", sent = "{target} was told to turn off; it has not answered yet.")
)]
fn turn_off(#[takes(light, switch, fan, media, vacuum, climate)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "off"}))
}

/// Sets brightness, position, speed or volume in percent.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(
        confirmed = "{target} is at {percent} percent.",
        sent = "{target} was told to go to {percent} percent; it has not answered yet."
    )
)]
fn set_level(
    #[takes(light, cover, valve, fan, media)] target: Target,
    #[range(0..=100)] percent: u8,
) -> Result<Done, ToolError> {
    Ok(change(&target, json!({"percent": percent}))?.with("percent", percent))
}

/// Sets the wanted temperature in degrees Celsius.
#[tool(
    idempotent,
    risk = medium,
    deadline_ms = 4_000,
    replies(
        confirmed = "{target} is set to {celsius} degrees.",
        sent = "{target} was told to go to {celsius} degrees; it has not answered yet."
    )
)]
fn set_temperature(#[takes(climate)] target: Target, #[range(5..=35)] celsius: f64) -> Result<Done, ToolError> {
    let celsius = degrees(celsius);
    Ok(change(&target, json!({"celsius": celsius}))?.with("celsius", celsius))
}

/// Opens a cover or valve, or all of a kind.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is open.", sent = "{target} was told to open; it has not answered yet.")
)]
fn open(#[takes(cover, valve)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "open"}))
}

/// Closes a cover or valve, or all of a kind.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is closed.", sent = "{target} was told to close; it has not answered yet.")
)]
fn close(#[takes(cover, valve)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "closed"}))
}

/// Locks a lock, or all locks.
#[tool(
    idempotent,
    risk = low,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is locked.", sent = "{target} was told to lock; it has not answered yet.")
)]
fn lock(#[takes(lock)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "locked"}))
}

/// Unlocks a lock, or all locks.
#[tool(
    idempotent,
    risk = high,
    deadline_ms = 4_000,
    replies(confirmed = "{target} is unlocked.", sent = "{target} was told to unlock; it has not answered yet.")
)]
fn unlock(#[takes(lock)] target: Target) -> Result<Done, ToolError> {
    change(&target, json!({"state": "unlocked"}))
}

/// Reads the state of a device, or of all of a kind.
#[tool(read_only, idempotent, risk = none)]
fn get_state(
    #[takes(light, switch, fan, cover, valve, lock, climate, media, vacuum, sensor)] target: Target,
) -> Result<Map<String, Value>, ToolError> {
    match target {
        Target::Device(name) => {
            let device = devices::get(&name)?;
            device.state.ok_or_else(|| ToolError::failed(format!("{} has not reported its state yet", device.name)))
        }
        Target::Group { kind, area } => {
            let summary = summary::of(&devices::group(&kind, area.as_deref())?);
            Ok(Map::from_iter([("summary".to_owned(), Value::String(summary))]))
        }
    }
}

/// 20 and not 20.0: the number is sent and said.
#[expect(clippy::cast_possible_truncation, reason = "the schema keeps it between 5 and 35")]
fn degrees(celsius: f64) -> Value {
    if celsius.fract() == 0.0 { json!(celsius as i64) } else { json!(celsius) }
}

fn change(target: &Target, wanted: Value) -> Result<Done, ToolError> {
    devices::change(target, &wanted, READ_BACK_MS)
}

hob_plugin::export!(turn_on, turn_off, set_level, set_temperature, open, close, lock, unlock, get_state);
