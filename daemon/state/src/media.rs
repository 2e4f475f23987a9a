//! The shelf of media: files named by the SHA-256 of their bytes, so that what a durable command or conversation names is
//! there after a crash, and what nobody names any more makes room.
//!
//! Files and not the database: a film has megabytes, and its bytes never change.

use hob_events::MediumId;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a file is called while it grows.
const UNFINISHED: &str = "new";

/// Bounds of the shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShelfBounds {
    /// Bytes of all media together.
    pub bytes: u64,
    /// Bytes of one.
    pub medium_bytes: u64,
}

/// Why a medium is not on the shelf.
#[derive(Debug, thiserror::Error)]
pub enum ShelveError {
    /// Larger than one may be.
    #[error("a medium has at most {limit} bytes: make it smaller, or raise `[media] medium_bytes`")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Nothing in it.
    #[error("a medium cannot be empty")]
    Empty,
    /// All that lies there is still needed.
    #[error(
        "the shelf of {limit} bytes is full of media that commands and conversations still need: raise `[media] shelf_bytes`, or wait"
    )]
    Full {
        /// Bytes allowed.
        limit: u64,
    },
    /// The disk.
    #[error("the shelf {} cannot be used: {reason}", folder.display())]
    Disk {
        /// Where it is.
        folder: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// The open shelf. One owner; readers open its files by name.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    bounds: ShelfBounds,
    uploads: u64,
}

/// A medium that is coming in. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: File,
    sum: Sha256,
    bytes: u64,
}

impl Drop for Upload {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

impl Shelf {
    /// Opens or makes the folder, for this user alone. What a crash left half-written is removed.
    ///
    /// # Errors
    /// [`ShelveError::Disk`].
    pub fn open(folder: &Path, bounds: ShelfBounds) -> Result<Self, ShelveError> {
        let shelf = Self { folder: folder.to_owned(), bounds, uploads: 0 };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| shelf.disk(source))?;
        for entry in std::fs::read_dir(folder).map_err(|source| shelf.disk(source))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
                std::fs::remove_file(entry.path()).ok();
            }
        }
        Ok(shelf)
    }

    /// Begins a medium.
    ///
    /// # Errors
    /// [`ShelveError::Disk`].
    pub fn begin(&mut self) -> Result<Upload, ShelveError> {
        self.uploads += 1;
        let path = self.folder.join(format!("{}.{UNFINISHED}", self.uploads));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(|source| self.disk(source))?;
        Ok(Upload { path, file, sum: Sha256::new(), bytes: 0 })
    }

    /// Appends to it.
    ///
    /// # Errors
    /// [`ShelveError::TooLarge`] when it grows past its bound, [`ShelveError::Disk`].
    pub fn append(&self, upload: &mut Upload, bytes: &[u8]) -> Result<(), ShelveError> {
        upload.bytes = upload.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if upload.bytes > self.bounds.medium_bytes {
            return Err(ShelveError::TooLarge { limit: self.bounds.medium_bytes });
        }
        upload.file.write_all(bytes).map_err(|source| self.disk(source))?;
        upload.sum.update(bytes);
        Ok(())
    }

    /// Puts a finished medium on the shelf, durably. `needed` are those that must stay; of the others, the longest unused
    /// make room.
    ///
    /// # Errors
    /// [`ShelveError`]; the shelf then holds what it held before, or less of what nobody needs.
    pub fn finish(&self, upload: Upload, needed: &HashSet<MediumId>) -> Result<MediumId, ShelveError> {
        if upload.bytes == 0 {
            return Err(ShelveError::Empty);
        }
        let id = MediumId(upload.sum.clone().finalize().into());
        let path = self.folder.join(id.to_string());
        // What lies there under the name may have been spoilt since: the new file takes its place.
        if !self.touch(id) {
            self.make_room(upload.bytes, needed)?;
        }
        let durable = || {
            upload.file.sync_all()?;
            std::fs::rename(&upload.path, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        durable().map_err(|source| self.disk(source))?;
        Ok(id)
    }

    /// Puts bytes on the shelf. See [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`ShelveError`].
    pub fn put(&mut self, bytes: &[u8], needed: &HashSet<MediumId>) -> Result<MediumId, ShelveError> {
        let mut upload = self.begin()?;
        self.append(&mut upload, bytes)?;
        self.finish(upload, needed)
    }

    /// Whether a medium is there; it counts as used now.
    #[must_use]
    pub fn touch(&self, id: MediumId) -> bool {
        let used = |file: File| file.set_modified(SystemTime::now());
        File::open(self.folder.join(id.to_string())).and_then(used).is_ok()
    }

    /// A medium's bytes; none where it is not there any more.
    #[must_use]
    pub fn read(&self, id: MediumId) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(id.to_string())).ok()
    }

    fn make_room(&self, bytes: u64, needed: &HashSet<MediumId>) -> Result<(), ShelveError> {
        let mut there = self.there()?;
        let mut total: u64 = there.iter().map(|medium| medium.bytes).sum();
        there.retain(|medium| !needed.contains(&medium.id));
        there.sort_by_key(|medium| medium.used);
        for medium in there {
            if total.saturating_add(bytes) <= self.bounds.bytes {
                return Ok(());
            }
            if std::fs::remove_file(self.folder.join(medium.id.to_string())).is_ok() {
                total = total.saturating_sub(medium.bytes);
            }
        }
        if total.saturating_add(bytes) <= self.bounds.bytes {
            return Ok(());
        }
        Err(ShelveError::Full { limit: self.bounds.bytes })
    }

    fn there(&self) -> Result<Vec<There>, ShelveError> {
        let listed = std::fs::read_dir(&self.folder).map_err(|source| self.disk(source))?;
        let read = |entry: std::fs::DirEntry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let about = entry.metadata().ok()?;
            Some(There { id, bytes: about.len(), used: about.modified().ok()? })
        };
        Ok(listed.flatten().filter_map(read).collect())
    }

    fn disk(&self, source: io::Error) -> ShelveError {
        ShelveError::Disk { folder: self.folder.clone(), reason: source }
    }
}

