//! How a session is set up.

use crate::provider::Provider;
use std::num::NonZero;

/// How a session is set up. The default is made for a daemon that shares a small board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// What carries out the operators.
    pub provider: Provider,
    /// Threads within one operator; `None` for [`usable_cpus`](crate::usable_cpus).
    pub threads: Option<NonZero<usize>>,
    /// Threads wait for work by turning in circles: a little faster alone on a board, and a load on it otherwise. ONNX
    /// Runtime's own default is on; with another busy process beside it that costs a third of the speed.
    pub spinning: bool,
    /// Plans one block of memory per run from the shapes of earlier runs. Worth it only where shapes repeat: every
    /// decoding step has a longer past, so it is off.
    pub memory_pattern: bool,
    /// Keeps freed memory for the next run instead of giving it back.
    pub arena: bool,
    /// Further `session.*` entries by ONNX Runtime's own names.
    pub entries: Vec<(String, String)>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            provider: Provider::Cpu,
            threads: None,
            spinning: false,
            memory_pattern: false,
            arena: true,
            entries: Vec::new(),
        }
    }
}
