//! Where the host finds its files, and the bounds that no manifest or grant can lift.

use crate::amounts::{Bytes, Millis};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the host is opened with. Taken from the settings file by the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Installed packages: a folder a plugin, named by its id. Written by `install` only.
    pub plugins: PathBuf,
    /// The owner's grants: `<id>.toml` each.
    pub grants: PathBuf,
    /// Compiled components. May be deleted at any time.
    pub cache: PathBuf,
    /// What no plugin can go beyond.
    pub caps: Caps,
}

impl HostSettings {
    /// Packages and cache in the state folder, grants where the owner's configuration is.
    #[must_use]
    pub fn in_folders(state: &Path, grants: PathBuf) -> Self {
        Self { plugins: state.join("plugins"), grants, cache: state.join("cache/plugins"), caps: Caps::default() }
    }
}

/// The owner's bounds for all plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Caps {
    /// Linear memory of one call.
    pub memory: Bytes,
    /// Time of one call.
    pub deadline: Millis,
    /// Calls of one plugin at a time.
    pub concurrency: usize,
    /// Calls of all plugins at a time.
    pub total_concurrency: usize,
    /// Size of a component file.
    pub component: Bytes,
}

impl Default for Caps {
    /// A Rust or C plugin lives in 1 to 2 MiB and a scripting runtime in 13, so 64 MiB is generous; ten seconds is as
    /// long as a person waits; eight calls of 64 MiB are half a gigabyte at worst; the largest runtime seen (Python)
    /// makes an 18 MB component.
    fn default() -> Self {
        Self {
            memory: Bytes(64 << 20),
            deadline: Millis(10_000),
            concurrency: 4,
            total_concurrency: 8,
            component: Bytes(24 << 20),
        }
    }
}
