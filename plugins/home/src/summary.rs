//! The states of several devices in one line.

use hob_plugin::devices::Device;
use serde_json::{Map, Value};

/// The order in which states are told; any other comes behind these.
const TOLD_FIRST: [&str; 6] = ["on", "off", "open", "closed", "unlocked", "locked"];

/// `on: kitchen light, hall lamp; off: desk lamp`. A device that never reported is told as unknown.
pub(crate) fn of(devices: &[Device]) -> String {
    let mut states: Vec<(String, Vec<&str>)> = Vec::new();
    for device in devices {
        let state = device.state.as_ref().and_then(state_words).unwrap_or_else(|| "unknown".to_owned());
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, names)) => names.push(&device.name),
            None => states.push((state, vec![&device.name])),
        }
    }
    states.sort_by_key(|(state, _)| TOLD_FIRST.iter().position(|known| known == state).unwrap_or(TOLD_FIRST.len()));
    let told: Vec<String> = states.iter().map(|(state, names)| format!("{state}: {}", names.join(", "))).collect();
    told.join("; ")
}

/// The most telling field of a state.
fn state_words(state: &Map<String, Value>) -> Option<String> {
    if let Some(word) = state.get("state").and_then(Value::as_str) {
        return Some(word.to_lowercase());
    }
    let measured = [("percent", "percent"), ("temperature", "degrees"), ("celsius", "degrees")];
    measured.into_iter().find_map(|(field, unit)| state.get(field).map(|value| format!("{value} {unit}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn device(name: &str, state: Value) -> Device {
        Device {
            name: name.to_owned(),
            kind: "light".to_owned(),
            area: None,
            state: state.as_object().cloned(),
            state_age_ms: None,
        }
    }

    #[test]
    fn devices_are_gathered_by_state_and_what_is_on_comes_first() {
        let house = [
            device("desk lamp", json!({"state": "OFF"})),
            device("kitchen light", json!({"state": "on", "percent": 40})),
            device("hall lamp", json!({"state": "on"})),
            device("attic light", Value::Null),
            device("radiator", json!({"temperature": 21.5})),
        ];
        assert_eq!(
            of(&house),
            "on: kitchen light, hall lamp; off: desk lamp; unknown: attic light; 21.5 degrees: radiator"
        );
    }
}
