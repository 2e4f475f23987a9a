//! What plugins reach through the host: their store, the owner's devices, the broker.
//!
//! Every effect is checked here once more against what the gate allowed, and written down before it leaves. An effect
//! that has begun is carried to its end by a task of its own: the call that wanted it may run out of time meanwhile.

use crate::clock::now;
use crate::devices::states::Reported;
use crate::devices::{Devices, Reach, States, zigbee2mqtt};
use hob_events::{
    AuditEntry, AuditKind, CommandId, Delivery, Device, DeviceAction, DeviceKind, PluginName, Record, TurnId,
};
use hob_mqtt::{Delivered, MqttClient, Outgoing, Topics};
use hob_plugin_host::{
    DeviceFilter, DeviceOrder, DeviceRefusal, IoFuture, KvFailure, KvQuota, KvRange, KvWrite, PluginIo, PublishOrder,
    PublishRefusal, SeenDevice,
};
use hob_state::{CommitError, KvChange, StateWriter, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

/// How long the broker may take to acknowledge a message to a device.
const BROKER_DEADLINE: Duration = Duration::from_secs(2);

/// An access list of the broker's said no.
const REFUSED: &str = "the broker does not let hob publish there";

/// Which command each turn serves, for the records of its effects. Kept by the driver.
#[derive(Debug, Clone, Default)]
pub struct Serving(Arc<Mutex<BTreeMap<TurnId, CommandId>>>);

impl Serving {
    /// A turn makes calls for this command.
    pub fn begins(&self, turn: TurnId, command: CommandId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(turn, command);
    }

    /// The command has its final result.
    pub fn ends(&self, command: &CommandId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, served| served != command);
    }

    /// The command that a turn serves.
    #[must_use]
    pub fn command(&self, turn: TurnId) -> Option<CommandId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&turn).cloned()
    }
}

/// The house, as plugins can reach it.
#[derive(Debug, Clone)]
pub struct House {
    /// The inventory and how each device is reached.
    pub devices: Arc<Devices>,
    /// What each device last said.
    pub states: Arc<States>,
    /// For reading.
    pub store: Store,
    /// For writing down.
    pub writer: StateWriter,
    /// The broker; none when hob runs without.
    pub mqtt: Option<MqttClient>,
    /// The names of hob's own topics.
    pub topics: Topics,
    /// Which command each turn serves.
    pub serving: Serving,
    /// Runs effects to their end.
    pub effects: TaskTracker,
}

impl PluginIo for House {
    fn kv_get<'a>(&'a self, plugin: &'a PluginName, key: &'a str) -> IoFuture<'a, Result<Option<Vec<u8>>, KvFailure>> {
        Box::pin(async move { self.store.kv_get(plugin, key).map_err(storage) })
    }

    fn kv_scan<'a>(
        &'a self,
        plugin: &'a PluginName,
        range: KvRange,
    ) -> IoFuture<'a, Result<Vec<(String, Vec<u8>)>, KvFailure>> {
        let found = self.store.kv_scan(plugin, &range.prefix, range.after.as_deref(), range.limit);
        Box::pin(async move { found.map_err(storage) })
    }

    fn kv_commit<'a>(
        &'a self,
        plugin: &'a PluginName,
        writes: Vec<KvWrite>,
        quota: KvQuota,
    ) -> IoFuture<'a, Result<(), KvFailure>> {
        let changes = writes.into_iter().map(|write| match write {
            KvWrite::Put { key, value } => KvChange::Put { key, value },
            KvWrite::Delete { key } => KvChange::Delete { key },
        });
        let allowed = hob_state::KvQuota { max_bytes: quota.max_bytes, max_keys: quota.max_keys };
        let (done, written) = oneshot::channel();
        let handed = self.writer.try_commit_kv(plugin.clone(), changes.collect(), allowed, move |result| {
            done.send(result).ok();
        });
        Box::pin(async move {
            handed.map_err(storage)?;
            written.await.map_err(storage)?.map_err(|error| match error {
                CommitError::Quota { usage, .. } => KvFailure::Quota { bytes: usage.bytes, keys: usage.keys, quota },
                CommitError::AlreadyKnown { .. }
                | CommitError::DiskFull { .. }
                | CommitError::Unwritable { .. }
                | CommitError::Broken { .. } => storage(error),
            })
        })
    }

    fn devices<'a>(&'a self, filter: DeviceFilter) -> IoFuture<'a, Vec<SeenDevice>> {
        let inventory = self.devices.inventory();
        let meant = |device: &&Device| {
            filter.kind.is_none_or(|kind| kind == device.kind)
                && filter.area.as_deref().is_none_or(|area| inventory.lies_in(device, area))
        };
        let seen = inventory.devices.iter().filter(meant).map(|device| self.seen(device)).collect();
        Box::pin(std::future::ready(seen))
    }

    fn device<'a>(&'a self, name: &'a str) -> IoFuture<'a, Option<SeenDevice>> {
        Box::pin(std::future::ready(self.devices.find(name).map(|(device, _)| self.seen(device))))
    }

    fn command<'a>(&'a self, order: DeviceOrder) -> IoFuture<'a, Result<DeviceAction, DeviceRefusal>> {
        let house = self.clone();
        let carried_out = self.effects.spawn(async move { house.command_device(order).await });
        Box::pin(async move {
            let lost = |error| DeviceRefusal::Unreachable { reason: format!("telling the device failed: {error}") };
            carried_out.await.map_err(lost)?
        })
    }

    fn publish<'a>(&'a self, order: PublishOrder) -> IoFuture<'a, Result<(), PublishRefusal>> {
        let house = self.clone();
        let carried_out = self.effects.spawn(async move { house.publish_message(order).await });
        Box::pin(async move {
            let lost = |error| PublishRefusal::Offline { reason: format!("publishing failed: {error}") };
            carried_out.await.map_err(lost)?
        })
    }
}

