//! `devices.toml`: the inventory, and the topics on which each device is reached.

use hob_events::{Area, Device, DeviceKind, Inventory, Risk, TopicFilter, same_name};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenDevicesError {
    /// The file cannot be read.
    #[error("the inventory {path} cannot be read: make it, or correct `[devices] file`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what an inventory looks like.
    #[error("the inventory {path} is not understood: {reason}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Two devices answer to one name.
    #[error(
        "the inventory {path} gives the name \"{name}\" twice: every name and alias must be unique, whatever its case"
    )]
    NameTwice {
        /// Which file.
        path: PathBuf,
        /// Which name.
        name: String,
    },
    /// A name that would break the prompt or a topic.
    #[error("the inventory {path} has a name that cannot be used, {name:?}: {reason}")]
    BadName {
        /// Which file.
        path: PathBuf,
        /// Which name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A topic with a wildcard, or none a broker would take.
    #[error("device \"{device}\" in {path} cannot be reached on {topic:?}: a topic is needed, without '+' and '#'")]
    BadTopic {
        /// Which file.
        path: PathBuf,
        /// Which device.
        device: String,
        /// Which topic.
        topic: String,
    },
}

/// How a device is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Commands go here; sensors and the like have none.
    pub command_topic: Option<String>,
    /// States come from here.
    pub state_topic: String,
}

/// The inventory with how each device is reached, in one order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Devices {
    inventory: Arc<Inventory>,
    reach: Vec<Reach>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    area: Vec<Area>,
    #[serde(default)]
    device: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    area: Option<String>,
    kind: DeviceKind,
    risk: Option<Risk>,
    /// States come from here, commands go to `<topic>/set`, as Zigbee2MQTT has it.
    topic: String,
    /// Where commands go instead.
    command_topic: Option<String>,
}

/// What a mistake costs when the owner does not say.
fn usual_risk(kind: DeviceKind) -> Risk {
    match kind {
        DeviceKind::Lock => Risk::High,
        DeviceKind::Valve => Risk::Medium,
        DeviceKind::Light
        | DeviceKind::Switch
        | DeviceKind::Fan
        | DeviceKind::Cover
        | DeviceKind::Climate
        | DeviceKind::Media
        | DeviceKind::Vacuum
        | DeviceKind::Sensor
        | DeviceKind::Scene => Risk::Low,
    }
}

impl Devices {
    /// Reads the inventory file.
    ///
    /// # Errors
    /// [`OpenDevicesError`], naming the file and the entry.
    pub fn open(path: &Path) -> Result<Self, OpenDevicesError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| OpenDevicesError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, OpenDevicesError> {
        let file: File = toml::from_str(text).map_err(|error| OpenDevicesError::Parse {
            path: path.to_owned(),
            reason: crate::settings::with_line(text, &error),
        })?;
        let mut devices = Self::default();
        let mut inventory = Inventory { devices: Vec::new(), areas: file.area };
        for entry in file.device {
            let reach = entry.reach(path)?;
            let device = Device {
                name: entry.name,
                aliases: entry.aliases,
                area: entry.area,
                kind: entry.kind,
                risk: entry.risk.unwrap_or(usual_risk(entry.kind)),
            };
            check_names(path, &inventory, &device)?;
            inventory.devices.push(device);
            devices.reach.push(reach);
        }
        devices.inventory = Arc::new(inventory);
        Ok(devices)
    }

