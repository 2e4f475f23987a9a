//! Weights as the kernels want them, made once and mapped into memory from then on.
//!
//! ONNX Runtime's processor packs quantized matrices anew at every start, and holds what comes out in memory of its own: as
//! much as the weights, which the system can neither drop nor share. A packed session is the graph as it was optimized,
//! with the packed matrices beside it in one file; their pages are those of the file. The matrices that they were made of
//! are in that file too, since not every kernel can do without, and cost room on the disk alone.
//!
//! What comes out depends on the graph, its data files, the library, the processor and the settings. A packed session is
//! found by all of these, so that a stale one is never opened; those that nobody opened for longest are removed.

use crate::cpus::cpu_features;
use crate::graph::Graph;
use crate::library::Runtime;
use crate::session::{OpenSessionError, Session, WEIGHTS_FOLDER, configured};
use crate::settings::SessionSettings;
use rustix::fs::statvfs;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where packed sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSettings {
    /// A folder of its own. It is made with the first of them.
    pub folder: PathBuf,
    /// Most packed sessions; each takes about twice the room of its weights.
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
    #[error("another process packs weights into {folder} now: they are mapped from the next start on")]
    Busy { folder: PathBuf },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Session(#[from] OpenSessionError),
}

/// Names within the folder of one packed session.
const GRAPH: &str = "graph.onnx";
const DATA: &str = "graph.onnx_data";

/// What the name of a folder ends with that is not whole.
const PART: &str = "part";

/// Left free on the disk, whatever is packed.
const RESERVE: u64 = 256 << 20;

/// Goes up whenever packed sessions are laid out in another way than before.
const LAYOUT: u32 = 1;

/// Loads a graph with its weights packed in a file, and packs them first where that was not done yet: that takes about five
/// times as long as loading. Where it cannot be done the graph is loaded as usual, and the reason comes back with it.
///
/// # Errors
/// [`OpenSessionError`] when the graph cannot be loaded either way.
pub(crate) fn open_packed(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
) -> Result<(Session, Packing), OpenSessionError> {
    let settings = &SessionSettings { packed: None, ..settings.clone() };
    take_or_make(runtime, origin, settings, packed).or_else(|error| {
        let because = error.to_string();
        tracing::info!(graph = %origin.path.display(), because, "the weights are packed into memory, and not into a file");
        let session = match origin.prepared {
            Some(graph) => Session::open_prepared(runtime, origin.path, graph, settings)?,
            None => Session::open(runtime, origin.path, settings)?,
        };
        Ok((session, Packing::Loaded { because }))
    })
}

/// Where the packed session of a graph lies, and the bytes that it takes on the disk, if it was packed already.
#[must_use]
pub fn find_packed(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
) -> Option<(PathBuf, u64)> {
    let settings = &SessionSettings { packed: None, ..settings.clone() };
    let folder = packed.folder.join(key(runtime, origin, settings).ok()?);
    let blocks = std::fs::metadata(folder.join(DATA)).ok()?;
    Some((folder, std::os::unix::fs::MetadataExt::blocks(&blocks) * 512))
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
    if bytes_of_weights(origin.path)? < packed.least_bytes {
        return Err(PackError::Small);
    }
    let folder = packed.folder.join(key(runtime, origin, settings)?);
    let take = || folder.join(GRAPH).is_file().then(|| Session::open(runtime, &folder.join(GRAPH), settings));
    if let Some(Ok(session)) = take() {
        note_opened(&folder);
        return Ok((session, Packing::Mapped));
    }
    let _alone = lock(packed)?;
    // Another process may have made it since.
    match take() {
        Some(Ok(session)) => {
            note_opened(&folder);
            return Ok((session, Packing::Mapped));
        }
        Some(Err(error)) => {
            tracing::warn!(folder = %folder.display(), %error, "packed weights cannot be opened, and are made anew");
            remove(&folder)?;
        }
        None => {}
    }
    make(runtime, origin, settings, packed, &folder)?;
    Ok((Session::open(runtime, &folder.join(GRAPH), settings)?, Packing::Made))
}

/// Which was opened last is told by its time.
fn note_opened(folder: &Path) {
    File::open(folder.join(GRAPH)).and_then(|file| file.set_modified(SystemTime::now())).ok();
}

/// Only who holds this makes or removes packed sessions. It ends with the process, however that ends.
fn lock(packed: &PackedSettings) -> Result<File, PackError> {
    let failed = |source| PackError::File { path: packed.folder.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(&packed.folder).map_err(failed)?;
    let folder = File::open(&packed.folder).map_err(failed)?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(PackError::Busy { folder: packed.folder.clone() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// By what a packed session is known.
fn key(runtime: &Runtime, origin: Origin<'_>, settings: &SessionSettings) -> Result<String, PackError> {
    let mut hash = Sha256::new();
    let mut fact = |bytes: &[u8]| {
        // Lengths stand in front, so that no two facts look like one.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    fact(&LAYOUT.to_le_bytes());
    fact(runtime.build().as_bytes());
    fact(&stamp(runtime.path())?);
    fact(cpu_features().join(" ").as_bytes());
    fact(format!("{settings:?}").as_bytes());
    match origin.prepared {
        Some(graph) => fact(graph),
        None => fact(
            &std::fs::read(origin.path).map_err(|source| PackError::File { path: origin.path.to_owned(), source })?,
        ),
    }
    for file in data_files(origin.path)? {
        fact(file.to_string_lossy().as_bytes());
        fact(&stamp(&file)?);
    }
    Ok(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Size and time of a file: what is fetched or made anew has another.
fn stamp(path: &Path) -> Result<Vec<u8>, PackError> {
    let failed = |source| PackError::File { path: path.to_owned(), source };
    let about = std::fs::metadata(path).map_err(failed)?;
    let time = about.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok([about.len().to_le_bytes().as_slice(), &time.as_nanos().to_le_bytes()].concat())
}

/// The files beside a graph that hold its weights.
fn data_files(path: &Path) -> Result<Vec<PathBuf>, PackError> {
    let graph = Graph::read(path)
        .map_err(|error| PackError::File { path: path.to_owned(), source: io::Error::other(error) })?;
    Ok(graph.data_files())
}

/// Packs into a folder beside, and gives it its name when it is whole and on the disk. Nobody else packs meanwhile.
fn make(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    packed: &PackedSettings,
    folder: &Path,
) -> Result<(), PackError> {
    let part = folder.with_extension(PART);
    remove(&part)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackError::File { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&part).map_err(failed(&part))?;
    let made = has_room(origin.path, &part).and_then(|()| {
        pack(runtime, origin, settings, &part)?;
        for name in [DATA, GRAPH] {
            let path = part.join(name);
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed(&path))?;
        }
        File::open(&part).and_then(|names| names.sync_all()).map_err(failed(&part))?;
        std::fs::rename(&part, folder).map_err(failed(folder))
    });
    if made.is_err() {
        remove(&part)?;
    }
    made?;
    make_room(packed, folder);
    Ok(())
}

/// Opens the graph once in the usual way, and has ONNX Runtime write what it made of it.
fn pack(
    runtime: &Runtime,
    origin: Origin<'_>,
    settings: &SessionSettings,
    into: &Path,
) -> Result<(), OpenSessionError> {
    let mut settings = settings.clone();
    let mut entry = |key: &str, value: &str| settings.entries.push((key.to_owned(), value.to_owned()));
    entry("session.save_external_prepacked_constant_initializers", "1");
    entry("session.optimized_model_external_initializers_file_name", DATA);
    entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024");
    if origin.prepared.is_some() {
        entry(WEIGHTS_FOLDER, &origin.path.parent().unwrap_or(Path::new("")).to_string_lossy());
    }
    let other = |error: &dyn std::fmt::Display| OpenSessionError::Other {
        path: origin.path.to_owned(),
        reason: error.to_string(),
    };
    let builder = configured(runtime, &settings, None).map_err(|error| other(&error))?;
    let mut builder = builder.with_optimized_model_path(into.join(GRAPH)).map_err(|error| other(&error))?;
    let session = match origin.prepared {
        Some(graph) => builder.commit_from_memory(graph),
        None => builder.commit_from_file(origin.path),
    };
    session.map(drop).map_err(|error| other(&error))
}

fn bytes_of_weights(graph: &Path) -> Result<u64, PackError> {
    data_files(graph)?.into_iter().try_fold(0_u64, |bytes, path| match std::fs::metadata(&path) {
        Ok(about) => Ok(bytes.saturating_add(about.len())),
        Err(source) => Err(PackError::File { path, source }),
    })
}

/// Packed weights are written beside their originals, and take half as much again where blocks are small.
fn has_room(graph: &Path, folder: &Path) -> Result<(), PackError> {
    let needed = RESERVE.saturating_add(bytes_of_weights(graph)?.saturating_mul(5) / 2);
    let disk = statvfs(folder).map_err(|error| PackError::File { path: folder.to_owned(), source: error.into() })?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        let [free, needed] = [free, needed].map(|bytes| bytes / 1_000_000);
        return Err(PackError::Room { folder: folder.parent().unwrap_or(folder).to_owned(), free, needed });
    }
    Ok(())
}

/// Removes those that were opened least recently, and what was begun and not ended; never the one that was just made.
fn make_room(packed: &PackedSettings, made: &Path) {
    let entries = std::fs::read_dir(&packed.folder).into_iter().flatten().flatten();
    let others = entries.map(|entry| entry.path()).filter(|path| path != made);
    let (begun, whole): (Vec<PathBuf>, Vec<PathBuf>) = others.partition(|path| path.extension().is_some());
    let opened = |path: &Path| std::fs::metadata(path.join(GRAPH)).and_then(|about| about.modified());
    let mut whole: Vec<(SystemTime, PathBuf)> =
        whole.into_iter().map(|path| (opened(&path).unwrap_or(UNIX_EPOCH), path)).collect();
    whole.sort();
    let kept = packed.most.max(1) - 1;
    let surplus = whole.len().saturating_sub(kept);
    for path in whole.iter().take(surplus).map(|(_, path)| path).chain(&begun) {
        if let Err(error) = std::fs::remove_dir_all(path) {
            tracing::warn!(path = %path.display(), %error, "packed weights that nobody opens cannot be removed");
        }
    }
}

fn remove(folder: &Path) -> Result<(), PackError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PackError::File { path: folder.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