impl House {
    fn seen(&self, device: &Device) -> SeenDevice {
        let last = self.states.last(&device.name);
        SeenDevice {
            device: device.clone(),
            age_ms: last.as_ref().map(|reported| now().since(reported.at)),
            state: last.map(|reported| reported.state),
        }
    }

    /// Checks, writes the mark *sending*, sends once, waits for the read-back, writes what is known.
    async fn command_device(&self, order: DeviceOrder) -> Result<DeviceAction, DeviceRefusal> {
        let (device, topic) = self.allowed(&order)?;
        let mqtt = self.mqtt.as_ref().ok_or_else(away)?;
        if !mqtt.is_connected() {
            return Err(away());
        }
        let command = self.serving.command(order.caller.call.turn).ok_or_else(|| DeviceRefusal::Denied {
            reason: "the call belongs to no command that is being worked on".to_owned(),
        })?;
        let call = order.caller.call;
        let mark = Record::Sending {
            call,
            command,
            device: device.name.clone(),
            change: order.change.clone(),
            idempotent: order.caller.idempotent,
        };
        let kind = AuditKind::Sending { call, device: device.name.clone(), change: order.change.clone() };
        let unwritten = |reason| DeviceRefusal::Unreachable { reason };
        self.write(vec![mark, Record::Audit(AuditEntry { at: now(), kind })]).await.map_err(unwritten)?;

        let reports = self.states.watch(&device.name);
        let before = reports.as_ref().map_or(0, |reports| reports.borrow().count);
        let payload = zigbee2mqtt::command_payload(device.kind, &order.change).to_string();
        let delivered = mqtt
            .send_once(Outgoing::json(topic, payload.into_bytes()))
            .map_err(|error| DeviceRefusal::Unreachable { reason: error.to_string() })?;
        let mut action = DeviceAction {
            device: device.name.clone(),
            change: order.change,
            delivery: Delivery::Unknown,
            state: None,
        };
        match fate(delivered).await {
            Delivered::Acknowledged => {
                action.delivery = Delivery::Sent;
                if let Some(reported) = read_back(reports, before, &action, order.wait_ms).await {
                    action.delivery = Delivery::Confirmed;
                    action.state = Some(reported.state);
                }
            }
            Delivered::Unknown => {}
            // Nobody has it, so the mark above says too much; the receipt of the call will say that it failed.
            Delivered::Refused => return Err(DeviceRefusal::Unreachable { reason: REFUSED.to_owned() }),
            Delivered::NotSent => return Err(away()),
        }
        // The action has happened: when this cannot be written, the mark above still says "perhaps".
        if let Err(reason) = self.write(vec![Record::Sent { call, action: action.clone() }]).await {
            tracing::error!(%reason, device = action.device, "what became of a device command could not be written");
        }
        Ok(action)
    }

