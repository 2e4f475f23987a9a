//! `hob:plugin/devices`: what the inventory has, and commands that leave at once.

use crate::call_state::CallState;
use crate::capabilities::no_right;
use crate::capability::{Capability, DeviceBounds};
use crate::contract::Refusal;
use crate::contract::hob::plugin::devices::{self as border, Host};
use crate::io::{DeviceFilter, DeviceOrder, DeviceRefusal, IoFuture, SeenDevice};
use crate::join::join_all;
use crate::limits::DEVICES_AT_ONCE;
use hob_events::{Delivery, Device, DeviceAction, DeviceKind, DeviceState};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Device commands of one call, all together.
const COMMANDS_PER_CALL: usize = 256;
/// A change is a few fields.
const CHANGE_BYTES: usize = 4_096;
/// Left of a call's time after a wait, so that the plugin can still answer.
const TIME_TO_ANSWER: Duration = Duration::from_millis(50);

impl CallState {
    /// A copy, since a store's data may not be borrowed over an await.
    fn device_bounds(&self) -> Result<DeviceBounds, Refusal> {
        self.rights.devices.clone().ok_or_else(|| no_right(Capability::Devices))
    }

    /// The device of that name, if the plugin may see its kind.
    async fn visible_device(&mut self, name: &str) -> Result<SeenDevice, Refusal> {
        let bounds = self.device_bounds()?;
        let io = Arc::clone(&self.io);
        let seen = io.device(name).await;
        let seen = seen.ok_or_else(|| refused(DeviceRefusal::Unknown { device: name.to_owned() }))?;
        let Device { name, kind, .. } = &seen.device;
        if bounds.takes(*kind) {
            return Ok(seen);
        }
        let (word, plugin) = (kind.word(), &self.caller.plugin);
        Err(Refusal::Denied(format!(
            "{name} is a {word}, which the plugin may not touch: add \"{word}\" to devices.kinds in grants/{plugin}.toml"
        )))
    }

    /// An order, once everything about it was checked that the host can check.
    async fn order(&mut self, name: &str, change: &DeviceState, wait_ms: u32) -> Result<DeviceOrder, Refusal> {
        if !self.device_bounds()?.command {
            let plugin = &self.caller.plugin;
            return Err(Refusal::Denied(format!(
                "the plugin may see devices, not change them: set command = true in devices of its plugin.toml and of grants/{plugin}.toml"
            )));
        }
        self.check_acts()?;
        let seen = self.visible_device(name).await?;
        let left = self.ends.saturating_duration_since(Instant::now()).saturating_sub(TIME_TO_ANSWER);
        let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        Ok(DeviceOrder {
            caller: self.caller.clone(),
            device: seen.device.name,
            change: change.clone(),
            wait_ms: wait_ms.min(left_ms),
        })
    }

    /// Carries out orders together. Each stands among the actions as unknown from before it leaves until its answer is
    /// here, so that a call that is stopped in between tells the truth.
    async fn carry_out(&mut self, orders: Vec<DeviceOrder>) -> Vec<Result<DeviceAction, Refusal>> {
        let first = self.actions.len();
        self.actions.extend(orders.iter().map(not_known_yet));
        let io = Arc::clone(&self.io);
        let commands = orders.into_iter().map(|order| io.command(order)).collect::<Vec<IoFuture<'_, _>>>();
        let answers = join_all(commands).await;
        self.actions.truncate(first);
        self.actions.extend(answers.iter().filter_map(|answer| answer.as_ref().ok()).cloned());
        answers.into_iter().map(|answer| answer.map_err(refused)).collect()
    }

