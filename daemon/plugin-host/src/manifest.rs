//! `plugin.toml`: what a package says it is and asks for.

use crate::amounts::{Bytes, Millis};
use crate::capability::{CAPABILITY_KEYS, Capabilities};
use crate::digest::ComponentHash;
use crate::toml_file::{self, KnownKeys, ReadTomlError};
use hob_events::PluginName;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The contract this host speaks, as a manifest names it.
pub const API: &str = "hob:plugin@0.1";

/// The file's name in a package.
pub const MANIFEST_FILE: &str = "plugin.toml";

/// A whole manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it is.
    pub plugin: Identity,
    /// What it asks for.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How much it asks for.
    #[serde(default)]
    pub limits: Limits,
}

/// The `[plugin]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Unique on a node; names its folder, its grant and its store.
    pub id: PluginName,
    /// For people.
    pub version: String,
    /// [`API`].
    pub api: String,
    /// The component's file name, in the package's folder.
    pub wasm: String,
    /// The component's hash.
    pub sha256: ComponentHash,
}

/// The `[limits]` table of a manifest or a grant. What is left out is the default of `EffectiveLimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Linear memory of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Time of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// Calls at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
}

pub(crate) const LIMIT_KEYS: KnownKeys = &[("limits", &["memory", "deadline", "concurrency"])];

const MANIFEST_KEYS: KnownKeys =
    &[("", &["plugin", "capabilities", "limits"]), ("plugin", &["id", "version", "api", "wasm", "sha256"])];

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadManifestError {
    /// The file or its shape.
    #[error(transparent)]
    File(#[from] ReadTomlError),
    /// Made for another contract.
    #[error("the plugin speaks '{api}' and this hob speaks '{API}'")]
    Api {
        /// What the manifest says.
        api: String,
    },
    /// `wasm` would leave the package's folder.
    #[error("wasm = '{wasm}' must be a plain file name beside plugin.toml")]
    WasmPath {
        /// What the manifest says.
        wasm: String,
    },
    /// An id that cannot name a folder.
    #[error("id = '{id}' must be lower-case letters, digits and '-', and begin with a letter")]
    Id {
        /// What the manifest says.
        id: String,
    },
}

impl Manifest {
    /// Reads and checks the manifest in a package's folder.
    ///
    /// # Errors
    /// [`ReadManifestError`], with what to change in the file.
    pub fn read(package: &Path) -> Result<Self, ReadManifestError> {
        let manifest: Self =
            toml_file::read(&package.join(MANIFEST_FILE), &[MANIFEST_KEYS, CAPABILITY_KEYS, LIMIT_KEYS])?;
        let Identity { id, api, wasm, .. } = &manifest.plugin;
        if api != API {
            return Err(ReadManifestError::Api { api: api.clone() });
        }
        if Path::new(wasm).file_name().is_none_or(|name| name != wasm.as_str()) {
            return Err(ReadManifestError::WasmPath { wasm: wasm.clone() });
        }
        if !is_plugin_id(id.as_str()) {
            return Err(ReadManifestError::Id { id: id.to_string() });
        }
        Ok(manifest)
    }
}

/// Narrower than a [`PluginName`]: it becomes the name of a folder and of a file.
pub(crate) fn is_plugin_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