    /// The device and its topic, when the order may act on it.
    fn allowed(&self, order: &DeviceOrder) -> Result<(Device, String), DeviceRefusal> {
        let Some((device, Reach { command_topic, .. })) = self.devices.find(&order.device) else {
            return Err(DeviceRefusal::Unknown { device: order.device.clone() });
        };
        let permit = &order.caller.permit;
        if permit.devices.as_ref().is_some_and(|named| !named.contains(&device.name)) {
            let reason = format!("{} is not what this call was allowed to touch", device.name);
            return Err(DeviceRefusal::Denied { reason });
        }
        if device.risk > permit.risk {
            let reason = format!("{} is riskier than this call was allowed to touch", device.name);
            return Err(DeviceRefusal::Denied { reason });
        }
        let unable = |what: &str| DeviceRefusal::Unsupported { reason: format!("{} {what}", device.name) };
        let topic = command_topic.clone().ok_or_else(|| unable("only reports"))?;
        let understood = |field: &str| matches!(field, "state" | "percent" | "celsius");
        if order.change.is_empty() || !order.change.keys().all(|field| understood(field)) {
            return Err(unable("understands state, percent and celsius"));
        }
        if order.change.contains_key("celsius") && device.kind != DeviceKind::Climate {
            return Err(unable("has no temperature to set"));
        }
        Ok((device.clone(), topic))
    }

    async fn publish_message(&self, order: PublishOrder) -> Result<(), PublishRefusal> {
        let mqtt = self.mqtt.as_ref().ok_or_else(|| offline("hob runs without a broker"))?;
        if self.topics.owns(&order.topic) || self.devices.owns_topic(&order.topic) {
            let reason = format!("{} belongs to hob or to a device: use the devices capability", order.topic);
            return Err(PublishRefusal::Denied { reason });
        }
        let bytes = order.payload.len();
        let kind = AuditKind::Publishing { call: order.caller.call, topic: order.topic.clone(), bytes };
        self.write(vec![Record::Audit(AuditEntry { at: now(), kind })]).await.map_err(|error| offline(&error))?;
        let message = Outgoing {
            topic: order.topic,
            payload: order.payload.into(),
            retain: order.retain,
            correlation: None,
            content_type: None,
        };
        let delivered = mqtt.send_once(message).map_err(|error| offline(&error.to_string()))?;
        match fate(delivered).await {
            Delivered::Acknowledged => Ok(()),
            Delivered::Refused => Err(offline(REFUSED)),
            Delivered::NotSent => Err(offline("the broker is away")),
            Delivered::Unknown => Err(offline("the broker did not say that it has the message")),
        }
    }

    /// Makes records durable. The reason why not is for people.
    async fn write(&self, records: Vec<Record>) -> Result<(), String> {
        let (done, written) = oneshot::channel();
        self.writer
            .try_commit(records, move |result| {
                done.send(result).ok();
            })
            .map_err(|error| error.to_string())?;
        written.await.map_err(|_| "the state writer is gone".to_owned())?.map_err(|error| error.to_string())
    }
}

/// What became of a single message. A broker that says nothing in time may have it.
async fn fate(delivered: oneshot::Receiver<Delivered>) -> Delivered {
    match tokio::time::timeout(BROKER_DEADLINE, delivered).await {
        Ok(Ok(delivered)) => delivered,
        Ok(Err(_)) | Err(_) => Delivered::Unknown,
    }
}

/// The report that shows the change, when one comes in time. A report from before the command proves nothing.
async fn read_back(
    reports: Option<watch::Receiver<Reported>>,
    before: u64,
    action: &DeviceAction,
    wait_ms: u32,
) -> Option<Reported> {
    let mut reports = reports?;
    let fresh = |reported: &Reported| action.change.keys().all(|field| reported.told_after(field, before));
    let shown = reports.wait_for(|reported| fresh(reported) && zigbee2mqtt::shows(&reported.state, &action.change));
    let shown = tokio::time::timeout(Duration::from_millis(wait_ms.into()), shown).await;
    shown.ok()?.ok().map(|reported| reported.clone())
}

fn storage(error: impl ToString) -> KvFailure {
    KvFailure::Storage { reason: error.to_string() }
}

fn away() -> DeviceRefusal {
    DeviceRefusal::Unreachable { reason: "the broker is away".to_owned() }
}

fn offline(reason: &str) -> PublishRefusal {
    PublishRefusal::Offline { reason: reason.to_owned() }
}

/// The device that a topic's report is about, and what it reports.
#[must_use]
pub fn report_on<'a>(
    devices: &'a Devices,
    topic: &str,
    payload: &str,
) -> Option<(&'a Device, hob_events::DeviceState)> {
    let device = devices.reporting_on(topic)?;
    Some((device, zigbee2mqtt::reported_state(device.kind, payload)))
}
