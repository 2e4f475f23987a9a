//! The folder in which packed weights lie, each in a folder of its own.

use super::{PackError, PackedSettings, Work};
use crate::cpus::cpu_features;
use crate::product::PLACING;
use crate::session::Session;
use rustix::fs::statvfs;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names within the folder of one model.
pub(super) const GRAPH: &str = "graph.onnx";
pub(super) const DATA: &str = "graph.onnx_data";

/// What the name of a folder ends with that is not whole.
const PART: &str = "part";

/// What stands in the place of a graph that ONNX Runtime did not open, and why.
const REFUSED: &str = "refused";

/// Left free on the disk, whatever is packed.
const RESERVE: u64 = 256 << 20;

/// Goes up whenever weights are packed in another way than before.
const LAYOUT: u32 = 5;

/// By what packed weights are known.
pub(super) fn key(work: &Work<'_>) -> Result<String, PackError> {
    let mut hash = Sha256::new();
    let mut fact = |bytes: &[u8]| {
        // Lengths stand in front, so that no two facts look like one.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    fact(&LAYOUT.to_le_bytes());
    if work.products.is_empty() {
        fact(work.runtime.build().as_bytes());
        fact(&stamp(work.runtime.path())?);
        fact(cpu_features().join(" ").as_bytes());
        fact(format!("{:?}", work.settings).as_bytes());
    } else {
        // Panels are the same on every processor and with every library.
        fact(b"panels");
        fact(&PLACING.to_le_bytes());
    }
    fact(&work.content);
    for file in work.graph.data_files() {
        fact(file.to_string_lossy().as_bytes());
        fact(&stamp(&file)?);
    }
    Ok(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Size and time of a file: what is fetched or made anew has another.
fn stamp(path: &Path) -> Result<Vec<u8>, PackError> {
    let about = std::fs::metadata(path).map_err(PackError::file(path))?;
    let time = about.modified().map_err(PackError::file(path))?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok([about.len().to_le_bytes().as_slice(), &time.as_nanos().to_le_bytes()].concat())
}

/// Bytes that packed weights take on the disk.
pub(super) fn bytes(folder: &Path) -> Option<u64> {
    Some(std::fs::metadata(folder.join(DATA)).ok()?.blocks() * 512)
}

pub(super) fn is_whole(folder: &Path) -> bool {
    folder.join(GRAPH).is_file()
}

/// Which was opened last is told by its time.
pub(super) fn note_opened(folder: &Path) {
    File::open(folder.join(GRAPH)).and_then(|file| file.set_modified(SystemTime::now())).ok();
}

/// Only who holds this makes or removes packed weights. It ends with the process, however that ends.
pub(super) fn lock(packed: &PackedSettings) -> Result<File, PackError> {
    let failed = || PackError::file(&packed.folder);
    DirBuilder::new().recursive(true).mode(0o700).create(&packed.folder).map_err(failed())?;
    let folder = File::open(&packed.folder).map_err(failed())?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(PackError::Busy { folder: packed.folder.clone() }),
        Err(TryLockError::Error(source)) => Err(failed()(source)),
    }
}

/// Why what was packed there could not be opened; none for what can be, or was never tried.
pub(super) fn refused(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(REFUSED)).ok()
}

/// Packs into a folder beside, opens it, and gives it its name when it is whole and on the disk. Nobody else packs meanwhile.
/// What cannot be opened is not packed a second time.
pub(super) fn make(work: &Work<'_>, packed: &PackedSettings, folder: &Path) -> Result<Session, PackError> {
    let part = folder.with_extension(PART);
    remove(&part)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&part).map_err(PackError::file(&part))?;
    let made = has_room(work.bytes_packed()?, &part).and_then(|()| {
        work.pack(&part)?;
        for name in [DATA, GRAPH] {
            let path = part.join(name);
            File::open(&path).and_then(|file| file.sync_all()).map_err(PackError::file(&path))?;
        }
        File::open(&part).and_then(|names| names.sync_all()).map_err(PackError::file(&part))?;
        let session = work.open(&part)?;
        std::fs::rename(&part, folder).map_err(PackError::file(folder))?;
        Ok(session)
    });
    match &made {
        Ok(_) => make_room(packed, folder),
        Err(error) => {
            remove(&part)?;
            if let PackError::Session(_) | PackError::Draft(_) = error {
                let note = || {
                    std::fs::create_dir(folder)?;
                    std::fs::write(folder.join(REFUSED), error.to_string())
                };
                note().map_err(PackError::file(folder))?;
            }
        }
    }
    made
}

fn has_room(bytes: u64, folder: &Path) -> Result<(), PackError> {
    let needed = RESERVE.saturating_add(bytes);
    let disk = statvfs(folder).map_err(|error| PackError::file(folder)(error.into()))?;
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

pub(super) fn remove(folder: &Path) -> Result<(), PackError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PackError::file(folder)(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}
