//! `grants/<id>.toml`: what the owner gives a plugin. Neither the model nor a plugin can write one.

use crate::capability::{CAPABILITY_KEYS, Capabilities};
use crate::digest::ComponentHash;
use crate::manifest::{LIMIT_KEYS, Limits, Manifest};
use crate::toml_file::{self, KnownKeys, ReadTomlError};
use hob_events::PluginName;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A whole grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whom it is for.
    pub plugin: PluginName,
    /// The one component it holds for: another build needs another grant.
    pub sha256: ComponentHash,
    /// What is given.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How much of it.
    #[serde(default)]
    pub limits: Limits,
}

const GRANT_KEYS: KnownKeys = &[("", &["plugin", "sha256", "capabilities", "limits"])];

impl Grant {
    /// Gives all that a manifest asks for, to this very component.
    #[must_use]
    pub fn all_asked(manifest: &Manifest) -> Self {
        Self {
            plugin: manifest.plugin.id.clone(),
            sha256: manifest.plugin.sha256,
            capabilities: manifest.capabilities.clone(),
            limits: manifest.limits,
        }
    }

    /// Where the grant of a plugin stands.
    #[must_use]
    pub fn path(grants: &Path, plugin: &PluginName) -> PathBuf {
        grants.join(format!("{plugin}.toml"))
    }

    /// Reads the grant of a plugin; nothing when there is none.
    ///
    /// # Errors
    /// [`ReadTomlError`] when the file is there and cannot be used.
    pub fn read(grants: &Path, plugin: &PluginName) -> Result<Option<Self>, ReadTomlError> {
        let path = Self::path(grants, plugin);
        if !path.exists() {
            return Ok(None);
        }
        toml_file::read(&path, &[GRANT_KEYS, CAPABILITY_KEYS, LIMIT_KEYS]).map(Some)
    }

    /// The grant as a file, with a word on what it is.
    ///
    /// # Errors
    /// [`toml::ser::Error`] when a value cannot be written, which no value here is known to cause.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let body = toml::to_string(self)?;
        Ok(format!("# What the plugin '{}' may do. Take lines out to give it less.\n{body}", self.plugin))
    }
}
