//! Plugin providers, each in a library of its own.

use super::{DeviceKind, Provider};
use crate::library::{Runtime, refuse_truncated};
use ort::device::Device;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

/// Why a plugin's library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadPluginError {
    /// There is no such file, or it may not be read.
    #[error("cannot read the plugin {path} ({reason}): {}", .provider.how_to_get())]
    Unreadable {
        /// Whose it is.
        provider: Provider,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// ONNX Runtime does not take it.
    #[error("{path} is no plugin that this ONNX Runtime can load: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the loader or ONNX Runtime says.
        reason: String,
    },
    /// A process can hold one plugin of a kind, and it holds another.
    #[error("this process has loaded {open} already, and cannot load {path} as well")]
    AnotherIsLoaded {
        /// What was asked for.
        path: PathBuf,
        /// What is loaded.
        open: PathBuf,
    },
}

/// A plugin that the environment has taken up. It stays until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    pub(crate) path: PathBuf,
    /// What ONNX Runtime calls its provider.
    pub(crate) canonical: String,
}

impl Runtime {
    /// Loads the plugin of a provider, unless that was done before.
    pub(crate) fn plugin(&self, provider: Provider, path: &Path) -> Result<Plugin, LoadPluginError> {
        let unreadable = |reason: String| LoadPluginError::Unreadable { provider, path: path.to_owned(), reason };
        let path = path.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = plugins.get(&provider) {
            return if loaded.path == path {
                Ok(loaded.clone())
            } else {
                Err(LoadPluginError::AnotherIsLoaded { path, open: loaded.path.clone() })
            };
        }
        let refused = |reason: String| LoadPluginError::Refused { path: path.clone(), reason };
        refuse_truncated(&path).map_err(|error| refused(error.to_string()))?;
        let before = self.canonical_names();
        let registered = self.environment.register_ep_library(provider.name(), &path);
        registered.map_err(|error| refused(error.message().to_owned()))?;
        let canonical = brought(provider, self.canonical_names().into_iter().filter(|name| !before.contains(name)));
        let plugin = Plugin { path: path.clone(), canonical };
        plugins.insert(provider, plugin.clone());
        Ok(plugin)
    }

    fn canonical_names(&self) -> Vec<String> {
        self.environment.devices().filter_map(|device| device.ep().ok().map(str::to_owned)).collect()
    }

    /// The devices of a provider, by what ONNX Runtime calls it. Kinds that hob does not know are left out.
    pub(crate) fn devices_of(&self, canonical: &str) -> Vec<(DeviceKind, Device<'_>)> {
        let own = self.environment.devices().filter(|device| device.ep().is_ok_and(|name| name == canonical));
        own.filter_map(|device| Some((device.hardware_device().ty().try_into().ok()?, device))).collect()
    }
}

/// The name of the provider that a plugin brought. Some bring others beside it, named after it, that choose among devices.
fn brought(provider: Provider, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let known = provider.canonical().iter().find(|known| names.iter().any(|name| name == *known));
    let shortest = || names.iter().min_by_key(|name| name.len()).map(String::as_str);
    // Without a device there is no name, and nothing will be looked for under it either.
    known.copied().or_else(shortest).unwrap_or(provider.name()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_goes_by_its_known_name_or_by_the_shortest_it_brings() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into_iter();
        let some = names(&["OpenVINOExecutionProvider.AUTO", "OpenVINOExecutionProvider"]);
        assert_eq!(brought(Provider::OpenVino, some), "OpenVINOExecutionProvider");
        assert_eq!(brought(Provider::Qnn, names(&["QnnNext.AUTO", "QnnNext"])), "QnnNext");
        assert_eq!(brought(Provider::WebGpu, names(&[])), "webgpu");
    }
}
