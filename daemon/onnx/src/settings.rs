//! How a session is set up.

use crate::cpus::{Cpus, Crew};
use crate::packed::PackedSettings;
use crate::product::Kernels;
use crate::provider::{Provider, Wanted};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;

/// How a session is set up. The default is made for a daemon that shares a small board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// What carries out the operators.
    pub providers: Providers,
    /// Threads within one operator; `None` for as many as [`Cpus`] gives.
    pub threads: Option<NonZero<usize>>,
    /// Whether small cores work too, where there are fast ones beside them.
    pub all_cores: bool,
    /// Threads wait for work by turning in circles: a little faster alone on a board, and a load on it otherwise. ONNX
    /// Runtime's own default is on; with another busy process beside it that costs a third of the speed.
    pub spinning: bool,
    /// Plans one block of memory per run from the shapes of earlier runs. Worth it only where shapes repeat: every
    /// decoding step has a longer past, so it is off.
    pub memory_pattern: bool,
    /// Keeps freed memory for the next run instead of giving it back.
    pub arena: bool,
    /// Where weights are kept as the processor's kernels want them, so that they are pages of a file; `None` packs them into
    /// memory at each start.
    pub packed: Option<PackedSettings>,
    /// Whose kernels multiply with packed weights, where activations may be rounded to 8 bits.
    pub kernels: Kernels,
    /// Further `session.*` entries by ONNX Runtime's own names.
    pub entries: Vec<(String, String)>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            providers: Providers::default(),
            threads: None,
            all_cores: false,
            spinning: false,
            memory_pattern: false,
            arena: true,
            packed: None,
            kernels: Kernels::default(),
            entries: Vec::new(),
        }
    }
}

impl SessionSettings {
    /// Whose kernels multiply with quantized matrices, unless weights cannot be packed when it comes to it.
    #[must_use]
    pub fn wanted_kernels(&self) -> Kernels {
        let in_file = self.packed.is_some() && self.providers.beside_cpu().next().is_none();
        if in_file { self.kernels } else { Kernels::OnnxRuntime }
    }

    /// The threads that a run gets on this machine.
    #[must_use]
    pub fn crew(&self) -> Crew {
        Cpus::here().crew(self.threads, self.all_cores)
    }
}

/// Which providers a session asks for, and what becomes of it when they do not do their part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Providers {
    /// In order of preference; each takes the operators that it can of those that are left. Operators that none of them
    /// takes go to the processor, which is an error when it is not named here.
    pub order: Vec<Wanted>,
    /// Whether hob goes on, with a warning, when a provider cannot be had or takes nothing, or when the processor gets
    /// operators without being named.
    pub fallback: bool,
    /// Libraries of plugin providers, besides those that [`find_plugin`](crate::find_plugin) finds by itself.
    pub plugins: BTreeMap<Provider, PathBuf>,
}

impl Default for Providers {
    fn default() -> Self {
        Self { order: vec![Wanted::any(Provider::Cpu)], fallback: false, plugins: BTreeMap::new() }
    }
}

impl Providers {
    /// Those that are asked for besides the processor.
    pub fn beside_cpu(&self) -> impl Iterator<Item = Wanted> {
        self.order.iter().copied().filter(|wanted| wanted.provider != Provider::Cpu)
    }

    /// Whether the processor may take what is left.
    #[must_use]
    pub fn name_cpu(&self) -> bool {
        self.order.iter().any(|wanted| wanted.provider == Provider::Cpu)
    }
}
