//! Which devices stand in the simulated home: read from the same inventory file that the daemon reads.

use crate::places::repository;
use anyhow::Context;
use hob_events::DeviceKind;
use serde::Deserialize;
use serde_json::{Value, json};

/// The devices of a home.
#[derive(Debug, Clone)]
pub struct House {
    inventory: String,
    devices: Vec<Device>,
}

/// One device, as far as the simulation needs to know it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Device {
    pub name: String,
    pub kind: DeviceKind,
    pub topic: String,
}

#[derive(Debug, Deserialize)]
struct Inventory {
    device: Vec<Device>,
}

impl House {
    /// The example home that is shipped: `configs/examples/devices.toml`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn example() -> anyhow::Result<Self> {
        let path = repository().join("configs/examples/devices.toml");
        Self::from_inventory(std::fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?)
    }

    /// A home with `count` switches named `button 1` and so on, for tests that must tell every action from every other.
    ///
    /// # Errors
    /// Never for a sensible count.
    pub fn of_buttons(count: usize) -> anyhow::Result<Self> {
        let entry = |number| {
            format!(
                "[[device]]\nname = \"button {number}\"\nkind = \"switch\"\ntopic = \"zigbee2mqtt/button {number}\"\n\n"
            )
        };
        Self::from_inventory((1..=count).map(entry).collect())
    }

    /// A home with the devices of an inventory file's text.
    ///
    /// # Errors
    /// When the text is no inventory.
    pub fn from_inventory(text: String) -> anyhow::Result<Self> {
        let parsed: Inventory = toml::from_str(&text).context("the inventory is not understood")?;
        Ok(Self { inventory: text, devices: parsed.device })
    }

    /// The text for the daemon's inventory file.
    #[must_use]
    pub fn inventory(&self) -> &str {
        &self.inventory
    }

    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }
}

impl Device {
    /// What it reports before anyone touched it, in the words of Zigbee2MQTT.
    pub(crate) fn first_state(&self) -> Value {
        match self.kind {
            DeviceKind::Light => json!({"state": "OFF", "brightness": 254}),
            DeviceKind::Switch | DeviceKind::Vacuum => json!({"state": "OFF"}),
            DeviceKind::Fan => json!({"state": "OFF", "percent": 50}),
            DeviceKind::Media => json!({"state": "OFF", "volume": 30}),
            DeviceKind::Cover | DeviceKind::Valve => json!({"state": "OPEN", "position": 100}),
            DeviceKind::Lock => json!({"state": "LOCK", "lock_state": "locked"}),
            DeviceKind::Climate => json!({"state": "ON", "occupied_heating_setpoint": 19.0, "local_temperature": 20.5}),
            DeviceKind::Sensor => self.first_reading(),
            DeviceKind::Scene => json!({}),
        }
    }

    fn first_reading(&self) -> Value {
        let measures = |word: &str| self.name.contains(word);
        if measures("humidity") {
            json!({"humidity": 48, "battery": 90})
        } else if measures("leak") {
            json!({"water_leak": false, "battery": 77})
        } else {
            json!({"temperature": 21.5, "battery": 100})
        }
    }

    /// The state after it was told `payload`, when it was in `before`.
    pub(crate) fn told(&self, before: &Value, payload: &Value) -> Value {
        let mut after = before.clone();
        let Some(fields) = payload.as_object() else { return after };
        for (field, value) in fields {
            match (field.as_str(), value.as_str()) {
                ("state", Some("TOGGLE")) => after["state"] = json!(if before["state"] == "ON" { "OFF" } else { "ON" }),
                ("state", Some(word)) => self.go_to(&mut after, word),
                (_, _) => self.set(&mut after, field, value),
            }
        }
        after
    }

    fn go_to(&self, state: &mut Value, word: &str) {
        state["state"] = json!(word);
        match (self.kind, word) {
            (DeviceKind::Cover | DeviceKind::Valve, "OPEN") => state["position"] = json!(100),
            (DeviceKind::Cover | DeviceKind::Valve, "CLOSE") => state["position"] = json!(0),
            (DeviceKind::Lock, "LOCK") => state["lock_state"] = json!("locked"),
            (DeviceKind::Lock, "UNLOCK") => state["lock_state"] = json!("unlocked"),
            (_, _) => {}
        }
    }

    fn set(&self, state: &mut Value, field: &str, value: &Value) {
        state[field] = value.clone();
        // As real ones do: a lamp that is given a brightness shines, a blind that is given a place is open or closed.
        match (self.kind, field) {
            (DeviceKind::Light, "brightness") => state["state"] = json!(if value == 0 { "OFF" } else { "ON" }),
            (DeviceKind::Cover | DeviceKind::Valve, "position") => {
                state["state"] = json!(if value == 0 { "CLOSE" } else { "OPEN" });
            }
            (DeviceKind::Fan, "percent") | (DeviceKind::Media, "volume") => state["state"] = json!("ON"),
            (_, _) => {}
        }
    }
}