    /// What the agent and the model see of it.
    #[must_use]
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// A device by name or alias, with how it is reached.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&Device, &Reach)> {
        let device = self.inventory.device(name)?;
        let place = self.inventory.devices.iter().position(|known| known.name == device.name)?;
        Some((device, &self.reach[place]))
    }

    /// The device that reports on this topic.
    #[must_use]
    pub fn reporting_on(&self, topic: &str) -> Option<&Device> {
        let place = self.reach.iter().position(|reach| reach.state_topic == topic)?;
        self.inventory.devices.get(place)
    }

    /// Whether a topic belongs to a device, so that no plugin may publish to it directly.
    #[must_use]
    pub fn owns_topic(&self, topic: &str) -> bool {
        self.reach.iter().any(|reach| {
            reach.state_topic == topic || reach.command_topic.as_deref() == Some(topic)
                // What lies below a device's topic (set, get, availability) is the device's too.
                || topic.strip_prefix(&reach.state_topic).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// The topics to listen to, each once.
    #[must_use]
    pub fn state_topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.reach.iter().map(|reach| reach.state_topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

impl Entry {
    fn reach(&self, path: &Path) -> Result<Reach, OpenDevicesError> {
        let usable = |topic: &str| TopicFilter::new(topic).is_ok() && !topic.contains(['+', '#']);
        let commanded = !matches!(self.kind, DeviceKind::Sensor);
        let command_topic =
            commanded.then(|| self.command_topic.clone().unwrap_or_else(|| format!("{}/set", self.topic)));
        let wrong = [Some(&self.topic), command_topic.as_ref()].into_iter().flatten().find(|topic| !usable(topic));
        match wrong {
            Some(topic) => Err(OpenDevicesError::BadTopic {
                path: path.to_owned(),
                device: self.name.clone(),
                topic: topic.clone(),
            }),
            None => Ok(Reach { command_topic, state_topic: self.topic.clone() }),
        }
    }
}

fn check_names(path: &Path, inventory: &Inventory, device: &Device) -> Result<(), OpenDevicesError> {
    let names = || std::iter::once(&device.name).chain(&device.aliases);
    for name in names().chain(&device.area) {
        let reason = if name.trim() != name || name.is_empty() {
            Some("it is empty, or begins or ends with a blank")
        } else if name.contains(['|', '/']) || name.contains(char::is_control) {
            Some("'|', '/' and control characters divide the lines of the prompt")
        } else if name.contains("<|") || name.contains("|>") {
            Some("it looks like a marker of the model's")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(OpenDevicesError::BadName { path: path.to_owned(), name: name.clone(), reason });
        }
    }
    for name in names() {
        let within = names().filter(|other| same_name(other, name)).count() > 1;
        if within || inventory.device(name).is_some() {
            return Err(OpenDevicesError::NameTwice { path: path.to_owned(), name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn parse(text: &str) -> Result<Devices, OpenDevicesError> {
        Devices::parse(Path::new("devices.toml"), text)
    }

    fn problem(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_device_is_found_by_name_alias_and_topic() {
        let devices = parse(
            r#"
            [[device]]
            name = "Front Door"
            aliases = ["main door"]
            kind = "lock"
            topic = "z/front door"
            "#,
        )
        .unwrap();
        let (device, reach) = devices.find("main DOOR").unwrap();
        assert_eq!((device.risk, reach.command_topic.as_deref()), (Risk::High, Some("z/front door/set")));
        assert_eq!(devices.reporting_on("z/front door").map(|device| device.name.as_str()), Some("Front Door"));
        assert!(devices.owns_topic("z/front door/set") && devices.owns_topic("z/front door/get"));
        assert!(!devices.owns_topic("z/front doors"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_snapshot!(problem("[[device]]\nname='a'\nkind='lamp'\ntopic='t'"), @"the inventory devices.toml is not understood: line 3: unknown variant `lamp`, expected one of `light`, `switch`, `fan`, `cover`, `valve`, `lock`, `climate`, `media`, `vacuum`, `sensor`, `scene`; did you mean `fan`?");
        assert_snapshot!(problem("[[device]]\nname='a'\nkind='light'\ntopik='t'"), @"the inventory devices.toml is not understood: line 4: unknown field `topik`, expected one of `name`, `aliases`, `area`, `kind`, `risk`, `topic`, `command_topic`; did you mean `topic`?");
        assert_snapshot!(problem("[[device]]\nname='a'\nkind='light'\ntopic='t/#'"), @r#"device "a" in devices.toml cannot be reached on "t/#": a topic is needed, without '+' and '#'"#);
        assert_snapshot!(problem("[[device]]\nname='a|b'\nkind='light'\ntopic='t'"), @r#"the inventory devices.toml has a name that cannot be used, "a|b": '|', '/' and control characters divide the lines of the prompt"#);
        assert_snapshot!(problem("[[device]]\nname='a'\nkind='light'\ntopic='t'\n[[device]]\nname='b'\naliases=['A']\nkind='light'\ntopic='u'"), @r#"the inventory devices.toml gives the name "A" twice: every name and alias must be unique, whatever its case"#);
    }
}
