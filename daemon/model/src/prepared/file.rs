//! One file: what it was made from, what became of the passes, the graph, and a checksum over all of it.

use hob_onnx::Outcome;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a file name ends with.
const KEPT: &str = "graph";

/// What the name of a file ends with while it is written, and for how long that is taken for being written.
const UNFINISHED: &str = "new";
const ABANDONED: Duration = Duration::from_secs(3600);

/// The last digit goes up whenever the same fields would be written otherwise.
const MAGIC: [u8; 16] = *b"hob prepared 1\n\n";

/// Prepared graphs that are kept: those of a few models and settings, a megabyte each.
const MOST_FILES: usize = 8;

const DIGEST: usize = 32;

/// The name of the file for a key.
pub(super) fn name(key: &[u8; DIGEST]) -> String {
    let digits: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{KEPT}", digits.concat())
}

/// Reads a file whole, and holds it to its checksum.
pub(super) fn read(path: &Path, key: &[u8; DIGEST]) -> io::Result<(Vec<u8>, Vec<Outcome>)> {
    let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, what);
    let content = std::fs::read(path)?;
    let (sum, rest) = content.split_first_chunk::<DIGEST>().ok_or_else(|| wrong("it is cut short"))?;
    if Sha256::digest(rest).as_slice() != sum {
        return Err(wrong("another checksum"));
    }
    let parts = || {
        let (magic, rest) = rest.split_first_chunk::<{ MAGIC.len() }>()?;
        let (of, rest) = rest.split_first_chunk::<DIGEST>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (outcomes, graph) = rest.split_at_checked(length)?;
        (*magic == MAGIC && of == key).then_some((outcomes, graph))
    };
    let (outcomes, graph) = parts().ok_or_else(|| wrong("it holds something else"))?;
    let outcomes = serde_json::from_slice(outcomes).map_err(|error| wrong(&error.to_string()))?;
    // It keeps its place when room is made.
    File::open(path).and_then(|file| file.set_modified(SystemTime::now())).ok();
    Ok((graph.to_vec(), outcomes))
}

/// Writes a file under another name, syncs it, and renames it.
pub(super) fn write(path: &Path, key: &[u8; DIGEST], graph: &[u8], outcomes: &[Outcome]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let outcomes = serde_json::to_vec(outcomes)?;
    let length = u32::try_from(outcomes.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    let rest = [&MAGIC[..], key, &length.to_le_bytes(), &outcomes, graph].concat();
    let unfinished = path.with_extension(format!("{}.{UNFINISHED}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&Sha256::digest(&rest))?;
        file.write_all(&rest)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    let written = write();
    if written.is_err() {
        std::fs::remove_file(&unfinished).ok();
    }
    written
}

/// Removes what was used longest ago, and what was never finished.
pub(super) fn make_room(folder: &Path) {
    let Ok(listed) = std::fs::read_dir(folder) else { return };
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    let abandoned = |changed: SystemTime| changed.elapsed().is_ok_and(|age| age > ABANDONED);
    for entry in listed.flatten() {
        let changed = entry.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let path = entry.path();
        let ends_with = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        if ends_with(KEPT) {
            kept.push((changed, path));
        } else if ends_with(UNFINISHED) && abandoned(changed) {
            std::fs::remove_file(path).ok();
        }
    }
    kept.sort();
    let surplus = kept.len().saturating_sub(MOST_FILES);
    for (_, path) in kept.into_iter().take(surplus) {
        std::fs::remove_file(path).ok();
    }
}
