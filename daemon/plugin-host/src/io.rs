//! What the host's capabilities need from outside. Implemented by the driver in `hob`; the tests here have one in memory.

use hob_events::{CallId, Device, DeviceAction, DeviceKind, DeviceState, Permit, PluginName};
use std::pin::Pin;

/// A boxed future, so that the trait can be an object.
pub type IoFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keys and their values.
pub type KvPairs = Vec<(String, Vec<u8>)>;

/// Who acts, and what the gate allowed. Goes with every effect, so that it can be checked and written down there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tool call.
    pub call: CallId,
    /// The plugin that runs it.
    pub plugin: PluginName,
    /// What the gate allowed.
    pub permit: Permit,
    /// Whether sending it twice does no more than sending it once.
    pub idempotent: bool,
}

/// The world outside the sandbox.
///
/// Every future may be dropped at any await when its call runs out of time: an effect that has begun must then still be
/// written down by whoever implements this. Nothing here may block the thread.
pub trait PluginIo: Send + Sync + 'static {
    /// The value of a key of the plugin's store.
    fn kv_get<'a>(&'a self, plugin: &'a PluginName, key: &'a str) -> IoFuture<'a, Result<Option<Vec<u8>>, KvFailure>>;

    /// Pairs whose keys begin with `range.prefix`, in order of the keys' bytes.
    fn kv_scan<'a>(&'a self, plugin: &'a PluginName, range: KvRange) -> IoFuture<'a, Result<KvPairs, KvFailure>>;

    /// Makes all writes durable, or none of them. The host calls it for one call of a plugin at a time.
    fn kv_commit<'a>(
        &'a self,
        plugin: &'a PluginName,
        writes: Vec<KvWrite>,
        quota: KvQuota,
    ) -> IoFuture<'a, Result<(), KvFailure>>;

    /// Devices of the inventory, in the owner's order.
    fn devices<'a>(&'a self, filter: DeviceFilter) -> IoFuture<'a, Vec<SeenDevice>>;

    /// The device of that name or alias, whatever its case.
    fn device<'a>(&'a self, name: &'a str) -> IoFuture<'a, Option<SeenDevice>>;

    /// Tells a device something and waits up to `wait_ms` for it to report that. Checks the device's risk against the
    /// caller's permit, and makes the mark *sending* durable before anything leaves.
    fn command<'a>(&'a self, order: DeviceOrder) -> IoFuture<'a, Result<DeviceAction, DeviceRefusal>>;

    /// Publishes to a topic outside the inventory. Refuses the topics of devices.
    fn publish<'a>(&'a self, order: PublishOrder) -> IoFuture<'a, Result<(), PublishRefusal>>;
}

/// Which pairs of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRange {
    /// What the keys begin with.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvWrite {
    /// Sets a key.
    Put {
        /// At most 256 bytes.
        key: String,
        /// At most the grant's `max-value`.
        value: Vec<u8>,
    },
    /// Forgets a key, which need not exist.
    Delete {
        /// The key.
        key: String,
    },
}

/// What the store of one plugin may hold after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvQuota {
    /// Keys and values together.
    pub max_bytes: u64,
    /// Number of keys.
    pub max_keys: u64,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvFailure {
    /// The commit would go past the quota; nothing was written.
    #[error("the store is full: {bytes} bytes in {keys} keys, and {} bytes in {} keys are allowed", quota.max_bytes, quota.max_keys)]
    Quota {
        /// What it would have held.
        bytes: u64,
        /// In so many keys.
        keys: u64,
        /// What it may hold.
        quota: KvQuota,
    },
    /// The disk or the database.
    #[error("the store does not answer: {reason}")]
    Storage {
        /// Why.
        reason: String,
    },
}

/// Which devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceFilter {
    /// Of this kind only.
    pub kind: Option<DeviceKind>,
    /// In this room, or in the rooms of this floor, only.
    pub area: Option<String>,
}

/// A device and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenDevice {
    /// As the inventory has it.
    pub device: Device,
    /// What it last reported.
    pub state: Option<DeviceState>,
    /// How long ago that was, in milliseconds.
    pub age_ms: Option<u64>,
}

/// A device command.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceOrder {
    /// Who.
    pub caller: Caller,
    /// The device's own name.
    pub device: String,
    /// What it is told: `{"state":"on"}`, `{"percent":40}`, `{"celsius":21.5}`.
    pub change: DeviceState,
    /// The longest to wait for its report; 0 does not wait.
    pub wait_ms: u32,
}

/// Why a device was told nothing. The texts reach the model and the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRefusal {
    /// Not in the inventory.
    #[error("there is no device named '{device}'")]
    Unknown {
        /// The name given.
        device: String,
    },
    /// Its risk is above the permit, or the owner's policy says no.
    #[error("{reason}")]
    Denied {
        /// What would have to change.
        reason: String,
    },
    /// The device cannot do that.
    #[error("{reason}")]
    Unsupported {
        /// What it can do instead.
        reason: String,
    },
    /// It cannot be told now: the broker is away, a queue is full.
    #[error("{reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// A message to a topic outside the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOrder {
    /// Who.
    pub caller: Caller,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
}

/// Why a message did not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// The topic belongs to a device, to hob itself, or is no topic.
    #[error("{reason}")]
    Denied {
        /// What to do instead.
        reason: String,
    },
    /// The broker is away or the queue is full.
    #[error("{reason}")]
    Offline {
        /// Why.
        reason: String,
    },
}
