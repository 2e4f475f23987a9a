//! A house in memory: three lamps, a lock, a store.

use hob_events::{Area, Delivery, Device, DeviceAction, DeviceKind, DeviceState, Inventory, PluginName, Risk};
use hob_plugin_host::{
    DeviceFilter, DeviceOrder, DeviceRefusal, IoFuture, KvFailure, KvPairs, KvQuota, KvRange, KvWrite, PluginIo,
    PublishOrder, PublishRefusal, SeenDevice,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What a device does when it is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    StaysSilent,
    /// The command itself never comes back.
    Hangs,
}

pub(crate) struct MemoryIo {
    pub(crate) inventory: Inventory,
    pub(crate) manner: Manner,
    pub(crate) states: Mutex<BTreeMap<String, DeviceState>>,
    pub(crate) kv: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) orders: Mutex<Vec<DeviceOrder>>,
    pub(crate) published: Mutex<Vec<PublishOrder>>,
}

fn device(name: &str, area: &str, kind: DeviceKind, risk: Risk) -> Device {
    Device { name: name.into(), aliases: vec![format!("{name} alias")], area: Some(area.into()), kind, risk }
}

pub(crate) fn object(value: serde_json::Value) -> DeviceState {
    value.as_object().unwrap().clone()
}

impl MemoryIo {
    pub(crate) fn new(manner: Manner) -> Self {
        let devices = vec![
            device("kitchen light", "kitchen", DeviceKind::Light, Risk::Low),
            device("hall lamp", "hall", DeviceKind::Light, Risk::Low),
            device("desk lamp", "study", DeviceKind::Light, Risk::Low),
            device("front door", "hall", DeviceKind::Lock, Risk::High),
            device("garage", "yard", DeviceKind::Cover, Risk::Medium),
            device("heater", "study", DeviceKind::Climate, Risk::Low),
        ];
        let area = |name: &str| Area { name: name.into(), floor: Some("ground floor".into()) };
        let states = BTreeMap::from([
            ("kitchen light".to_owned(), object(json!({"state": "on", "percent": 40}))),
            ("hall lamp".to_owned(), object(json!({"state": "on"}))),
            ("desk lamp".to_owned(), object(json!({"state": "off"}))),
        ]);
        Self {
            inventory: Inventory { devices, areas: vec![area("kitchen"), area("hall")] },
            manner,
            states: Mutex::new(states),
            kv: Mutex::default(),
            orders: Mutex::default(),
            published: Mutex::default(),
        }
    }

    fn seen(&self, device: &Device) -> SeenDevice {
        let state = self.states.lock().unwrap().get(&device.name).cloned();
        SeenDevice { device: device.clone(), age_ms: state.as_ref().map(|_| 10), state }
    }

    fn obey(&self, order: DeviceOrder) -> Result<DeviceAction, DeviceRefusal> {
        let device = self.inventory.device(&order.device).unwrap();
        if device.risk > order.caller.permit.risk {
            return Err(DeviceRefusal::Denied { reason: format!("{} needs a yes first", device.name) });
        }
        let answers = self.manner == Manner::Answers && order.wait_ms > 0;
        let mut states = self.states.lock().unwrap();
        if answers {
            states.entry(device.name.clone()).or_default().extend(order.change.clone());
        }
        self.orders.lock().unwrap().push(order.clone());
        Ok(DeviceAction {
            device: order.device,
            change: order.change,
            delivery: if answers { Delivery::Confirmed } else { Delivery::Sent },
            state: if answers { states.get(&device.name).cloned() } else { None },
        })
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> IoFuture<'a, T> {
    Box::pin(async move { value })
}

impl PluginIo for MemoryIo {
    fn kv_get<'a>(&'a self, plugin: &'a PluginName, key: &'a str) -> IoFuture<'a, Result<Option<Vec<u8>>, KvFailure>> {
        let value = self.kv.lock().unwrap().get(&format!("{plugin}/{key}")).cloned();
        // Gives another call the chance to come between.
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(value)
        })
    }

    fn kv_scan<'a>(&'a self, plugin: &'a PluginName, range: KvRange) -> IoFuture<'a, Result<KvPairs, KvFailure>> {
        let own = format!("{plugin}/");
        let kv = self.kv.lock().unwrap();
        let pairs = kv.iter().filter_map(|(key, value)| Some((key.strip_prefix(&own)?.to_owned(), value.clone())));
        let inside =
            |key: &str| key.starts_with(&range.prefix) && range.after.as_deref().is_none_or(|after| key > after);
        ready(Ok(pairs.filter(|(key, _)| inside(key)).take(range.limit).collect()))
    }

    fn kv_commit<'a>(
        &'a self,
        plugin: &'a PluginName,
        writes: Vec<KvWrite>,
        quota: KvQuota,
    ) -> IoFuture<'a, Result<(), KvFailure>> {
        let mut kv = self.kv.lock().unwrap();
        let mut after = kv.clone();
        for write in writes {
            match write {
                KvWrite::Put { key, value } => after.insert(format!("{plugin}/{key}"), value),
                KvWrite::Delete { key } => after.remove(&format!("{plugin}/{key}")),
            };
        }
        let (keys, bytes) = (after.len() as u64, after.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum());
        if keys > quota.max_keys || bytes > quota.max_bytes {
            return ready(Err(KvFailure::Quota { bytes, keys, quota }));
        }
        *kv = after;
        ready(Ok(()))
    }

    fn devices<'a>(&'a self, filter: DeviceFilter) -> IoFuture<'a, Vec<SeenDevice>> {
        let inventory = &self.inventory;
        let chosen = inventory.devices.iter().filter(|device| {
            filter.kind.is_none_or(|kind| kind == device.kind)
                && filter.area.as_deref().is_none_or(|area| inventory.lies_in(device, area))
        });
        ready(chosen.map(|device| self.seen(device)).collect())
    }

    fn device<'a>(&'a self, name: &'a str) -> IoFuture<'a, Option<SeenDevice>> {
        ready(self.inventory.device(name).map(|device| self.seen(device)))
    }

    fn command<'a>(&'a self, order: DeviceOrder) -> IoFuture<'a, Result<DeviceAction, DeviceRefusal>> {
        match self.manner {
            Manner::Answers | Manner::StaysSilent => ready(self.obey(order)),
            Manner::Hangs => Box::pin(std::future::pending()),
        }
    }

    fn publish<'a>(&'a self, order: PublishOrder) -> IoFuture<'a, Result<(), PublishRefusal>> {
        self.published.lock().unwrap().push(order);
        ready(Ok(()))
    }
}
