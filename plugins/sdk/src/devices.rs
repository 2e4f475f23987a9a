//! The devices of the house.
//!
//! Needs `devices = { kinds = ["light"], command = true }` under `[capabilities]`.

use crate::bindings::hob::plugin::devices as border;
use crate::error::{Refusal, ToolError, refusal_text};
use crate::target::Target;
use crate::tool::Done;
use serde_json::{Map, Value};

pub use border::{Action, Delivery};

/// A device and what it last reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its own name.
    pub name: String,
    /// `light`, `cover`, …
    pub kind: String,
    /// The room it stands in.
    pub area: Option<String>,
    /// What it last reported; nothing when it never did.
    pub state: Option<Map<String, Value>>,
    /// How long ago it reported.
    pub state_age_ms: Option<u64>,
}

impl From<border::Device> for Device {
    fn from(device: border::Device) -> Self {
        let border::Device { name, kind, area, state, state_age_ms, aliases: _ } = device;
        Self { name, kind, area, state: state.and_then(|text| serde_json::from_str(&text).ok()), state_age_ms }
    }
}

/// One device, by name or alias.
///
/// # Errors
/// No such device, or no right to see it.
pub fn get(name: &str) -> Result<Device, ToolError> {
    Ok(border::get(name)?.into())
}

/// All devices of a kind; in an area (a room or a floor), when one is given.
///
/// # Errors
/// No right to see them, or none there.
pub fn group(kind: &str, area: Option<&str>) -> Result<Vec<Device>, ToolError> {
    let filter = border::Filter { kind: Some(kind.to_owned()), area: area.map(str::to_owned) };
    let found = border::list(&filter)?;
    if found.is_empty() {
        return Err(ToolError::Failed(match area {
            Some(area) => format!("there is no {kind} in {area}"),
            None => format!("there is no {kind}"),
        }));
    }
    Ok(found.into_iter().map(Device::from).collect())
}

/// Changes one device, or all of a kind at once, and waits up to `wait_ms` for what they report. The answer's `target`
/// names what was changed.
///
/// # Errors
/// No such device, no right to it, or a group of which some could not be changed: the text says which could.
pub fn change(target: &Target, change: &Value, wait_ms: u32) -> Result<Done, ToolError> {
    match target {
        Target::Device(name) => {
            let action = border::command(name, &change.to_string(), wait_ms)?;
            Ok(Done::new().with("target", action.device))
        }
        Target::Group { kind, area } => {
            let devices = group(kind, area.as_deref())?;
            let names: Vec<String> = devices.into_iter().map(|device| device.name).collect();
            let answers = border::command_all(&names, &change.to_string(), wait_ms);
            all_changed(&names, answers, &group_name(kind, area.as_deref(), &names))
        }
    }
}

/// "every light in the kitchen", so that templates can say "is"; a group of one goes by its name.
fn group_name(kind: &str, area: Option<&str>, names: &[String]) -> String {
    match (names, area) {
        ([one], _) => one.clone(),
        (_, Some(area)) => format!("every {kind} in {area}"),
        (_, None) => format!("every {kind}"),
    }
}

fn all_changed(names: &[String], answers: Vec<Result<Action, Refusal>>, group: &str) -> Result<Done, ToolError> {
    let mut refused = Vec::new();
    let mut changed = Vec::new();
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Ok(action) => changed.push(action.device),
            Err(refusal) => refused.push((name, refusal)),
        }
    }
    match (refused.as_slice(), changed.is_empty()) {
        ([], _) => Ok(Done::new().with("target", group)),
        ([(_, first), rest @ ..], true)
            if rest.iter().all(|(_, refusal)| refusal_text(refusal) == refusal_text(first)) =>
        {
            Err(first.clone().into())
        }
        _ => {
            let reasons: Vec<String> =
                refused.iter().map(|(name, refusal)| format!("{name}: {}", refusal_text(refusal))).collect();
            let told = if changed.is_empty() {
                "none was changed".to_owned()
            } else {
                format!("changed: {}", changed.join(", "))
            };
            Err(ToolError::Failed(format!("{told}; {}", reasons.join("; "))))
        }
    }
}
