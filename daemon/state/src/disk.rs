//! The database folder, and what makes it durable.
//!
//! Sled 0.34 on Linux writes with `sync_file_range`, which puts data on the disk and leaves the file's size and the
//! place of its blocks in memory: after a power cut, writes that `flush` had acknowledged are gone. So a commit is a
//! flush followed by an fsync of the same file through a second descriptor.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file whose lock says that a process uses the folder. Sled has a lock of its own, but reports it as it reports
/// any failure to open a file.
const LOCK_FILE: &str = "lock";

/// How many commits there were, written after each sync. See [`Disk::mark`].
const MARK_FILE: &str = "mark";

/// What names of sled's snapshots begin with.
const SNAPSHOT: &str = "snap.";

/// How long a database that was dropped may keep its file locked; it takes some milliseconds.
const LEFT_OPEN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(5);

/// Why the folder could not be opened.
#[derive(Debug)]
pub(crate) enum OpenDiskError {
    Locked,
    /// The files are there and make no sense.
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for OpenDiskError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why something was not made durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error(transparent)]
    Flush(#[from] sled::Error),
    #[error(transparent)]
    Sync(#[from] io::Error),
}

/// An open database folder.
#[derive(Debug)]
pub(crate) struct Disk {
    db: sled::Db,
    file: File,
    mark: File,
    folder: PathBuf,
    _lock: File,
}

impl Disk {
    /// Opens the folder, creating it where it is missing.
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, OpenDiskError> {
        std::fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenDiskError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // No flusher thread: it would sync a second time what each commit syncs anyway, and wake an idle board twice a
        // second.
        let config = sled::Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = open_database(&config)?;
        let file = File::open(folder.join("db"))?;
        let mark = File::options().read(true).write(true).create(true).truncate(false).open(folder.join(MARK_FILE))?;
        sync_names(folder)?;
        Ok(Self { db, file, mark, folder: folder.to_owned(), _lock: lock })
    }

    /// The tree in which everything lies.
    pub(crate) fn tree(&self) -> sled::Tree {
        (*self.db).clone()
    }

    /// Makes everything durable that was applied so far.
    pub(crate) fn sync(&self) -> Result<(), SyncError> {
        self.db.flush()?;
        self.file.sync_all()?;
        Ok(())
    }

    /// Notes that so many commits are durable. Where its log is damaged, sled goes on from what came before that and
    /// says nothing; the note shows that something is gone. It is not synced itself: it may lag behind after a power
    /// cut, and never runs ahead.
    pub(crate) fn mark(&self, commits: u64) -> io::Result<()> {
        self.mark.write_all_at(&commits.to_be_bytes(), 0)
    }

    /// The last note; 0 when there is none.
    pub(crate) fn marked(&self) -> u64 {
        let mut commits = [0; 8];
        self.mark.read_exact_at(&mut commits, 0).map_or(0, |()| u64::from_be_bytes(commits))
    }

    /// Bytes that are free for this process on the folder's disk.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Bytes the database takes on disk.
    pub(crate) fn used_bytes(&self) -> Result<u64, sled::Error> {
        self.db.size_on_disk()
    }
}

/// Opens the database. Its file may be locked for a moment more by threads of a database that this process had open
/// before: they end after it was dropped.
fn open_database(config: &sled::Config) -> Result<sled::Db, OpenDiskError> {
    let deadline = Instant::now() + LEFT_OPEN;
    loop {
        // Damaged files make sled return an error in some places and panic in others.
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => match classify(error) {
                OpenDiskError::Locked if Instant::now() < deadline => std::thread::park_timeout(AGAIN),
                error @ (OpenDiskError::Locked | OpenDiskError::Damaged(_) | OpenDiskError::Io(_)) => {
                    return Err(error);
                }
            },
            Err(panic) => return Err(OpenDiskError::Damaged(panic_text(panic.as_ref()))),
        }
    }
}

/// Renames the snapshots so that sled reads the whole log instead. Returns how many there were.
pub(crate) fn set_snapshots_aside(folder: &Path, stamp: u64) -> io::Result<usize> {
    let mut moved = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(SNAPSHOT)) else { continue };
        std::fs::rename(folder.join(name), folder.join(format!("damaged-{stamp}-{name}")))?;
        moved += 1;
    }
    Ok(moved)
}

/// Moves the whole folder beside itself as `<name>.corrupt-<stamp>`.
pub(crate) fn quarantine(folder: &Path, stamp: u64) -> io::Result<PathBuf> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".corrupt-{stamp}"));
    let aside = folder.with_file_name(name);
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

/// A new file is found after a power cut only when its folder was synced, and a new folder when its parent was.
fn sync_names(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn classify(error: sled::Error) -> OpenDiskError {
    match error {
        // Sled's own lock, held by a process that does not know ours.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => OpenDiskError::Locked,
        // Any other failure is the operating system's: damage shows as files that end too early or hold what cannot be.
        sled::Error::Io(error) if !is_damage(error.kind()) => OpenDiskError::Io(error),
        sled::Error::Io(_)
        | sled::Error::Corruption { .. }
        | sled::Error::ReportableBug(_)
        | sled::Error::Unsupported(_)
        | sled::Error::CollectionNotFound(_) => OpenDiskError::Damaged(error.to_string()),
    }
}

fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the database panicked: {}", text.unwrap_or("without a word"))
}
