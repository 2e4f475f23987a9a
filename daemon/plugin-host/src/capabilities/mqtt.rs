//! `hob:plugin/mqtt`: messages wait in an outbox until the call returns Ok.

use crate::call_state::CallState;
use crate::capabilities::no_right;
use crate::capability::{Capability, MqttRight};
use crate::contract::Refusal;
use crate::contract::hob::plugin::mqtt::Host;
use crate::io::PublishOrder;

impl Host for CallState {
    async fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
    ) -> wasmtime::Result<Result<(), Refusal>> {
        let Some(right) = &self.rights.mqtt else { return Ok(Err(no_right(Capability::Mqtt))) };
        let checked =
            self.check_acts().and_then(|()| check(right, self.caller.plugin.as_str(), &topic, payload.len(), retain));
        if let Err(refusal) = checked {
            return Ok(Err(refusal));
        }
        let waiting = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        if waiting >= right.max_messages {
            return Ok(Err(Refusal::Limit(format!("one call publishes at most {} messages", right.max_messages))));
        }
        self.outbox.push(PublishOrder { caller: self.caller.clone(), topic, payload, retain });
        Ok(Ok(()))
    }
}

fn check(right: &MqttRight, plugin: &str, topic: &str, bytes: usize, retain: bool) -> Result<(), Refusal> {
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(Refusal::Failed(format!("'{topic}' is no topic that can be published to")));
    }
    if let Some(side) = right.refused_by(topic) {
        let file = side.file(plugin);
        return Err(Refusal::Denied(format!(
            "publishing to '{topic}' is not allowed: add it to mqtt.publish in {file}"
        )));
    }
    if retain && !right.retain {
        return Err(Refusal::Denied(format!(
            "retained messages are not allowed: set mqtt.retain = true in its plugin.toml and in grants/{plugin}.toml"
        )));
    }
    if bytes > right.max_payload.in_memory() {
        return Err(Refusal::Limit(format!("a payload has at most {}", right.max_payload)));
    }
    Ok(())
}
