//! Which providers there are on this board, without running anything on them.

use super::{DeviceKind, Provider, find_plugin};
use crate::library::Runtime;
use ort::ep::{self, ExecutionProvider};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a provider's library was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Found {
    /// In ONNX Runtime itself. Whether its device and driver are there, only a run tells.
    BuiltIn,
    /// In a plugin that loads.
    Plugin {
        /// Its library.
        path: PathBuf,
    },
    /// In a plugin that does not load.
    Broken {
        /// Its library.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nowhere.
    Absent,
}

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Which.
    pub provider: Provider,
    /// Where its library was found.
    pub found: Found,
    /// What it finds to run on.
    pub devices: Vec<DeviceKind>,
}

impl Runtime {
    /// How every provider stands that hob knows. Plugins are loaded for it, and stay.
    #[must_use]
    pub fn providers(&self, plugins: &BTreeMap<Provider, PathBuf>) -> Vec<Standing> {
        Provider::ALL.into_iter().map(|provider| self.standing(provider, plugins.get(&provider))).collect()
    }

    fn standing(&self, provider: Provider, from_settings: Option<&PathBuf>) -> Standing {
        if from_settings.is_none() && is_built_in(self, provider) {
            let devices = provider.canonical().iter().flat_map(|canonical| self.kinds_of(canonical)).collect();
            return Standing { provider, found: Found::BuiltIn, devices };
        }
        let Some(path) = find_plugin(provider, from_settings.map(PathBuf::as_path)) else {
            return Standing { provider, found: Found::Absent, devices: Vec::new() };
        };
        match self.plugin(provider, &path) {
            Ok(plugin) => {
                let devices = self.kinds_of(&plugin.canonical);
                Standing { provider, found: Found::Plugin { path: plugin.path }, devices }
            }
            Err(error) => {
                let reason = error.to_string();
                Standing { provider, found: Found::Broken { path, reason }, devices: Vec::new() }
            }
        }
    }

    fn kinds_of(&self, canonical: &str) -> Vec<DeviceKind> {
        let mut kinds: Vec<DeviceKind> = self.devices_of(canonical).into_iter().map(|(kind, _)| kind).collect();
        kinds.sort_unstable();
        kinds
    }
}

/// Whether ONNX Runtime was built with a provider. It needs the library to be open.
pub(crate) fn is_built_in(_open: &Runtime, provider: Provider) -> bool {
    let available = match provider {
        Provider::Cpu => Ok(true),
        Provider::OpenVino => ep::OpenVINO::is_available(),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::TensorRt => ep::TensorRT::is_available(),
        // Nobody builds them in for Linux on a board.
        Provider::WebGpu | Provider::Qnn => Ok(false),
    };
    available.unwrap_or(false)
}
