//! Runs plugins: untrusted WebAssembly components that offer tools.
//!
//! The driver in `hob` opens one [`PluginHost`], asks it what it can offer ([`PluginHost::tools`]), and hands it calls
//! that passed the gate ([`PluginHost::call`]). What plugins need from outside (a store, devices, publishing) the host
//! asks of a [`PluginIo`], which the driver implements. This crate decides nothing about turns, keeps no state but the
//! installed packages, and knows no topic of any device.
//!
//! A call, in order:
//!
//! | step | where |
//! |---|---|
//! | the plugin is loaded and not paused | `breaker` |
//! | the arguments fit the schema | `arguments` |
//! | a fresh instance, with the capabilities that manifest and grant agree on | `guest`, `capability` |
//! | it runs: deadline, memory, stack, data and log bounded | `call_state`, `limits` |
//! | device commands leave at once; writes and messages wait | `capabilities`, `overlay` |
//! | it returned Ok: writes commit together, then messages leave | `call` |
//!
//! What a plugin gets wrong is an [`Outcome`](hob_events::Outcome), never an error of the host's. A component runs only
//! if its hash stands in the owner's grant, and only with the tools that were pinned when it was installed. The contract
//! is `plugins/wit/plugin.wit`.

mod amounts;
mod arguments;
mod breaker;
mod call;
mod call_state;
mod capabilities;
mod capability;
mod compiled;
mod contract;
mod digest;
mod engine;
mod grant;
mod guest;
mod host;
mod inspect;
mod install;
mod io;
mod join;
mod limits;
mod load;
mod log_budget;
mod manifest;
mod overlay;
mod settings;
mod toml_file;
mod tool_list;

pub use amounts::{Bytes, MalformedAmount, Millis};
pub use call::CallEnded;
pub use capability::{Capabilities, Capability, DeviceBounds, KvBounds, MqttBounds};
pub use compiled::OpenCacheError;
pub use digest::{ComponentHash, MalformedHash};
pub use engine::StartEngineError;
pub use grant::Grant;
pub use guest::Stop;
pub use host::{OpenHostError, PluginHost, RemovePluginError, WriteGrantError};
pub use inspect::{LimitsReport, PluginReport, PluginState};
pub use install::{InstallPluginError, InstallReport};
pub use io::{
    Caller, DeviceFilter, DeviceOrder, DeviceRefusal, IoFuture, KvFailure, KvPairs, KvQuota, KvRange, KvWrite,
    PluginIo, PublishOrder, PublishRefusal, SeenDevice,
};
pub use limits::EffectiveLimits;
pub use load::{ImportError, ListToolsError, LoadPluginError, ReadComponentError};
pub use manifest::{API, Identity, Limits, MANIFEST_FILE, Manifest, ReadManifestError};
pub use settings::{Caps, HostSettings};
pub use toml_file::ReadTomlError;
pub use tool_list::ToolListError;
