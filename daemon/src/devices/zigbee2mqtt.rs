//! The dialect of Zigbee2MQTT: `{"state":"ON","brightness":127}` on the one side, `{"state":"on","percent":50}` on ours.

use hob_events::{DeviceKind, DeviceState};
use serde_json::{Map, Number, Value};

/// Brightness goes from 0 to 254 in Zigbee's level cluster (ZCL 3.10.2.3).
const FULL_BRIGHTNESS: f64 = 254.0;

/// How far a percentage read back may be from the one asked for: a brightness step is 0.4 %, covers stop near enough.
const PERCENT_TOLERANCE: f64 = 2.0;

/// Degrees by which thermostats round.
const CELSIUS_TOLERANCE: f64 = 0.5;

/// The payload that asks a device for a change.
#[must_use]
pub fn command_payload(kind: DeviceKind, change: &DeviceState) -> Value {
    let mut payload = Map::new();
    for (field, wanted) in change {
        let (field, wanted) = match (field.as_str(), kind, wanted) {
            ("state", _, Value::String(state)) => ("state", Value::from(state_out(kind, state))),
            ("percent", DeviceKind::Light, wanted) => ("brightness", scaled(wanted, FULL_BRIGHTNESS / 100.0)),
            ("percent", DeviceKind::Cover | DeviceKind::Valve, wanted) => ("position", wanted.clone()),
            ("percent", DeviceKind::Media, wanted) => ("volume", wanted.clone()),
            ("percent", _, wanted) => ("percent", wanted.clone()),
            ("celsius", _, wanted) => ("occupied_heating_setpoint", wanted.clone()),
            (field, _, wanted) => (field, wanted.clone()),
        };
        payload.insert(field.to_owned(), wanted);
    }
    Value::Object(payload)
}

/// The state that a payload reports. A payload that is no JSON object is a plain state word.
#[must_use]
pub fn reported_state(kind: DeviceKind, payload: &str) -> DeviceState {
    let mut state = DeviceState::new();
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(payload) else {
        if !payload.trim().is_empty() {
            state.insert("state".to_owned(), Value::from(state_in(kind, payload.trim())));
        }
        return state;
    };
    for (field, value) in fields {
        match (field.as_str(), kind, &value) {
            ("state" | "lock_state", _, Value::String(word)) => {
                state.insert("state".to_owned(), Value::from(state_in(kind, word)));
            }
            ("brightness", DeviceKind::Light, value) => {
                state.insert("percent".to_owned(), scaled(value, 100.0 / FULL_BRIGHTNESS));
            }
            ("position", DeviceKind::Cover | DeviceKind::Valve, value)
            | ("volume", DeviceKind::Media, value)
            | ("percent", DeviceKind::Fan, value) => {
                state.insert("percent".to_owned(), value.clone());
            }
            ("occupied_heating_setpoint" | "current_heating_setpoint", DeviceKind::Climate, value) => {
                state.insert("celsius".to_owned(), value.clone());
            }
            ("local_temperature", DeviceKind::Climate, value) => {
                state.insert("temperature".to_owned(), value.clone());
            }
            // What a sensor measures is told as it is called; how well it is received is not asked for.
            (_, DeviceKind::Sensor | DeviceKind::Climate | DeviceKind::Switch, Value::Number(_) | Value::Bool(_))
                if !matches!(field.as_str(), "linkquality" | "voltage" | "update_available") =>
            {
                state.insert(field, value);
            }
            (_, _, _) => {}
        }
    }
    state
}

/// Whether a reported state shows that the change has happened.
#[must_use]
pub fn shows(reported: &DeviceState, change: &DeviceState) -> bool {
    change.iter().all(|(field, wanted)| {
        let Some(is) = reported.get(field) else { return false };
        let tolerance = match field.as_str() {
            "percent" => PERCENT_TOLERANCE,
            "celsius" => CELSIUS_TOLERANCE,
            _ => 0.0,
        };
        match (is.as_f64(), wanted.as_f64()) {
            (Some(is), Some(wanted)) => (is - wanted).abs() <= tolerance,
            (Some(_) | None, _) => is == wanted,
        }
    })
}

fn state_out(kind: DeviceKind, state: &str) -> String {
    match (kind, state) {
        (DeviceKind::Cover | DeviceKind::Valve, "closed") => "CLOSE".to_owned(),
        (DeviceKind::Lock, "locked") => "LOCK".to_owned(),
        (DeviceKind::Lock, "unlocked") => "UNLOCK".to_owned(),
        (_, state) => state.to_uppercase(),
    }
}

fn state_in(kind: DeviceKind, word: &str) -> String {
    let word = word.to_lowercase();
    match (kind, word.as_str()) {
        (DeviceKind::Cover | DeviceKind::Valve, "close") => "closed".to_owned(),
        (DeviceKind::Lock, "lock") => "locked".to_owned(),
        (DeviceKind::Lock, "unlock") => "unlocked".to_owned(),
        (_, _) => word,
    }
}

/// The number times `factor`, rounded to a whole one; anything else unchanged.
fn scaled(value: &Value, factor: f64) -> Value {
    let Some(number) = value.as_f64() else { return value.clone() };
    #[expect(clippy::cast_possible_truncation, reason = "levels lie between 0 and 254")]
    let whole = (number * factor).round() as i64;
    Value::Number(Number::from(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn state(value: Value) -> DeviceState {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn changes_and_reports_speak_of_the_same_thing() {
        let cases = [
            (DeviceKind::Light, json!({"state": "on"}), json!({"state": "ON"})),
            (DeviceKind::Lock, json!({"state": "unlocked"}), json!({"state": "UNLOCK"})),
            (DeviceKind::Cover, json!({"state": "closed"}), json!({"state": "CLOSE"})),
            (DeviceKind::Cover, json!({"percent": 40}), json!({"position": 40})),
            (DeviceKind::Climate, json!({"celsius": 21.5}), json!({"occupied_heating_setpoint": 21.5})),
        ];
        for (kind, change, payload) in cases {
            assert_eq!(command_payload(kind, &state(change.clone())), payload);
            assert!(shows(&reported_state(kind, &payload.to_string()), &state(change)), "{payload}");
        }
    }

    #[test]
    fn a_sensor_tells_what_it_measures_and_a_word_is_a_state() {
        let report = r#"{"temperature":21.5,"humidity":40,"linkquality":90,"update":{"state":"idle"}}"#;
        assert_eq!(reported_state(DeviceKind::Sensor, report), state(json!({"temperature": 21.5, "humidity": 40})));
        assert_eq!(reported_state(DeviceKind::Switch, "ON"), state(json!({"state": "on"})));
    }

    proptest! {
        #[test]
        fn every_level_is_recognised_when_it_is_read_back(percent in 0u8..=100) {
            let change = state(json!({ "percent": percent }));
            let payload = command_payload(DeviceKind::Light, &change).to_string();
            prop_assert!(shows(&reported_state(DeviceKind::Light, &payload), &change));
        }

        #[test]
        fn no_payload_is_too_strange(payload in ".{0,60}") {
            prop_assert!(reported_state(DeviceKind::Light, &payload).len() <= 2);
        }
    }
}
