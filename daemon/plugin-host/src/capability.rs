//! What a plugin may ask for and what the owner may give. A right exists only where both say yes; of two bounds the
//! tighter counts.

use crate::amounts::Bytes;
use crate::toml_file::KnownKeys;
use hob_events::{DeviceKind, TopicFilter};
use serde::{Deserialize, Serialize};

/// The capabilities of a manifest, or those of a grant: both are written alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Capabilities {
    /// A small store of the plugin's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<KvBounds>,
    /// The devices of the inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<DeviceBounds>,
    /// Messages to topics outside the inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<MqttBounds>,
    /// Lines in hob's log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
    /// The time of day.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clock: bool,
}

/// Bounds of a plugin's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KvBounds {
    /// Keys and values together.
    pub max_bytes: Bytes,
    /// Number of keys.
    pub max_keys: u32,
    /// One value.
    pub max_value: Bytes,
}

impl Default for KvBounds {
    /// Room for lists and settings, not for archives: the store shares its disk with what must never be lost.
    fn default() -> Self {
        Self { max_bytes: Bytes(256 << 10), max_keys: 1_000, max_value: Bytes(64 << 10) }
    }
}

/// Which devices, and whether they may be told anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DeviceBounds {
    /// Only these kinds; left out, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<DeviceKind>>,
    /// Change them, not only see them.
    pub command: bool,
}

impl DeviceBounds {
    /// Whether a device of this kind may be seen.
    #[must_use]
    pub fn takes(&self, kind: DeviceKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// Which topics, and how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MqttBounds {
    /// Topics that may be published to.
    pub publish: Vec<TopicFilter>,
    /// Bytes of one payload.
    pub max_payload: Bytes,
    /// Messages of one call.
    pub max_messages: u32,
    /// Whether the broker may be asked to keep a message.
    pub retain: bool,
}

impl Default for MqttBounds {
    /// No topics; sizes that fit a status message and not a picture.
    fn default() -> Self {
        Self { publish: Vec::new(), max_payload: Bytes(16 << 10), max_messages: 16, retain: false }
    }
}

/// What a loaded plugin may do: manifest and grant, each bound the tighter of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rights {
    pub(crate) kv: Option<KvBounds>,
    pub(crate) devices: Option<DeviceBounds>,
    pub(crate) mqtt: Option<MqttRight>,
    pub(crate) log: bool,
    pub(crate) clock: bool,
    /// Whether anything may be changed at all. A tool that says it is read-only gets no chance to be otherwise: the gate
    /// lets it pass on its word.
    pub(crate) acts: bool,
}

/// A topic must be allowed by both sides, so both lists are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MqttRight {
    asked: Vec<TopicFilter>,
    given: Vec<TopicFilter>,
    pub(crate) max_payload: Bytes,
    pub(crate) max_messages: u32,
    pub(crate) retain: bool,
}

impl MqttRight {
    /// The side that does not allow the topic, if any.
    pub(crate) fn refused_by(&self, topic: &str) -> Option<Side> {
        let lacks = |filters: &[TopicFilter]| !filters.iter().any(|filter| filter.matches(topic));
        if lacks(&self.asked) {
            Some(Side::Manifest)
        } else if lacks(&self.given) {
            Some(Side::Grant)
        } else {
            None
        }
    }
}

/// Which of the two files says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The plugin's own `plugin.toml`.
    Manifest,
    /// The owner's grant.
    Grant,
}

impl Side {
    /// The file, for a message that tells what to add where.
    #[must_use]
    pub(crate) fn file(self, plugin: &str) -> String {
        match self {
            Self::Manifest => "its plugin.toml".to_owned(),
            Self::Grant => format!("the grant grants/{plugin}.toml"),
        }
    }
}

impl Rights {
    /// What manifest and grant agree on.
    pub(crate) fn agreed(asked: &Capabilities, given: &Capabilities) -> Self {
        Self {
            kv: asked.kv.zip(given.kv).map(|(asked, given)| KvBounds {
                max_bytes: asked.max_bytes.min(given.max_bytes),
                max_keys: asked.max_keys.min(given.max_keys),
                max_value: asked.max_value.min(given.max_value),
            }),
            devices: asked.devices.as_ref().zip(given.devices.as_ref()).map(agreed_devices),
            mqtt: asked.mqtt.as_ref().zip(given.mqtt.as_ref()).map(|(asked, given)| MqttRight {
                asked: asked.publish.clone(),
                given: given.publish.clone(),
                max_payload: asked.max_payload.min(given.max_payload),
                max_messages: asked.max_messages.min(given.max_messages),
                retain: asked.retain && given.retain,
            }),
            log: asked.log && given.log,
            clock: asked.clock && given.clock,
            acts: true,
        }
    }

    /// The same, for a tool that only reads.
    pub(crate) fn reading_only(&self) -> Self {
        Self { acts: false, ..self.clone() }
    }
}

fn agreed_devices((asked, given): (&DeviceBounds, &DeviceBounds)) -> DeviceBounds {
    let kinds = match (&asked.kinds, &given.kinds) {
        (None, None) => None,
        (Some(kinds), None) | (None, Some(kinds)) => Some(kinds.clone()),
        (Some(asked), Some(given)) => Some(asked.iter().copied().filter(|kind| given.contains(kind)).collect()),
    };
    DeviceBounds { kinds, command: asked.command && given.command }
}

/// An importable interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// [`Capabilities::kv`]
    Kv,
    /// [`Capabilities::devices`]
    Devices,
    /// [`Capabilities::mqtt`]
    Mqtt,
    /// [`Capabilities::log`]
    Log,
    /// [`Capabilities::clock`]
    Clock,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kv, Self::Devices, Self::Mqtt, Self::Log, Self::Clock];

    /// The key under `[capabilities]`, and the name of the interface.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Devices => "devices",
            Self::Mqtt => "mqtt",
            Self::Log => "log",
            Self::Clock => "clock",
        }
    }

    /// A line that asks for it or gives it, for messages.
    #[must_use]
    pub fn example_line(self) -> &'static str {
        match self {
            Self::Kv => "kv = {}",
            Self::Devices => "devices = { command = true }",
            Self::Mqtt => "mqtt = { publish = [\"home/example/#\"] }",
            Self::Log => "log = true",
            Self::Clock => "clock = true",
        }
    }

    /// Whether these capabilities hold it.
    #[must_use]
    pub fn is_in(self, capabilities: &Capabilities) -> bool {
        match self {
            Self::Kv => capabilities.kv.is_some(),
            Self::Devices => capabilities.devices.is_some(),
            Self::Mqtt => capabilities.mqtt.is_some(),
            Self::Log => capabilities.log,
            Self::Clock => capabilities.clock,
        }
    }
}

/// Keys of the tables that manifests and grants share.
pub(crate) const CAPABILITY_KEYS: KnownKeys = &[
    ("capabilities", &["kv", "devices", "mqtt", "log", "clock"]),
    ("capabilities.kv", &["max-bytes", "max-keys", "max-value"]),
    ("capabilities.devices", &["kinds", "command"]),
    ("capabilities.mqtt", &["publish", "max-payload", "max-messages", "retain"]),
];
