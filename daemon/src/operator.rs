//! What operators ask a running hob at its door.

use crate::clock::now;
use crate::driver::Driver;
use hob_agent::{LookedAt, Ruling};
use hob_doors::Reply;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

impl Driver {
    pub(crate) fn tools(&self) -> Reply {
        of(&self.stages.plugins.tools())
    }

    pub(crate) fn devices(&self) -> Reply {
        Reply::Data { value: devices_with_states(self) }
    }

    /// What the rules looked at last, the newest at the end.
    pub(crate) fn looked(&self, last: usize) -> Reply {
        let shown = |looked: &LookedAt| {
            let ruling = |ruling: &Ruling| json!({ "rule": &*ruling.rule, "topic": ruling.topic.as_deref(), "decision": ruling.decision.to_string() });
            let rulings: Vec<Value> = looked.rulings.iter().map(ruling).collect();
            let (topic, payload) = looked.said.clone().unzip();
            json!({ "event": looked.number, "at": looked.at, "topic": topic, "payload": payload, "rulings": rulings })
        };
        let mut newest: Vec<Value> = self.agent.looked().rev().take(last).map(shown).collect();
        newest.reverse();
        Reply::Data { value: newest.into() }
    }

    pub(crate) fn status(&self) -> Reply {
        let mqtt = match &self.stages.mqtt {
            None => "off",
            Some(mqtt) if mqtt.is_connected() => "connected",
            Some(_) => "away",
        };
        let value = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "up_ms": now().since(self.started),
            "unfinished": self.agent.unfinished(),
            "room": self.agent.room(),
            "rules_dropped": self.agent.dropped(),
            "model": self.about_model.get("name"),
            "model_variant": self.about_model.get("variant"),
            "model_is": self.stages.model.standing().name(),
            "model_folder": whole(self.models.folder()),
            "model_next": self.swapping.as_ref().map(|swapping| whole(swapping.folder())),
            "broker": mqtt,
            "statuses_dropped": self.stages.mqtt.as_ref().map_or(0, hob_mqtt::MqttClient::dropped),
            "state_bytes": self.stages.store.bytes_on_disk().unwrap_or(0),
            "tools": self.stages.plugins.tools().len(),
            "devices": self.stages.devices.inventory().devices.len(),
        });
        Reply::Data { value }
    }

    pub(crate) fn model(&self) -> Reply {
        Reply::Data { value: self.about_model.clone() }
    }

    pub(crate) fn audit(&self, last: usize) -> Reply {
        match self.stages.store.audit_tail(last) {
            Ok(lines) => of(&lines),
            Err(error) => Reply::error("state", error),
        }
    }

    pub(crate) fn verify_audit(&self) -> Reply {
        match self.stages.store.verify_audit() {
            Ok(lines) => Reply::Data { value: json!({ "lines": lines }) },
            Err(error) => Reply::error("audit", error),
        }
    }
}

/// For a reader who stands in another folder.
fn whole(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn devices_with_states(driver: &Driver) -> Value {
    let known = &driver.stages.devices.inventory().devices;
    let with_state = known.iter().map(|device| {
        let last = driver.stages.states.last(&device.name);
        let age_ms = last.as_ref().map(|reported| now().since(reported.at));
        json!({ "device": device, "state": last.map(|reported| reported.state), "age_ms": age_ms })
    });
    with_state.collect()
}

fn of<T: serde::Serialize>(value: &T) -> Reply {
    match serde_json::to_value(value) {
        Ok(value) => Reply::Data { value },
        Err(error) => Reply::error("internal", error),
    }
}
