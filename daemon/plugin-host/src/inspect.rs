//! What can be told of an installed plugin, for `hob plugin list` and `hob plugin inspect`.

use crate::amounts::{Bytes, Millis};
use crate::capability::{Capabilities, Capability};
use crate::digest::ComponentHash;
use crate::load::LoadPluginError;
use hob_events::{PluginName, ToolSpec};
use serde::Serialize;

/// One installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginReport {
    /// Its id.
    pub plugin: PluginName,
    /// From its manifest; nothing when that cannot be read.
    pub version: Option<String>,
    /// Of the component that lies in its folder.
    pub sha256: Option<ComponentHash>,
    /// Size of that component.
    pub component: Option<Bytes>,
    /// Everything it imports, by full name.
    pub imports: Vec<String>,
    /// The capabilities among them.
    pub needs: Vec<Capability>,
    /// What its manifest asks for.
    pub asks: Capabilities,
    /// What the owner gives; nothing without a grant.
    pub granted: Option<Capabilities>,
    /// Whether it can be called, and if not, why.
    pub state: PluginState,
    /// What it offers when it can be called.
    pub tools: Vec<ToolSpec>,
    /// What one call may take, once loaded.
    pub limits: Option<LimitsReport>,
}

/// Limits as people read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LimitsReport {
    /// Memory of a call.
    pub memory: Bytes,
    /// Time of a call.
    pub deadline: Millis,
    /// Calls at a time.
    pub concurrency: usize,
}

/// Whether a plugin can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PluginState {
    /// Its tools are offered.
    Ready,
    /// It was stopped again and again; tried again after so long.
    Paused {
        /// Milliseconds left.
        for_ms: u64,
    },
    /// The owner has not granted it.
    Ungranted {
        /// What to do.
        reason: String,
    },
    /// Its tools are not those of the install.
    Quarantined {
        /// Which.
        reason: String,
    },
    /// Something else is wrong with it.
    Refused {
        /// What.
        reason: String,
    },
}

impl PluginState {
    pub(crate) fn of(error: &LoadPluginError) -> Self {
        let reason = in_full(error);
        match error {
            LoadPluginError::NoGrant { .. } => Self::Ungranted { reason },
            LoadPluginError::Quarantined { .. } => Self::Quarantined { reason },
            LoadPluginError::Manifest(_)
            | LoadPluginError::Grant(_)
            | LoadPluginError::Hash { .. }
            | LoadPluginError::Component(_)
            | LoadPluginError::Import(_)
            | LoadPluginError::Link(_)
            | LoadPluginError::NotInstalled
            | LoadPluginError::Listing(_)
            | LoadPluginError::ToolTaken { .. } => Self::Refused { reason },
        }
    }
}

/// An error with its causes, on one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
