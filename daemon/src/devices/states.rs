//! What every device last said, and when.

use hob_events::{DeviceState, UnixMs};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// A state and the moment it was reported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported {
    /// Every field the device has reported, the newest value of each.
    pub state: DeviceState,
    /// When it last said something.
    pub at: UnixMs,
    /// How often it has said something.
    pub count: u64,
    /// At which count each field was last among what it said.
    fields: BTreeMap<String, u64>,
}

impl Reported {
    /// Whether the device has told this field since it had said something `count` times. An old value that a new report
    /// does not repeat proves nothing about a command in between.
    #[must_use]
    pub fn told_after(&self, field: &str, count: u64) -> bool {
        self.fields.get(field).is_some_and(|told| *told > count)
    }
}

/// The last known state of every device, by its own name. Bounded by the inventory: only its devices are kept.
#[derive(Debug, Default)]
pub struct States {
    devices: BTreeMap<String, watch::Sender<Reported>>,
}

impl States {
    /// Nothing is known of these devices yet.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let unknown = |name| (name, watch::Sender::new(Reported::default()));
        Self { devices: names.into_iter().map(unknown).collect() }
    }

    /// Takes a report. Fields that it does not name keep their value.
    pub fn report(&self, device: &str, state: DeviceState, at: UnixMs) {
        if let Some(known) = self.devices.get(device) {
            known.send_modify(|reported| {
                reported.count += 1;
                reported.at = at;
                for (field, value) in state {
                    reported.fields.insert(field.clone(), reported.count);
                    reported.state.insert(field, value);
                }
            });
        }
    }

    /// What the device last said; nothing when it never did.
    #[must_use]
    pub fn last(&self, device: &str) -> Option<Reported> {
        self.devices.get(device).map(|known| known.borrow().clone()).filter(|reported| reported.count > 0)
    }

    /// A view on the device that wakes whoever waits for its next report.
    #[must_use]
    pub fn watch(&self, device: &str) -> Option<watch::Receiver<Reported>> {
        self.devices.get(device).map(watch::Sender::subscribe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_keeps_the_fields_it_does_not_name() {
        let states = States::of(["lamp".to_owned()]);
        assert_eq!(states.last("lamp"), None);
        let report = |value: serde_json::Value| value.as_object().unwrap().clone();
        states.report("lamp", report(json!({"state": "on", "percent": 10})), UnixMs(1));
        states.report("lamp", report(json!({"state": "off"})), UnixMs(2));
        let last = states.last("lamp").unwrap();
        assert!(last.told_after("state", 1) && !last.told_after("percent", 1), "only the state was told again");
        assert_eq!((last.state, last.at, last.count), (report(json!({"state": "off", "percent": 10})), UnixMs(2), 2));
        states.report("stranger", DeviceState::new(), UnixMs(3));
        assert_eq!(states.last("stranger"), None);
    }
}
