//! What one call carries with it through the host functions: its rights, its budgets, and what it did so far.

use crate::capability::Rights;
use crate::io::{Caller, PluginIo, PublishOrder};
use crate::limits::{CORE_INSTANCES, EffectiveLimits, HOSTCALL_DATA, RANDOM, TABLE_ELEMENTS, WASI_HANDLES};
use crate::log_budget::LogBudget;
use crate::overlay::Overlay;
use hob_events::DeviceAction;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// The data of a store.
pub(crate) struct CallState {
    /// Empty: no files, no sockets, no environment. Rust's std and the scripting runtimes want it to exist.
    wasi: WasiCtx,
    resources: ResourceTable,
    pub(crate) memory: MemoryLimit,
    pub(crate) caller: Caller,
    pub(crate) rights: Arc<Rights>,
    pub(crate) io: Arc<dyn PluginIo>,
    pub(crate) started: Instant,
    pub(crate) ends: Instant,
    pub(crate) kv: Overlay,
    /// Device commands that left, or may have left.
    pub(crate) actions: Vec<DeviceAction>,
    /// Messages that leave when the call returns Ok.
    pub(crate) outbox: Vec<PublishOrder>,
    pub(crate) log: LogBudget,
}

impl CallState {
    pub(crate) fn new(caller: Caller, rights: Arc<Rights>, io: Arc<dyn PluginIo>, limits: EffectiveLimits) -> Self {
        let started = Instant::now();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(WASI_HANDLES);
        Self {
            wasi: empty_wasi(&rights),
            resources,
            memory: MemoryLimit::new(limits.memory.in_memory()),
            caller,
            rights,
            io,
            started,
            ends: started + limits.deadline.duration(),
            kv: Overlay::default(),
            actions: Vec::new(),
            outbox: Vec::new(),
            log: LogBudget::new(),
        }
    }

    /// A store in which one fresh instance runs once.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_DATA.in_memory());
        // Yielding, not trapping: a guest that computes lets others run every tick, and the deadline around the call ends
        // it whether it computes or waits in a host function.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// No files, sockets, environment or arguments; and no time of day where the plugin has no right to it.
fn empty_wasi(rights: &Rights) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.max_random_size(RANDOM.0);
    if !rights.clock {
        wasi.wall_clock(StoppedClock);
    }
    wasi.build()
}

/// The time of day of a plugin without the capability `clock`: the beginning of 1970.
struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

/// Denies memory past the limit, over all memories of a component together. The guest sees a failed allocation.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    allowed: usize,
    bytes: usize,
    elements: usize,
    /// Whether anything was denied: the likely cause of a trap that follows.
    pub(crate) refused: bool,
}

impl MemoryLimit {
    fn new(allowed: usize) -> Self {
        Self { allowed, bytes: 0, elements: 0, refused: false }
    }
}

/// Grows `used` from `current` to `desired` where that stays within `allowed`.
fn grow(used: &mut usize, current: usize, desired: usize, allowed: usize) -> bool {
    let after = used.saturating_sub(current).saturating_add(desired);
    let fits = after <= allowed;
    if fits {
        *used = after;
    }
    fits
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = grow(&mut self.bytes, current, desired, self.allowed);
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = grow(&mut self.elements, current, desired, TABLE_ELEMENTS);
        self.refused |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_limit() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 40, None).unwrap() && limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.memory_growing(40, 80, None).unwrap() && limit.refused);
        assert!(limit.memory_growing(40, 60, None).unwrap(), "what was denied does not count");
        assert!(limit.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(!limit.table_growing(0, 1, None).unwrap());
    }
}
