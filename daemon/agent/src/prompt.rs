//! The words of a prompt: the system text, which hardly ever changes, and the user's turn.

use hob_events::{Command, Inventory};

/// The system text: instructions, areas, and one line a device, as `models/tools/PROMPT.md` fixes it. The same
/// inventory gives the same text, byte for byte, so that its KV stays valid.
#[must_use]
pub fn system_text(instructions: &str, inventory: &Inventory) -> String {
    let mut text = instructions.trim().to_owned();
    let areas = inventory.area_names();
    if !areas.is_empty() {
        text.push_str("\nareas: ");
        text.push_str(&areas.join(", "));
    }
    if !inventory.devices.is_empty() {
        text.push_str("\ndevices (name/alias|area|kind):");
    }
    for device in &inventory.devices {
        text.push('\n');
        text.push_str(&device.name);
        for alias in &device.aliases {
            text.push('/');
            text.push_str(alias);
        }
        text.push('|');
        text.push_str(device.area.as_deref().unwrap_or_default());
        text.push('|');
        text.push_str(device.kind.word());
    }
    text
}

/// The user's turn: the words, with the speaker's room in front when it is known. Spoken words stand before it as a sound.
#[must_use]
pub fn user_text(command: &Command, words: &str) -> String {
    match &command.area {
        Some(area) if words.is_empty() => format!("({area})"),
        Some(area) => format!("({area}) {words}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_events::{Area, Device, DeviceKind, Risk};
    use insta::assert_snapshot;

    #[test]
    fn the_system_text_lists_areas_and_devices() {
        let device = |name: &str, aliases: &[&str], area: Option<&str>, kind| Device {
            name: name.into(),
            aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
            area: area.map(Into::into),
            kind,
            risk: Risk::Low,
        };
        let inventory = Inventory {
            devices: vec![
                device("kitchen light", &[], Some("kitchen"), DeviceKind::Light),
                device("ceiling lamp", &["big lamp"], Some("living room"), DeviceKind::Light),
                device("movie night", &[], None, DeviceKind::Scene),
            ],
            areas: vec![Area { name: "kitchen".into(), floor: Some("ground floor".into()) }],
        };
        assert_snapshot!(system_text("Look after it.", &inventory), @r"
        Look after it.
        areas: kitchen, living room, ground floor
        devices (name/alias|area|kind):
        kitchen light|kitchen|light
        ceiling lamp/big lamp|living room|light
        movie night||scene
        ");
        assert_snapshot!(system_text("Look after it.", &Inventory::default()), @"Look after it.");
    }
}
