//! The owner's rules, held against the house that they act in.

use crate::devices::Devices;
use crate::settings::Settings;
use hob_agent::{Engine, InvalidRules, RuleMemory};
use hob_events::UnixMs;
use hob_mqtt::Topics;

/// Why the rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenRulesError {
    /// They do not fit each other, or where the board stands is not told.
    #[error(transparent)]
    Rules(#[from] InvalidRules),
    /// What hob hears there it believes.
    #[error("rule '{rule}' publishes to {topic}, which is one of hob's own topics: let it call a tool, or ask")]
    Own {
        /// The rule.
        rule: String,
        /// The topic.
        topic: String,
    },
    /// What a device does is decided by the gate, and written down.
    #[error("rule '{rule}' publishes to {topic}, which belongs to a device: let it call a tool instead")]
    Device {
        /// The rule.
        rule: String,
        /// The topic.
        topic: String,
    },
}

/// The rules with what they remember, at a moment.
///
/// # Errors
/// [`OpenRulesError`], each with what to change.
pub fn open_rules(
    settings: &Settings,
    devices: &Devices,
    memory: RuleMemory,
    at: UnixMs,
) -> Result<Engine, OpenRulesError> {
    let topics = Topics::new(settings.node.name.clone());
    for rule in &settings.rule {
        let Some(topic) = rule.action.topic() else { continue };
        let (rule, topic) = (rule.name.clone(), topic.to_owned());
        if topics.owns(&topic) {
            return Err(OpenRulesError::Own { rule, topic });
        }
        if devices.owns_topic(&topic) {
            return Err(OpenRulesError::Device { rule, topic });
        }
    }
    Ok(Engine::new(settings.rule.clone(), settings.place, settings.rules, memory, at)?)
}
