//! The folder of entries: one file each, under a bound, the least recently used first to go.
//!
//! A file is written under another name and renamed, and carries its own checksum: after a power cut it is there, or it is
//! not, or it is torn and dropped. So nothing here waits for the disk.

use super::MemoSettings;
use super::entry::MAX_BYTES;
use super::key::Key;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What an entry's file name ends with.
const KEPT: &str = "memo";

/// And while it is being written.
const UNFINISHED: &str = "new";

#[derive(Debug)]
pub(super) struct Shelf {
    settings: MemoSettings,
    index: Mutex<Index>,
}

/// What is in the folder, without opening a file.
#[derive(Debug, Default)]
struct Index {
    files: HashMap<Key, Kept>,
    bytes: u64,
    uses: u64,
    /// A failure to write was told.
    complained: bool,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: u64,
    /// When it was used last, counted in uses.
    used: u64,
}

impl Shelf {
    /// Looks into the folder, and takes out what is over the bounds. A folder that is not there is an empty one.
    pub(super) fn open(settings: MemoSettings) -> io::Result<Self> {
        let mut found = found(&settings.folder)?;
        found.sort_by_key(|(_, _, used)| *used);
        let mut index = Index::default();
        for (key, bytes, _) in found {
            index.add(key, bytes);
        }
        let shelf = Self { settings, index: Mutex::new(index) };
        shelf.make_room(&mut shelf.lock());
        Ok(shelf)
    }

    /// The bytes of an entry, which counts as a use of it.
    pub(super) fn take(&self, key: &Key) -> Option<Vec<u8>> {
        self.lock().use_again(key)?;
        let mut bytes = Vec::new();
        let read = File::open(self.path(key)).and_then(|file| {
            // A file keeps its place over a restart by its time.
            file.set_modified(SystemTime::now()).ok();
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)
        });
        if let Err(error) = read {
            tracing::debug!(%key, %error, "an entry of the memo cannot be read; it is dropped");
            self.drop_entry(key);
            return None;
        }
        Some(bytes)
    }

    /// Keeps the bytes of an entry, and takes out what that is too much.
    pub(super) fn put(&self, key: &Key, bytes: &[u8]) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_BYTES {
            return;
        }
        let written = self.write(key, bytes);
        let mut index = self.lock();
        match written {
            Ok(()) => {
                index.complained = false;
                index.add(*key, size);
                self.make_room(&mut index);
            }
            // A full disk would say so with every command.
            Err(error) if index.complained => tracing::debug!(%error, "the memo cannot be written"),
            Err(error) => {
                index.complained = true;
                let folder = self.settings.folder.display();
                tracing::warn!(%folder, %error, "the memo cannot be written, and hob goes on without: correct `[model] cache`");
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn drop_entry(&self, key: &Key) {
        let mut index = self.lock();
        index.remove(key);
        self.remove_file(key);
    }

    fn write(&self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        // It holds what was said in this house.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.settings.folder)?;
        let path = self.path(key);
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(bytes).and_then(|()| std::fs::rename(&unfinished, &path));
        if written.is_err() {
            std::fs::remove_file(&unfinished).ok();
        }
        written
    }

    fn make_room(&self, index: &mut Index) {
        while index.files.len() > self.settings.entries || index.bytes > self.settings.bytes {
            let oldest = index.files.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            index.remove(&oldest);
            self.remove_file(&oldest);
        }
    }

    fn remove_file(&self, key: &Key) {
        if let Err(error) = std::fs::remove_file(self.path(key)) {
            tracing::debug!(%key, %error, "an entry of the memo cannot be removed");
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.settings.folder.join(key.to_string()).with_extension(KEPT)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, key: Key, bytes: u64) {
        self.remove(&key);
        self.uses += 1;
        self.bytes += bytes;
        self.files.insert(key, Kept { bytes, used: self.uses });
    }

    fn use_again(&mut self, key: &Key) -> Option<()> {
        let kept = self.files.get_mut(key)?;
        self.uses += 1;
        kept.used = self.uses;
        Some(())
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.files.remove(key) {
            self.bytes -= kept.bytes;
        }
    }
}

/// The entries in a folder: their keys, sizes, and when they were used last. What a crash left half written is removed;
/// what is not ours is left alone.
fn found(folder: &Path) -> io::Result<Vec<(Key, u64, SystemTime)>> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry?;
        let path = entry.path();
        let Some(key) = path.file_stem().and_then(|stem| Key::from_hex(stem.to_str()?)) else {
            tracing::debug!(path = %path.display(), "no entry of the memo; it is left alone");
            continue;
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(KEPT) => {
                let about = entry.metadata()?;
                found.push((key, about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
            }
            Some(UNFINISHED) => {
                std::fs::remove_file(&path).ok();
            }
            Some(_) | None => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
