//! Opening the state folder, whatever shape it is in.
//!
//! A damaged folder never keeps hob from starting. Snapshots, which only shorten the reading of the log, are set aside
//! first; when that does not help, the whole folder is moved beside itself, to be looked at, and hob starts empty. Both
//! are told in [`Opened::recovered`]: the caller has to say so loudly.

use crate::disk::{self, Disk, OpenDiskError};
use crate::entries::Counters;
use crate::limits::StateLimits;
use crate::read::{Shared, Store};
use crate::tables::{Table, TableError, Tables, View};
use hob_events::UnixMs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Turns the format before into the next one, in one commit.
pub(crate) type Migration = fn(&mut View<'_>) -> Result<(), TableError>;

/// The first turns format 1 into 2, and so on: the format this hob writes is one more than there are migrations.
const MIGRATIONS: &[Migration] = &[];

const FORMAT_KEY: &[u8] = b"format";

/// An open store, and what had to be done to open it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was found.
    pub recovered: Recovered,
}

/// What had to be done to open the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing.
    Nothing,
    /// Snapshots were damaged. Everything was read from the log: nothing is lost.
    SnapshotsSetAside {
        /// What was wrong.
        reason: String,
    },
    /// The folder could not be read and was moved. hob has forgotten everything.
    StartedEmpty {
        /// What was wrong.
        reason: String,
        /// Where the damaged folder is now.
        quarantine: PathBuf,
    },
}

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("a hob daemon already uses {folder}: ask it through its control socket, or stop it first")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// Written by a later hob.
    #[error("{folder} was written by a newer hob (format {found}, this one knows up to {known}): install that again")]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this hob knows.
        known: u32,
    },
    /// The operating system says no.
    #[error("the state folder {folder} cannot be used: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It opened and then failed.
    #[error("the state in {folder} cannot be prepared: {reason}")]
    Prepare {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
}

/// One try to open the folder.
enum Attempt {
    Opened(Box<Shared>),
    Damaged(String),
}

impl Store {
    /// Opens the folder and locks it to this process; creates it where it is missing.
    ///
    /// # Errors
    /// [`OpenStoreError`]: in use, from a newer hob, or refused by the operating system. Damage is no error.
    pub fn open(folder: &Path, limits: StateLimits) -> Result<Opened, OpenStoreError> {
        open_with(folder, limits, MIGRATIONS, system_clock)
    }
}

pub(crate) fn system_clock() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(since.as_millis().try_into().unwrap_or(u64::MAX))
}

pub(crate) fn open_with(
    folder: &Path,
    limits: StateLimits,
    migrations: &[Migration],
    clock: fn() -> UnixMs,
) -> Result<Opened, OpenStoreError> {
    let attempt = || attempt(folder, limits, migrations, clock);
    let opened = |shared: Box<Shared>, recovered| Ok(Opened { store: Store { shared: Arc::from(shared) }, recovered });
    let refused = |source| OpenStoreError::Folder { folder: folder.to_owned(), source };
    let reason = match attempt()? {
        Attempt::Opened(shared) => return opened(shared, Recovered::Nothing),
        Attempt::Damaged(reason) => reason,
    };
    let stamp = clock().0;
    if disk::set_snapshots_aside(folder, stamp).map_err(refused)? > 0 {
        match attempt()? {
            Attempt::Opened(shared) => return opened(shared, Recovered::SnapshotsSetAside { reason }),
            Attempt::Damaged(_) => {}
        }
    }
    let quarantine = disk::quarantine(folder, stamp).map_err(refused)?;
    match attempt()? {
        Attempt::Opened(shared) => opened(shared, Recovered::StartedEmpty { reason, quarantine }),
        Attempt::Damaged(reason) => Err(OpenStoreError::Prepare { folder: folder.to_owned(), reason }),
    }
}

fn attempt(
    folder: &Path,
    limits: StateLimits,
    migrations: &[Migration],
    clock: fn() -> UnixMs,
) -> Result<Attempt, OpenStoreError> {
    let disk = match Disk::open(folder, limits.cache_bytes) {
        Ok(disk) => disk,
        Err(OpenDiskError::Locked) => return Err(OpenStoreError::Locked { folder: folder.to_owned() }),
        Err(OpenDiskError::Io(source)) => return Err(OpenStoreError::Folder { folder: folder.to_owned(), source }),
        Err(OpenDiskError::Damaged(reason)) => return Ok(Attempt::Damaged(reason)),
    };
    let shared = Shared { tables: Tables::new(disk.tree()), disk, limits, clock };
    match prepare(&shared, migrations) {
        Ok(()) => Ok(Attempt::Opened(Box::new(shared))),
        Err(PrepareError::Damaged(reason)) => Ok(Attempt::Damaged(reason)),
        Err(PrepareError::Newer { found, known }) => {
            Err(OpenStoreError::NewerFormat { folder: folder.to_owned(), found, known })
        }
        Err(PrepareError::Sync(reason)) => Err(OpenStoreError::Prepare { folder: folder.to_owned(), reason }),
    }
}

enum PrepareError {
    Damaged(String),
    Newer { found: u32, known: u32 },
    Sync(String),
}

impl From<TableError> for PrepareError {
    fn from(error: TableError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Brings the tables to this format, and reads once what a start depends on.
fn prepare(shared: &Shared, migrations: &[Migration]) -> Result<(), PrepareError> {
    let mut view = shared.tables.stage();
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX).saturating_add(1);
    if shared.tables.is_empty() {
        Counters::default().store(&mut view)?;
        view.put(Table::Meta, FORMAT_KEY, known.to_string().as_bytes())?;
    } else {
        let found = format(&view)?;
        if found > known {
            return Err(PrepareError::Newer { found, known });
        }
        if found < known {
            let done = usize::try_from(found).unwrap_or(usize::MAX).saturating_sub(1);
            for migration in migrations.iter().skip(done) {
                migration(&mut view)?;
            }
            view.put(Table::Meta, FORMAT_KEY, known.to_string().as_bytes())?;
            tracing::info!(from = found, to = known, "the state was brought to a newer format");
        }
    }
    shared.tables.apply(view.into_changes())?;
    shared.disk.sync().map_err(|error| PrepareError::Sync(error.to_string()))?;
    shared.check_start()?;
    Ok(())
}

fn format(view: &View<'_>) -> Result<u32, TableError> {
    let value = view.get(Table::Meta, FORMAT_KEY)?;
    let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    let unknown = || TableError::damaged(Table::Meta, "the format is not written down");
    text.and_then(|text| text.parse().ok()).ok_or_else(unknown)
}
