//! The one owner of ONNX Runtime: its shared library, its environment, its sessions.
//!
//! [`Runtime::open`] loads the library, [`Session::open`] loads a graph and tells what goes in and comes out,
//! [`Session::run`] runs it on named [`Tensor`]s, and a [`Stop`] ends a run from another thread. Nothing here knows what
//! a graph is for: token ids, caches and pictures are the callers' business, and those are `hob-model` and `hob-senses`.
//! No other crate of hob names `ort`.

mod bound;
mod cpus;
mod graph;
mod heat;
mod library;
mod locate;
mod lookup;
mod memory;
mod operators;
mod packed;
mod port;
mod prepare;
mod product;
mod provider;
mod requantize;
mod session;
mod settings;
mod share_out;
mod stop;
mod tensor;

pub use bound::{Bound, Place};
pub use cpus::{Cpus, Crew, CrewReason, cpu_features};
pub use graph::{Graph, Node, NumberKind, ReadGraphError, Weights, WeightsError};
pub use heat::{Heat, hottest};
pub use hob_kernels::Instructions;
pub use library::{MIN_VERSION, OpenLibraryError, Runtime};
pub use locate::{LIBRARY_VARIABLE, find_library};
pub use lookup::{Lookup, OpenLookupError};
pub use memory::usable_memory;
pub use packed::{Origin, PackedSettings, Packing, find_packed};
pub use port::{Dim, Port, Signature};
pub use prepare::{DraftError, Outcome, Pass, REWRITING, Rewritten, grows_in_place, rewrite};
pub use product::{Kernels, PLACING, Products};
pub use provider::{
    Attached, DeviceKind, Difference, Found, LoadPluginError, ParseWantedError, Provider, ReadProfileError, Share,
    Standing, TOLERANCE, Trial, TrialError, UnknownProvider, Wanted, find_plugin, try_provider,
};
pub use requantize::{REQUANTIZING, Reasons, Requantization, RequantizeError, Requantized, WIDE_BLOCK};
pub use session::{OpenSessionError, RunError, Session};
pub use settings::{Providers, SessionSettings};
pub use stop::Stop;
pub use tensor::{Element, Tensor, TensorError};
