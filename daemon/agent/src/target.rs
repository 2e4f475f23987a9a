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
        let (name, _) = properties.iter().find(|(_, schema)| schema.get(mark).is_some())?;
        args.get(name).and_then(Value::as_str)
    };
    if let Some(name) = marked("x-hob-device") {
        let device = inventory.device(name).ok_or_else(|| format!("there is no device called {name}"))?;
        return Ok(vec![device]);
    }
    let Some(word) = marked("x-hob-kind") else { return Ok(Vec::new()) };
    let kind = DeviceKind::from_word(word).ok_or_else(|| format!("{word} is no kind of device"))?;
    let area = marked("x-hob-area");
    let group = inventory.group(kind, area);
    match (group.is_empty(), area) {
        (false, _) => Ok(group),
        (true, Some(area)) => Err(format!("there is no {word} in {area}")),
        (true, None) => Err(format!("there is no {word} in this house")),
    }
}

/// The higher of the tool's own risk and the risks of its devices. A tool that only reads risks nothing on any device.
pub(crate) fn risk(tool: &ToolSpec, devices: &[&Device]) -> Risk {
    let of_devices = devices.iter().map(|device| device.risk).max().unwrap_or(Risk::None);
    if tool.effects.read_only { tool.risk } else { tool.risk.max(of_devices) }
}
