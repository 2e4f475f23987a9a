//! Weights as the kernels want them, made once and mapped into memory from then on.
//!
//! Quantized matrices are multiplied in another order than they are published in. Made anew at every start, that takes as
//! much memory as the weights, which the system can neither drop nor share. Kept in a file it is pages of that file. There
//! are two ways: hob's own kernels have [panels], which are nothing but the matrices; for what is left to ONNX Runtime, it
//! writes the [graph as it optimized it](library), with the packed matrices beside it.
//!
//! What comes out depends on the graph and its data files, and with ONNX Runtime's kernels on the library, the processor and
//! the settings too. What was packed is [found](shelf) by all of these, so that nothing stale is ever opened; what nobody
//! opened for longest is removed.

mod library;
mod panels;
mod shelf;

use crate::graph::{Graph, ReadGraphError};
use crate::library::Runtime;
use crate::prepare::DraftError;
use crate::product::{Kernels, Product, WriteError, find};
use crate::session::{OpenSessionError, Session};
use crate::settings::SessionSettings;
use std::io;
use std::path::{Path, PathBuf};

/// Where packed weights are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSettings {
    /// A folder of its own. It is made with the first of them.
    pub folder: PathBuf,
    /// Most packed models; each takes about the room of its weights, and with ONNX Runtime's kernels twice that.
    pub most: usize,
    /// Weights of fewer bytes are packed into memory: that takes a moment, and little of it.
    pub least_bytes: u64,
}

impl PackedSettings {
    /// Least bytes unless something else is said.
    pub const USUAL_LEAST_BYTES: u64 = 128 << 20;
}

/// What is opened.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// A graph, with its weights beside it.
    pub path: &'a Path,
    /// What was made of that graph and stands for it, with the same weights.
    pub prepared: Option<&'a [u8]>,
}

/// How a session came to its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packing {
    /// They were packed before, and are pages of a file.
    Mapped,
    /// They were packed now, and are pages of a file.
    Made,
    /// They are in memory.
    Loaded {
        /// Why, and what would help.
        because: String,
    },
}

/// Why weights could not be packed. The session is opened without.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error("`[model] providers` names others than the processor")]
    Providers,
    #[error("the weights are small")]
    Small,
    #[error(
        "{folder} has {free} MB free, and packing takes {needed}: make room, or name another folder with `[model] cache`"
    )]
    Room { folder: PathBuf, free: u64, needed: u64 },
    #[error("its matrices would take {bytes} bytes, and its files have {weights}: they lie over each other")]
    Swollen { bytes: u64, weights: u64 },
    #[error("{because}; remove {folder} to try it again")]
    Refused { because: String, folder: PathBuf },
    #[error("another process packs weights into {folder} now: they are mapped from the next start on")]
    Busy { folder: PathBuf },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Graph(#[from] ReadGraphError),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Session(#[from] OpenSessionError),
}

impl PackError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}

impl<'a> Origin<'a> {
    /// The file of the graph that is opened.
    fn content(self) -> Result<std::borrow::Cow<'a, [u8]>, PackError> {
        match self.prepared {
            Some(graph) => Ok(graph.into()),
            None => Ok(Graph::content(self.path)?.into()),
        }
    }
}

/// Packed weights are at most so many times as large as the files that they were made of.
const MOST_PACKED: u64 = 4;

/// What pages that each of the matrices begins with add to that.
const PADDING: u64 = 32 << 20;

/// Weights that are to be packed, and how.
struct Work<'a> {
    runtime: &'a Runtime,
    origin: Origin<'a>,
    /// Without packing.
    settings: SessionSettings,
    content: std::borrow::Cow<'a, [u8]>,
    graph: Graph,
    /// Those that hob's own kernels multiply; none where that is left to ONNX Runtime.
    products: Vec<Product>,
}

impl<'a> Work<'a> {
    fn new(runtime: &'a Runtime, origin: Origin<'a>, settings: &SessionSettings) -> Result<Self, PackError> {
        let settings = SessionSettings { packed: None, ..settings.clone() };
        let content = origin.content()?;
        let graph = Graph::parse(origin.path, &content)?;
        let products = match settings.kernels {
            Kernels::Hob => find(&graph),
            Kernels::OnnxRuntime => Vec::new(),
        };
        Ok(Self { runtime, origin, settings, content, graph, products })
    }

