//! The owner's inventory as the agent and the model see it: names, areas, kinds. How a device is reached is the driver's affair.

use crate::trust::Risk;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a device is. Tools say which kinds they take, so that a lamp cannot be unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A lamp or a group of lamps that is switched as one.
    Light,
    /// A plug, a relay, a pump: on or off.
    Switch,
    /// A fan with speeds.
    Fan,
    /// A blind, a curtain, a gate, a garage door.
    Cover,
    /// A water or gas valve.
    Valve,
    /// A door lock.
    Lock,
    /// A thermostat, a heater with a set point.
    Climate,
    /// A television, a loudspeaker.
    Media,
    /// A robot that cleans.
    Vacuum,
    /// Something that only reports.
    Sensor,
    /// A state of several devices that the owner named.
    Scene,
}

impl DeviceKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::Light,
        Self::Switch,
        Self::Fan,
        Self::Cover,
        Self::Valve,
        Self::Lock,
        Self::Climate,
        Self::Media,
        Self::Vacuum,
        Self::Sensor,
        Self::Scene,
    ];

    /// The word used in prompts, schemas and configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Switch => "switch",
            Self::Fan => "fan",
            Self::Cover => "cover",
            Self::Valve => "valve",
            Self::Lock => "lock",
            Self::Climate => "climate",
            Self::Media => "media",
            Self::Vacuum => "vacuum",
            Self::Sensor => "sensor",
            Self::Scene => "scene",
        }
    }

    /// The kind that `word` means, whatever its case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word))
    }
}

/// A thing in the owner's inventory that tools act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Unique in the inventory, whatever its case.
    pub name: String,
    /// Other names people use for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The room it stands in; none for scenes and the like.
    #[serde(default)]
    pub area: Option<String>,
    /// What it is.
    pub kind: DeviceKind,
    /// What a mistaken action on it can cost.
    #[serde(default)]
    pub risk: Risk,
}

/// A part of the house: a room, or a floor that holds rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Unique in the inventory, whatever its case.
    pub name: String,
    /// The larger area it lies in.
    #[serde(default)]
    pub floor: Option<String>,
}

/// Everything that can be named: what the offer of a turn is filled from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Inventory {
    /// In the owner's order, which is the order of the prompt.
    pub devices: Vec<Device>,
    /// Rooms in the owner's order.
    pub areas: Vec<Area>,
}

/// Two names are one when only their case differs. Models write names as their tokenizer can.
#[must_use]
pub fn same_name(left: &str, right: &str) -> bool {
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}

impl Inventory {
    /// The device with this name or alias, whatever its case.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&Device> {
        let named = |device: &&Device| same_name(&device.name, name);
        let aliased = |device: &&Device| device.aliases.iter().any(|alias| same_name(alias, name));
        self.devices.iter().find(named).or_else(|| self.devices.iter().find(aliased))
    }

    /// The devices of one kind in an area or on a floor; without an area, in the whole house.
    #[must_use]
    pub fn group(&self, kind: DeviceKind, area: Option<&str>) -> Vec<&Device> {
        let meant = |device: &&Device| device.kind == kind && area.is_none_or(|area| self.lies_in(device, area));
        self.devices.iter().filter(meant).collect()
    }

    /// Whether the device stands in the area, or in a room of the floor, of that name.
    #[must_use]
    pub fn lies_in(&self, device: &Device, area: &str) -> bool {
        let Some(room) = device.area.as_deref() else { return false };
        same_name(room, area)
            || self.areas.iter().any(|known| {
                same_name(&known.name, room) && known.floor.as_deref().is_some_and(|floor| same_name(floor, area))
            })
    }

    /// Every room and floor by name, rooms first, each once.
    #[must_use]
    pub fn area_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let rooms = self.areas.iter().map(|area| area.name.as_str());
        let stood_in = self.devices.iter().filter_map(|device| device.area.as_deref());
        let floors = self.areas.iter().filter_map(|area| area.floor.as_deref());
        for name in rooms.chain(stood_in).chain(floors) {
            if !names.iter().any(|known| same_name(known, name)) {
                names.push(name);
            }
        }
        names
    }
}

/// A change wanted of one device, or a state reported by it: `state`, `percent`, `celsius` and the like.
pub type DeviceState = Map<String, Value>;

/// What is known of a device action once hob stops looking at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Handed to the broker; the device was not asked or did not answer in time.
    Sent,
    /// The device reported the wanted state afterwards.
    Confirmed,
    /// It may or may not have left the board: the connection or the process died in between.
    Unknown,
}

/// One device command of a tool call, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceAction {
    /// The device's own name, never an alias.
    pub device: String,
    /// What was asked of it.
    pub change: DeviceState,
    /// What is known of it.
    pub delivery: Delivery,
    /// The state read back, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeviceState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, area: &str, kind: DeviceKind) -> Device {
        Device { name: name.into(), aliases: vec!["Big One".into()], area: Some(area.into()), kind, risk: Risk::Low }
    }

    fn house() -> Inventory {
        Inventory {
            devices: vec![
                device("Kitchen Light", "Kitchen", DeviceKind::Light),
                device("hall lamp", "hall", DeviceKind::Light),
            ],
            areas: vec![Area { name: "kitchen".into(), floor: Some("ground floor".into()) }],
        }
    }

    #[test]
    fn names_and_aliases_are_found_whatever_their_case() {
        let house = house();
        assert_eq!(house.device("kitchen light").map(|d| d.name.as_str()), Some("Kitchen Light"));
        assert_eq!(house.device("big one").map(|d| d.name.as_str()), Some("Kitchen Light"));
        assert!(house.device("attic light").is_none());
    }

    #[test]
    fn a_floor_holds_the_devices_of_its_rooms() {
        let house = house();
        let names: Vec<_> =
            house.group(DeviceKind::Light, Some("Ground Floor")).iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["Kitchen Light"]);
        assert_eq!(house.group(DeviceKind::Light, None).len(), 2);
        assert_eq!(house.area_names(), ["kitchen", "hall", "ground floor"]);
    }

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in DeviceKind::ALL {
            assert_eq!(DeviceKind::from_word(kind.word()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }
}
