//! Which devices a call would touch, read from the tool's marked parameters.

use hob_events::{Device, DeviceKind, Inventory, Risk, ToolSpec};
use serde_json::{Map, Value};

/// The devices that a call names, or why they cannot be told.
pub(crate) fn devices<'a>(
    tool: &ToolSpec,
    args: &Map<String, Value>,
    inventory: &'a Inventory,
) -> Result<Vec<&'a Device>, String> {
    let marked = |mark: &str| {
        let properties = tool.schema.get("properties").and_then(Value::as_object)?;
        let (name, schema) = properties.iter().find(|(_, schema)| schema.get(mark).is_some())?;
        Some((args.get(name).and_then(Value::as_str)?, &schema[mark]))
    };
    if let Some((name, takes)) = marked("x-hob-device") {
        let device = inventory.device(name).ok_or_else(|| format!("there is no device called {name}"))?;
        check_kind(tool, takes, device.kind)?;
        return Ok(vec![device]);
    }
    let Some((word, takes)) = marked("x-hob-kind") else { return Ok(Vec::new()) };
    let kind = DeviceKind::from_word(word).ok_or_else(|| format!("{word} is no kind of device"))?;
    check_kind(tool, takes, kind)?;
    let area = marked("x-hob-area").map(|(area, _)| area);
    let group = inventory.group(kind, area);
    match (group.is_empty(), area) {
        (false, _) => Ok(group),
        (true, Some(area)) => Err(format!("there is no {word} in {area}")),
        (true, None) => Err(format!("there is no {word} in this house")),
    }
}

/// The grammar holds a model to the kinds that a tool takes; whoever wrote a call otherwise is held to them here.
fn check_kind(tool: &ToolSpec, takes: &Value, kind: DeviceKind) -> Result<(), String> {
    let fits = |kinds: &Vec<Value>| kinds.iter().any(|word| word == kind.word());
    if takes.as_array().is_none_or(fits) { Ok(()) } else { Err(format!("{} takes no {}", tool.name, kind.word())) }
}

/// The devices that a call's permit is bound to: those its arguments name, when the tool has such arguments at all.
pub(crate) fn named(tool: &ToolSpec, devices: &[&Device]) -> Option<Vec<String>> {
    let properties = tool.schema.get("properties").and_then(Value::as_object)?;
    let marked = |schema: &Value| schema.get("x-hob-device").is_some() || schema.get("x-hob-kind").is_some();
    properties.values().any(marked).then(|| devices.iter().map(|device| device.name.clone()).collect())
}

/// The higher of the tool's own risk and the risks of its devices. A tool that only reads risks nothing on any device.
pub(crate) fn risk(tool: &ToolSpec, devices: &[&Device]) -> Risk {
    let of_devices = devices.iter().map(|device| device.risk).max().unwrap_or(Risk::None);
    if tool.effects.read_only { tool.risk } else { tool.risk.max(of_devices) }
}
