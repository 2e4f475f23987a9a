//! What one call carries with it through the host functions: its rights, its budgets, and what it did so far.

use crate::capability::Rights;
use crate::io::{Caller, PluginIo, PublishOrder};
use crate::limits::{EffectiveLimits, HOSTCALL_DATA, TABLE_ELEMENTS};
use crate::log_budget::LogBudget;
use crate::overlay::Overlay;
use hob_events::DeviceAction;
use std::sync::Arc;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

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
        Self {
            wasi: WasiCtxBuilder::new().build(),
            resources: ResourceTable::new(),
            memory: MemoryLimit { allowed: limits.memory.in_memory(), refused: false },
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

/// Denies memory past the limit. The guest sees a failed allocation.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    allowed: usize,
    /// Whether anything was denied: the likely cause of a trap that follows.
    pub(crate) refused: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.allowed;
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= TABLE_ELEMENTS;
        self.refused |= !fits;
        Ok(fits)
    }
}
