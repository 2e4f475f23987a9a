//! A simulated home on MQTT: its devices do what they are told on `<topic>/set`, report it on `<topic>`, and remember
//! every word they heard.

use crate::house::{Device, House};
use crate::link::{Heard, Link};
use crate::wait::DEADLINE;
use anyhow::Context;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::timeout;

/// One thing that a device was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The device's name.
    pub device: String,
    /// The payload, as JSON where it is some, else as text.
    pub payload: Value,
}

/// The home. Ends with this value.
#[derive(Debug)]
pub struct Home {
    rooms: Arc<Mutex<Rooms>>,
    count: watch::Receiver<usize>,
    link: Link,
}

#[derive(Debug, Default)]
struct Rooms {
    devices: Vec<Device>,
    states: BTreeMap<String, Value>,
    told: Vec<Told>,
    silent: BTreeSet<String>,
}

impl Home {
    /// Moves in: connects, and reports the first state of every device, retained.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn start(port: u16, house: &House) -> anyhow::Result<Self> {
        let devices = house.devices().to_vec();
        let states = devices.iter().map(|device| (device.name.clone(), device.first_state())).collect();
        let filters = devices.iter().map(|device| format!("{}/set", device.topic)).collect();
        let rooms = Arc::new(Mutex::new(Rooms { devices, states, ..Rooms::default() }));
        let (counted, count) = watch::channel(0);
        let lived_in = Arc::clone(&rooms);
        let live = move |client: &AsyncClient, heard| {
            let mut rooms = lived_in.lock().unwrap_or_else(PoisonError::into_inner);
            match heard {
                // A broker that begins anew has forgotten what was retained.
                Heard::Subscribed => rooms.devices.iter().for_each(|device| rooms.report(client, device)),
                Heard::Message(message) => {
                    rooms.hear(client, &String::from_utf8_lossy(&message.topic), &message.payload);
                }
            }
            counted.send_replace(rooms.told.len());
        };
        let link = Link::open(port, "home", filters, live).await?;
        Ok(Self { rooms, count, link })
    }

    /// Everything that was told so far, in order.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.rooms().told.clone()
    }

    /// What one device was told so far, in order.
    #[must_use]
    pub fn told_to(&self, device: &str) -> Vec<Value> {
        let to_it = |told: &&Told| told.device == device;
        self.rooms().told.iter().filter(to_it).map(|told| told.payload.clone()).collect()
    }

    /// What a device would report now; null for one that is not there.
    #[must_use]
    pub fn state(&self, device: &str) -> Value {
        self.rooms().states.get(device).cloned().unwrap_or_default()
    }

    /// From now on the device does what it is told and reports nothing.
    pub fn silence(&self, device: &str) {
        self.rooms().silent.insert(device.to_owned());
    }

    /// A device reports something by itself.
    ///
    /// # Errors
    /// When there is no such device, or the home's own queue is closed.
    pub async fn reports(&self, device: &str, state: Value) -> anyhow::Result<()> {
        let topic = {
            let mut rooms = self.rooms();
            let known = rooms.devices.iter().find(|known| known.name == device);
            let topic = known.with_context(|| format!("there is no {device}"))?.topic.clone();
            rooms.states.insert(device.to_owned(), state.clone());
            topic
        };
        Ok(self.link.client().publish(topic, QoS::AtLeastOnce, true, state.to_string()).await?)
    }

    /// Waits until `count` things were told to a device.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn was_told(&self, device: &str, count: usize) -> anyhow::Result<()> {
        let mut heard = self.count.clone();
        let enough = heard.wait_for(|_| self.told_to(device).len() >= count);
        timeout(DEADLINE, enough)
            .await
            .with_context(|| format!("waited in vain for {device} to be told something"))??;
        Ok(())
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn hear(&mut self, client: &AsyncClient, topic: &str, payload: &[u8]) {
        let of_it = |device: &&Device| topic.strip_suffix("/set") == Some(device.topic.as_str());
        let Some(device) = self.devices.iter().find(of_it).cloned() else { return };
        let text = String::from_utf8_lossy(payload);
        let payload = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text));
        let before = self.states.get(&device.name).cloned().unwrap_or_default();
        self.states.insert(device.name.clone(), device.told(&before, &payload));
        self.told.push(Told { device: device.name.clone(), payload });
        if !self.silent.contains(&device.name) {
            self.report(client, &device);
        }
    }

    fn report(&self, client: &AsyncClient, device: &Device) {
        let state = self.states.get(&device.name).map(Value::to_string).unwrap_or_default();
        // The queue is emptied by the same loop; a full one shows as a read-back that never comes.
        drop(client.try_publish(device.topic.clone(), QoS::AtLeastOnce, true, state));
    }
}