    /// Bytes of all data files.
    fn bytes_of_weights(&self) -> Result<u64, PackError> {
        self.graph.data_files().into_iter().try_fold(0_u64, |bytes, path| {
            let about = std::fs::metadata(&path).map_err(PackError::file(&path))?;
            Ok(bytes.saturating_add(about.len()))
        })
    }

    /// Bytes that it takes on the disk.
    fn bytes_packed(&self) -> Result<u64, PackError> {
        match self.products.last() {
            Some(last) => Ok(last.end()),
            // Beside their originals, and half as much again where blocks are small.
            None => Ok(self.bytes_of_weights()?.saturating_mul(5) / 2),
        }
    }

    /// Packs into a folder.
    fn pack(&self, into: &Path) -> Result<(), PackError> {
        if self.products.is_empty() { library::pack(self, into) } else { panels::pack(self, into) }
    }

    /// Opens what was packed into a folder.
    fn open(&self, folder: &Path) -> Result<Session, PackError> {
        if self.products.is_empty() { library::open(self, folder) } else { panels::open(self, folder) }
    }
}

/// Loads a graph with its weights packed in a file, and packs them first where that was not done yet. Where it cannot be
/// done the graph is loaded as usual, and the reason comes back with it.
///
/// # Errors
/// [`OpenSessionError`] when the graph cannot be loaded either way.
pub(crate) fn open_packed(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
) -> Result<(Session, Packing), OpenSessionError> {
    take_or_make(runtime, origin, settings, packed).or_else(|error| {
        let because = error.to_string();
        tracing::info!(graph = %origin.path.display(), because, "the weights are packed into memory, and not into a file");
        let settings = &SessionSettings { packed: None, ..settings.clone() };
        let session = match origin.prepared {
            Some(graph) => Session::open_prepared(runtime, origin.path, graph, settings)?,
            None => Session::open(runtime, origin.path, settings)?,
        };
        Ok((session, Packing::Loaded { because }))
    })
}

/// Where what was packed of a graph lies, and the bytes that it takes on the disk, if it was packed already.
#[must_use]
pub fn find_packed(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
) -> Option<(PathBuf, u64)> {
    let work = Work::new(runtime, origin, settings).ok()?;
    let folder = packed.folder.join(shelf::key(&work).ok()?);
    Some((folder.clone(), shelf::bytes(&folder)?))
}

fn take_or_make(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
) -> Result<(Session, Packing), PackError> {
    if settings.providers.beside_cpu().next().is_some() {
        return Err(PackError::Providers);
    }
    let work = Work::new(runtime, origin, settings)?;
    let weights = work.bytes_of_weights()?;
    let bytes = if work.products.is_empty() { weights } else { work.bytes_packed()? };
    if bytes < packed.least_bytes {
        return Err(PackError::Small);
    }
    // Rows that fill a panel up are few, unless someone means harm.
    if bytes > weights.saturating_mul(MOST_PACKED).saturating_add(PADDING) {
        return Err(PackError::Swollen { bytes, weights });
    }
    let folder = packed.folder.join(shelf::key(&work)?);
    if let Some(because) = shelf::refused(&folder) {
        return Err(PackError::Refused { because, folder });
    }
    let take = || shelf::is_whole(&folder).then(|| work.open(&folder));
    if let Some(Ok(session)) = take() {
        shelf::note_opened(&folder);
        return Ok((session, Packing::Mapped));
    }
    let _alone = shelf::lock(packed)?;
    // Another process may have made it since.
    match take() {
        Some(Ok(session)) => {
            shelf::note_opened(&folder);
            return Ok((session, Packing::Mapped));
        }
        Some(Err(error)) => {
            tracing::warn!(folder = %folder.display(), %error, "packed weights cannot be opened, and are made anew");
            shelf::remove(&folder)?;
        }
        None => {}
    }
    Ok((shelf::make(&work, packed, &folder)?, Packing::Made))
}
