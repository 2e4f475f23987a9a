//! Giving a session its providers.

use super::plugin::LoadPluginError;
use super::standing::is_built_in;
use super::{DeviceKind, Provider, Wanted, find_plugin};
use crate::library::Runtime;
use crate::settings::SessionSettings;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Why a provider cannot be given to a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error("this ONNX Runtime does not have it, and no plugin was found: {}", .0.how_to_get())]
    Absent(Provider),
    #[error(transparent)]
    Plugin(#[from] LoadPluginError),
    #[error("{path} finds no {} on this board, {}: {}", device(.wanted), listed(.found), what_it_needs(.wanted.provider))]
    NoDevice { path: PathBuf, wanted: Wanted, found: Vec<DeviceKind> },
    #[error("{reason}; {}", what_it_needs(*.provider))]
    Refused { provider: Provider, reason: String },
}

fn device(wanted: &Wanted) -> String {
    wanted.device.map_or("device".to_owned(), |device| device.to_string())
}

fn listed(found: &[DeviceKind]) -> String {
    let names: Vec<String> = found.iter().map(DeviceKind::to_string).collect();
    if names.is_empty() { "nor anything else to run on".to_owned() } else { format!("only {}", names.join(", ")) }
}

/// What a provider does not work without.
fn what_it_needs(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => "the processor is part of every ONNX Runtime: run `make setup`",
        Provider::OpenVino => "it takes Intel's devices alone, its processors too, with the driver that each needs",
        Provider::WebGpu => "it needs a Vulkan driver and its loader (Debian: mesa-vulkan-drivers, libvulkan1)",
        Provider::Qnn => "it needs a Qualcomm board with its driver, and hob's user in the driver's group",
        Provider::Cuda | Provider::TensorRt => "it needs NVIDIA's driver, and CUDA of the version it was built for",
    }
}

/// A provider that a session has, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Attached {
    /// Which provider.
    pub provider: Provider,
    /// On what; `None` where the library itself settles it.
    pub device: Option<DeviceKind>,
    /// Who made the device, as its driver says.
    pub vendor: Option<String>,
    /// The plugin's library; `None` for what is part of ONNX Runtime.
    pub plugin: Option<PathBuf>,
}

/// `openvino on cpu (GenuineIntel)`
impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.provider)?;
        if let Some(device) = self.device {
            write!(f, " on {device}")?;
        }
        match &self.vendor {
            Some(vendor) => write!(f, " ({vendor})"),
            None => Ok(()),
        }
    }
}

/// Adds one provider to a session that is being set up. The builder comes back either way.
pub(crate) fn attach(
    runtime: &Runtime,
    builder: SessionBuilder,
    wanted: Wanted,
    settings: &SessionSettings,
) -> (SessionBuilder, Result<Attached, AttachError>) {
    let from_settings = settings.providers.plugins.get(&wanted.provider);
    // What the library has itself needs no plugin, unless the settings name one.
    if from_settings.is_none() && is_built_in(runtime, wanted.provider) {
        return attach_built_in(builder, wanted, settings);
    }
    match find_plugin(wanted.provider, from_settings.map(PathBuf::as_path)) {
        Some(path) => attach_plugin(runtime, builder, wanted, path),
        None => (builder, Err(AttachError::Absent(wanted.provider))),
    }
}

fn attach_built_in(
    builder: SessionBuilder,
    wanted: Wanted,
    settings: &SessionSettings,
) -> (SessionBuilder, Result<Attached, AttachError>) {
    let attached = Attached { provider: wanted.provider, device: wanted.device, vendor: None, plugin: None };
    let Some(provider) = built_in(wanted, settings) else {
        return (builder, Err(AttachError::Absent(wanted.provider)));
    };
    match builder.with_execution_providers([provider.error_on_failure()]) {
        Ok(builder) => (builder, Ok(attached)),
        Err(error) => {
            let refused = AttachError::Refused { provider: wanted.provider, reason: error.message().to_owned() };
            (error.recover(), Err(refused))
        }
    }
}

/// What of ONNX Runtime itself a provider is; nothing for those that come as plugins alone.
fn built_in(wanted: Wanted, settings: &SessionSettings) -> Option<ExecutionProviderDispatch> {
    Some(match wanted.provider {
        Provider::Cpu => ep::CPU::default().with_arena_allocator(settings.arena).build(),
        Provider::OpenVino => {
            // Left to choose by itself ("AUTO") it takes nothing of a graph.
            let device = wanted.device.map_or("CPU".to_owned(), |device| device.to_string().to_ascii_uppercase());
            // It takes every core otherwise, whatever quota the control group has.
            let threads = settings.crew().threads;
            ep::OpenVINO::default().with_device_type(device).with_num_threads(threads).build()
        }
        Provider::Cuda => ep::CUDA::default().build(),
        Provider::TensorRt => ep::TensorRT::default().build(),
        Provider::WebGpu | Provider::Qnn => return None,
    })
}

fn attach_plugin(
    runtime: &Runtime,
    builder: SessionBuilder,
    wanted: Wanted,
    path: PathBuf,
) -> (SessionBuilder, Result<Attached, AttachError>) {
    let plugin = match runtime.plugin(wanted.provider, &path) {
        Ok(plugin) => plugin,
        Err(error) => return (builder, Err(error.into())),
    };
    let devices = runtime.devices_of(&plugin.canonical);
    let found: Vec<DeviceKind> = devices.iter().map(|(kind, _)| *kind).collect();
    let fitting = devices.into_iter().filter(|(kind, _)| wanted.device.is_none_or(|device| device == *kind));
    let Some((kind, device)) = fitting.min_by_key(|(kind, _)| *kind) else {
        return (builder, Err(AttachError::NoDevice { path: plugin.path, wanted, found }));
    };
    let vendor = device.hardware_device().vendor().ok().map(str::to_owned).filter(|vendor| !vendor.is_empty());
    match builder.with_devices([device], None) {
        Ok(builder) => {
            let (provider, device) = (wanted.provider, Some(kind));
            (builder, Ok(Attached { provider, device, vendor, plugin: Some(plugin.path) }))
        }
        Err(error) => {
            let refused = AttachError::Refused { provider: wanted.provider, reason: error.message().to_owned() };
            (error.recover(), Err(refused))
        }
    }
}
