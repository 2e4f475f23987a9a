//! Opening the state folder, whatever shape it is in.
//!
//! A damaged folder never keeps hob from starting. Snapshots, which only shorten the reading of the log, are set aside
//! first; when that does not help, the whole folder is moved beside itself, to be looked at, and hob starts empty. All of
//! it is told in [`Opened::recovered`]: the caller has to say so loudly.

use crate::disk::{self, Disk, OpenDiskError};
use crate::entries::{Counters, commits};
use crate::limits::StateLimits;
use crate::read::{Shared, Store};
use crate::tables::{Table, TableError, Tables, View};
use hob_events::UnixMs;
use std::fmt;
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
    /// What had to be done to open it, in order; empty when all was well.
    pub recovered: Vec<Recovered>,
}

/// What had to be done to open a damaged folder, or was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// Snapshots were damaged. The log was read instead.
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
    /// The newest commits were damaged and are gone, although they were durable once. What is unfinished may have gone
    /// further than it seems: an action may have been sent, a result may have been told.
    LostCommits {
        /// At least so many.
        commits: u64,
    },
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SnapshotsSetAside { reason } => write!(f, "damaged snapshots were set aside ({reason})"),
            Self::StartedEmpty { reason, quarantine } => {
                write!(
                    f,
                    "the state could not be read ({reason}): hob starts empty, the old state is in {}",
                    quarantine.display()
                )
            }
            Self::LostCommits { commits } => write!(f, "the last {commits} commits of the state are damaged and gone"),
        }
    }
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
    #[error("the state folder {folder} cannot be used (it belongs to the user that hob runs as: sudo -u hob hob …)")]
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
    Opened { shared: Arc<Shared>, lost: u64 },
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
    let refused = |source| OpenStoreError::Folder { folder: folder.to_owned(), source };
    let stamp = clock().0;
    let mut recovered = Vec::new();
    let mut tried = attempt()?;
    if let Attempt::Damaged(reason) = &tried
        && disk::set_snapshots_aside(folder, stamp).map_err(refused)? > 0
    {
        recovered.push(Recovered::SnapshotsSetAside { reason: reason.clone() });
        tried = attempt()?;
    }
    if let Attempt::Damaged(reason) = tried {
        let quarantine = disk::quarantine(folder, stamp).map_err(refused)?;
        recovered.push(Recovered::StartedEmpty { reason, quarantine });
        tried = attempt()?;
    }
    match tried {
        Attempt::Opened { shared, lost } => {
            if lost > 0 {
                recovered.push(Recovered::LostCommits { commits: lost });
            }
            Ok(Opened { store: Store { shared }, recovered })
        }
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
        Ok(lost) => Ok(Attempt::Opened { shared: Arc::new(shared), lost }),
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

/// Brings the tables to this format, and reads once what a start depends on. Returns how many commits are missing.
fn prepare(shared: &Shared, migrations: &[Migration]) -> Result<u64, PrepareError> {
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
    let commits = commits(&shared.tables.read())?;
    let lost = shared.disk.marked().saturating_sub(commits);
    shared.disk.mark(commits).map_err(|error| PrepareError::Sync(error.to_string()))?;
    Ok(lost)
}

fn format(view: &View<'_>) -> Result<u32, TableError> {
    let value = view.get(Table::Meta, FORMAT_KEY)?;
    let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    let unknown = || TableError::damaged(Table::Meta, "the format is not written down");
    text.and_then(|text| text.parse().ok()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::put_json;

    fn limits() -> StateLimits {
        StateLimits { min_free_bytes: 0, ..StateLimits::default() }
    }

    fn rename_a_key(view: &mut View<'_>) -> Result<(), TableError> {
        put_json(view, Table::Meta, b"new name", &"as in format 2")
    }

    #[test]
    fn an_older_format_is_migrated_once_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = |migrations: &[Migration]| open_with(folder.path(), limits(), migrations, system_clock);
        drop(open(&[]).unwrap());
        let second: &[Migration] = &[rename_a_key];
        let store = open(second).unwrap().store;
        assert!(store.shared.tables.read().get(Table::Meta, b"new name").unwrap().is_some());
        assert_eq!(format(&store.shared.tables.read()).unwrap(), 2);
        drop(store);
        let never: Migration = |_| panic!("it is in format 2 already");
        drop(open(&[never]).unwrap());
        let refused = open(&[]).unwrap_err();
        assert!(matches!(refused, OpenStoreError::NewerFormat { found: 2, known: 1, .. }), "{refused}");
    }
}
