//! What rules remember: over a restart too.

use hob_events::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all rules remember, in pieces that are written down each by itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleMemory {
    /// By the name of the rule: one that is renamed begins anew.
    pub(crate) rules: BTreeMap<String, Kept>,
    pub(crate) common: Common,
}

/// What rules remember together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Common {
    /// What the topics that conditions look at said last: as it came, since a value within a value within a value may be deeper
    /// than can be read again.
    pub(crate) last: BTreeMap<String, (UnixMs, String)>,
    /// When the model was asked, within the hour.
    pub(crate) asked: Vec<UnixMs>,
}

/// The piece of what all remember together. No rule has an empty name.
pub(crate) const COMMON: &str = "";

impl RuleMemory {
    /// Puts pieces together again. One that cannot be read, as from an older hob, begins anew.
    #[must_use]
    pub fn of(pieces: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut memory = Self::default();
        for (name, piece) in pieces {
            if name == COMMON {
                memory.common = serde_json::from_value(piece).unwrap_or_default();
            } else if let Ok(kept) = serde_json::from_value(piece) {
                memory.rules.insert(name, kept);
            }
        }
        memory
    }
}

/// What one rule remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Of which rule: one that was written anew remembers only how often it has acted.
    pub(crate) of: u64,
    /// When it did something, as far back as its limits look.
    pub(crate) fired: Vec<UnixMs>,
    /// It caused itself, and is held until then.
    pub(crate) cut_until: Option<UnixMs>,
    /// When its time comes next.
    pub(crate) due: Option<UnixMs>,
    /// By topic.
    pub(crate) topics: BTreeMap<Arc<str>, OnTopic>,
}

/// Topics that a rule remembers. Of more, the longest silent is forgotten.
pub(crate) const TOPICS: usize = 128;

impl Kept {
    /// What holds of a rule as it is written now.
    pub(crate) fn for_rule(self, of: u64) -> Self {
        if self.of == of { self } else { Self { of, fired: self.fired, cut_until: self.cut_until, ..Self::default() } }
    }

    /// Whether a topic would push another out.
    pub(crate) fn is_full_for(&self, topic: &str) -> bool {
        self.topics.len() >= TOPICS && !self.topics.contains_key(topic)
    }

    /// Forgets the half of the topics that are silent the longest.
    pub(crate) fn forget_half(&mut self) {
        let mut heard: Vec<UnixMs> = self.topics.values().map(|on| on.heard).collect();
        heard.sort_unstable();
        let middle = heard.get(heard.len() / 2).copied();
        self.topics.retain(|_, on| middle.is_some_and(|middle| on.heard > middle));
    }

    /// What it remembers of a topic, with room for what its condition sees.
    pub(crate) fn on(&mut self, topic: &Arc<str>, leaves: usize) -> &mut OnTopic {
        if self.is_full_for(topic) {
            let oldest = self.topics.iter().min_by_key(|(_, on)| on.heard).map(|(topic, _)| topic.clone());
            oldest.map(|oldest| self.topics.remove(&oldest));
        }
        let on = self.topics.entry(topic.clone()).or_default();
        on.leaves.resize(leaves, Leaf::default());
        on
    }
}

/// What a rule remembers of one topic.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OnTopic {
    /// When something was said there.
    pub(crate) heard: UnixMs,
    /// What the parts of its condition saw.
    pub(crate) leaves: Vec<Leaf>,
    /// Since when the condition holds.
    pub(crate) since: Option<UnixMs>,
    /// It was acted on, and is not again until it has not held in between.
    pub(crate) told: bool,
    /// When it is to be acted on if nothing comes in between, and what was said.
    pub(crate) waits: Option<(UnixMs, String)>,
}

/// What one part of a condition remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Leaf {
    /// It is past its limit and not back yet.
    pub(crate) latched: bool,
    /// The value of the last time.
    pub(crate) seen: Option<(UnixMs, Value)>,
}

/// Bytes of a message that are remembered; a longer one is cut, or not remembered where it has to be whole.
pub(crate) const LONGEST: usize = 1_024;

/// Bytes of a topic that rules look at: devices have shorter ones, and someone who means harm has not.
pub(crate) const LONGEST_TOPIC: usize = 512;

/// Bytes that a piece may have on disk.
pub(crate) const LONGEST_PIECE: usize = 1 << 20;

/// As much of a payload as is remembered.
pub(crate) fn remembered(payload: &str) -> String {
    payload.get(..payload.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}
