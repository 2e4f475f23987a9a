//! The one wasmtime engine, and the thread that ticks it.

use crate::limits::{EPOCH_TICK, FIBER_STACK, WASM_STACK};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use wasmtime::{Config, Engine, EngineWeak};

/// An engine whose guests give way every tick for as long as this lives.
pub(crate) struct TickingEngine {
    pub(crate) engine: Engine,
    /// Dropped with the engine, which ends the thread.
    _stop: SyncSender<()>,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum StartEngineError {
    /// The processor or the address space does not allow it.
    #[error("this machine cannot run WebAssembly: {0}")]
    Engine(String),
    /// No thread to be had.
    #[error("the thread that keeps plugins from hogging the processor cannot start")]
    Ticker(#[source] std::io::Error),
}

impl TickingEngine {
    pub(crate) fn start() -> Result<Self, StartEngineError> {
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(WASM_STACK).async_stack_size(FIBER_STACK);
        let engine = Engine::new(&config).map_err(|error| StartEngineError::Engine(format!("{error:#}")))?;
        let (stop, stopped) = sync_channel::<()>(0);
        let ticked = engine.weak();
        std::thread::Builder::new()
            .name("plugin-epoch".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EPOCH_TICK.duration()) {
                    if !tick(&ticked) {
                        break;
                    }
                }
            })
            .map_err(StartEngineError::Ticker)?;
        Ok(Self { engine, _stop: stop })
    }
}

/// Whether the engine still lives.
fn tick(engine: &EngineWeak) -> bool {
    engine.upgrade().map(|engine| engine.increment_epoch()).is_some()
}