    async fn command_each(
        &mut self,
        names: &[String],
        change: &str,
        wait_ms: u32,
    ) -> Result<Vec<Result<DeviceAction, Refusal>>, Refusal> {
        if names.len() > DEVICES_AT_ONCE || self.actions.len() + names.len() > COMMANDS_PER_CALL {
            return Err(Refusal::Limit(format!(
                "one call commands at most {DEVICES_AT_ONCE} devices at once and {COMMANDS_PER_CALL} in all"
            )));
        }
        let change = read_change(change)?;
        let mut checked = Vec::with_capacity(names.len());
        for name in names {
            checked.push(self.order(name, &change, wait_ms).await);
        }
        let orders = checked.iter().filter_map(|order| order.as_ref().ok()).cloned().collect();
        let mut answers = self.carry_out(orders).await.into_iter();
        let unanswered = || Err(Refusal::Failed("the device command got no answer".to_owned()));
        Ok(checked.into_iter().map(|order| order.and_then(|_| answers.next().unwrap_or_else(unanswered))).collect())
    }
}

impl Host for CallState {
    async fn list(&mut self, filter: border::Filter) -> wasmtime::Result<Result<Vec<border::Device>, Refusal>> {
        let bounds = match self.device_bounds() {
            Ok(bounds) => bounds,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let filter = match read_filter(filter) {
            Ok(filter) => filter,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let seen = self.io.devices(filter).await;
        Ok(Ok(seen.into_iter().filter(|seen| bounds.takes(seen.device.kind)).map(shown).collect()))
    }

    async fn get(&mut self, name: String) -> wasmtime::Result<Result<border::Device, Refusal>> {
        Ok(self.visible_device(&name).await.map(shown))
    }

    async fn command(
        &mut self,
        device: String,
        change: String,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<border::Action, Refusal>> {
        let mut answers = match self.command_each(&[device], &change, wait_ms).await {
            Ok(answers) => answers,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let answer = answers.pop().unwrap_or_else(|| Err(Refusal::Failed("the device command got no answer".into())));
        Ok(answer.map(told))
    }

    async fn command_all(
        &mut self,
        devices: Vec<String>,
        change: String,
        wait_ms: u32,
    ) -> wasmtime::Result<Vec<Result<border::Action, Refusal>>> {
        Ok(match self.command_each(&devices, &change, wait_ms).await {
            Ok(answers) => answers.into_iter().map(|answer| answer.map(told)).collect(),
            Err(refusal) => devices.iter().map(|_| Err(refusal.clone())).collect(),
        })
    }
}

fn read_filter(filter: border::Filter) -> Result<DeviceFilter, Refusal> {
    let kind = match filter.kind {
        None => None,
        Some(word) => {
            let known = DeviceKind::from_word(&word);
            Some(known.ok_or_else(|| Refusal::NotFound(format!("'{word}' is no kind of device")))?)
        }
    };
    Ok(DeviceFilter { kind, area: filter.area })
}

fn read_change(text: &str) -> Result<DeviceState, Refusal> {
    if text.len() > CHANGE_BYTES {
        return Err(Refusal::Limit(format!("a change has at most {CHANGE_BYTES} bytes")));
    }
    serde_json::from_str(text).map_err(|error| Refusal::Failed(format!("the change is no JSON object: {error}")))
}

fn not_known_yet(order: &DeviceOrder) -> DeviceAction {
    DeviceAction {
        device: order.device.clone(),
        change: order.change.clone(),
        delivery: Delivery::Unknown,
        state: None,
    }
}

fn shown(seen: SeenDevice) -> border::Device {
    let Device { name, aliases, area, kind, risk: _ } = seen.device;
    border::Device {
        name,
        aliases,
        area,
        kind: kind.word().to_owned(),
        state: seen.state.map(|state| Value::Object(state).to_string()),
        state_age_ms: seen.age_ms,
    }
}

fn told(action: DeviceAction) -> border::Action {
    border::Action {
        device: action.device,
        delivery: match action.delivery {
            Delivery::Sent => border::Delivery::Sent,
            Delivery::Confirmed => border::Delivery::Confirmed,
            Delivery::Unknown => border::Delivery::Unknown,
        },
        state: action.state.map(|state| Value::Object(state).to_string()),
    }
}

fn refused(refusal: DeviceRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        DeviceRefusal::Unknown { .. } => Refusal::NotFound(text),
        DeviceRefusal::Denied { .. } => Refusal::Denied(text),
        DeviceRefusal::Unsupported { .. } | DeviceRefusal::Unreachable { .. } => Refusal::Failed(text),
    }
}