/// A file on the shelf.
struct There {
    id: MediumId,
    bytes: u64,
    used: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: ShelfBounds = ShelfBounds { bytes: 100, medium_bytes: 40 };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Makes a medium look unused since the beginning of time and some seconds.
    fn age(folder: &Path, id: MediumId, seconds: u64) {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::open(folder.join(id.to_string())).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn the_same_bytes_lie_there_once_however_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), BOUNDS).unwrap();
        let whole = shelf.put(b"a picture", &HashSet::new()).unwrap();
        let mut upload = shelf.begin().unwrap();
        for piece in [&b"a pic"[..], b"ture"] {
            shelf.append(&mut upload, piece).unwrap();
        }
        assert_eq!(shelf.finish(upload, &HashSet::new()).unwrap(), whole);
        assert_eq!(names(folder.path()), [whole.to_string()]);
        assert_eq!(std::fs::read(folder.path().join(whole.to_string())).unwrap(), b"a picture");
    }

    #[test]
    fn a_file_that_was_spoilt_is_replaced_when_it_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), ShelfBounds { bytes: 10, medium_bytes: 10 }).unwrap();
        let id = shelf.put(b"a picture", &HashSet::new()).unwrap();
        let path = folder.path().join(id.to_string());
        std::fs::write(&path, "a pict").unwrap();
        assert_eq!(shelf.put(b"a picture", &HashSet::from([id])).unwrap(), id);
        assert_eq!(std::fs::read(path).unwrap(), b"a picture");
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), BOUNDS).unwrap();
        std::fs::remove_dir(folder.path()).unwrap();
        let error = shelf.put(b"a picture", &HashSet::new()).unwrap_err().to_string();
        assert!(error.ends_with("cannot be used: No such file or directory (os error 2)"), "{error}");
    }

    #[test]
    fn the_longest_unused_makes_room_and_what_is_needed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), BOUNDS).unwrap();
        let [needed, old, young] = [1, 2, 3].map(|byte| {
            let id = shelf.put(&[byte; 30], &HashSet::new()).unwrap();
            age(folder.path(), id, u64::from(byte));
            id
        });
        let keep = HashSet::from([needed]);
        let new = shelf.put(&[4; 30], &keep).unwrap();
        assert!([needed, young, new].iter().all(|id| shelf.touch(*id)) && !shelf.touch(old));
        let all = HashSet::from([needed, young, new]);
        assert!(matches!(shelf.put(&[5; 30], &all), Err(ShelveError::Full { limit: 100 })));
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn what_is_too_large_or_empty_or_torn_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), BOUNDS).unwrap();
        assert!(matches!(shelf.put(&[0; 41], &HashSet::new()), Err(ShelveError::TooLarge { limit: 40 })));
        assert!(matches!(shelf.put(b"", &HashSet::new()), Err(ShelveError::Empty)));
        assert_eq!(names(folder.path()), [""; 0]);
        std::fs::write(folder.path().join("7.new"), "torn").unwrap();
        drop(Shelf::open(folder.path(), BOUNDS).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
