//! One hob at a time works on a model: a lock that ends with its process, however that ends.

use crate::Store;
use crate::disk::{self, DiskError, failed};
use crate::names::ModelName;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

/// Why a model cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum LockModelError {
    /// Another process does.
    #[error("another hob{who} works on {name}: wait for it, or end it; what it fetched is kept")]
    Busy {
        /// The model.
        name: ModelName,
        /// Its process, where it said so.
        who: String,
    },
    /// The lock cannot be had at all.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Held as long as it lives. Its file stays: removing it would let two processes hold locks on two files of one name.
#[derive(Debug)]
pub(crate) struct ModelLock {
    _file: File,
}

impl ModelLock {
    pub(crate) fn take(store: &Store, name: &ModelName) -> Result<Self, LockModelError> {
        let path = store.partials().join(format!("{name}.lock"));
        disk::make_folder_of(&path)?;
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {
                // Only a courtesy to who finds it locked.
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).ok();
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(LockModelError::Busy { name: name.clone(), who: holder(&path) }),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source).into()),
        }
    }
}

fn holder(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse::<u32>().map_or_else(|_| String::new(), |process| format!(" (process {process})"))
}
