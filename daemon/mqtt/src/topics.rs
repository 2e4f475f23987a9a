//! The names of hob's topics.

use hob_events::{CommandId, NodeName, SenseName};

/// Everything under `hob/<node>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    node: NodeName,
}

/// What a topic of ours is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A command.
    Command,
    /// The answer to a command's question.
    Answer(CommandId),
    /// A microphone is to be muted, or no longer.
    Mute(String),
    /// The button of a microphone.
    Listen(String),
    /// Sound of a satellite.
    Sound(String),
}

impl Topics {
    /// The topics of a node.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self { node }
    }

    /// Commands come in here.
    #[must_use]
    pub fn command(&self) -> String {
        format!("hob/{}/command", self.node)
    }

    /// Answers to every question come in under this filter.
    #[must_use]
    pub fn answers(&self) -> String {
        format!("hob/{}/confirm/+/set", self.node)
    }

    /// Questions go out here.
    #[must_use]
    pub fn questions(&self) -> String {
        format!("hob/{}/confirm", self.node)
    }

    /// How a command is going.
    #[must_use]
    pub fn status(&self, id: &CommandId) -> String {
        format!("hob/{}/command/{id}/status", self.node)
    }

    /// How a command ended, for senders that named no response topic.
    #[must_use]
    pub fn result(&self, id: &CommandId) -> String {
        format!("hob/{}/command/{id}/result", self.node)
    }

    /// `online`, `stopped`, or `offline` by last will. Retained.
    #[must_use]
    pub fn availability(&self) -> String {
        format!("hob/{}/availability", self.node)
    }

    /// How a microphone is. Retained.
    #[must_use]
    pub fn microphone_state(&self, name: &SenseName) -> String {
        format!("hob/{}/microphone/{name}/state", self.node)
    }

    /// Whether a microphone is muted: `on` or `off`. Retained.
    #[must_use]
    pub fn microphone_mute(&self, name: &SenseName) -> String {
        format!("hob/{}/microphone/{name}/mute", self.node)
    }

    /// How a camera is. Retained.
    #[must_use]
    pub fn camera_state(&self, name: &SenseName) -> String {
        format!("hob/{}/camera/{name}/state", self.node)
    }

    /// What is for microphones comes in under these filters.
    #[must_use]
    pub fn for_microphones(&self) -> [String; 3] {
        ["mute/set", "listen/set", "sound"].map(|what| format!("hob/{}/microphone/+/{what}", self.node))
    }

    /// Whether what comes under a filter means something at that moment alone: sound, and a button. A broker is not to keep it
    /// for a hob that is away.
    pub(crate) fn is_of_the_moment(&self, filter: &str) -> bool {
        let [_, listen, sound] = self.for_microphones();
        filter == listen || filter == sound
    }

    /// What an incoming topic is for; nothing when it is not ours.
    #[must_use]
    pub fn read(&self, topic: &str) -> Option<Incoming> {
        let below = topic.strip_prefix("hob/")?.strip_prefix(self.node.as_str())?.strip_prefix('/')?;
        if below == "command" {
            return Some(Incoming::Command);
        }
        if let Some((name, what)) = below.strip_prefix("microphone/").and_then(|rest| rest.split_once('/')) {
            let name = name.to_owned();
            return match what {
                "mute/set" => Some(Incoming::Mute(name)),
                "listen/set" => Some(Incoming::Listen(name)),
                "sound" => Some(Incoming::Sound(name)),
                _ => None,
            };
        }
        let id = below.strip_prefix("confirm/")?.strip_suffix("/set")?;
        CommandId::new(id).ok().map(Incoming::Answer)
    }

    /// Whether a topic is one of hob's own, so that no plugin may publish to it.
    #[must_use]
    pub fn owns(&self, topic: &str) -> bool {
        topic.split('/').next() == Some("hob")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topics() -> Topics {
        Topics::new(NodeName::lossy("attic"))
    }

    #[test]
    fn commands_and_answers_are_told_apart() {
        assert_eq!(topics().read("hob/attic/command"), Some(Incoming::Command));
        assert_eq!(topics().read("hob/attic/confirm/a1/set"), Some(Incoming::Answer(CommandId::lossy("a1"))));
        assert_eq!(topics().read("hob/attic/microphone/hall/mute/set"), Some(Incoming::Mute("hall".to_owned())));
        assert_eq!(topics().read("hob/attic/microphone/hall/sound"), Some(Incoming::Sound("hall".to_owned())));
        for other in [
            "hob/cellar/command",
            "hob/attic/microphone/hall/state",
            "hob/attic/command/a/result",
            "hob/attic/confirm//set",
            "zigbee2mqtt/x",
            "hob/attic",
        ] {
            assert_eq!(topics().read(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_id_finds_its_way_back_from_its_answer_topic(id in "[A-Za-z0-9_.:-]{1,64}") {
            let topic = topics().answers().replace('+', &id);
            prop_assert_eq!(topics().read(&topic), Some(Incoming::Answer(CommandId::lossy(&id))));
        }
    }
}
