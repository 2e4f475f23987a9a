//! What is in the store.

use crate::Store;
use crate::disk::{DiskError, failed};
use crate::names::ModelName;
use crate::record::{ReadRecordError, Record};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListModelsError {
    /// A folder cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// One model of the store, or what is on its way to be one.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What it is called.
    pub name: ModelName,
    /// Where it lies.
    pub folder: PathBuf,
    /// How it is.
    #[serde(flatten)]
    pub standing: Standing,
}

/// How a model of the store is.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// In place, and recorded.
    Placed {
        /// What it holds.
        record: Record,
    },
    /// In place, and nobody knows what it is.
    Unrecorded {
        /// Why there is no record to show.
        reason: String,
    },
    /// Being fetched or added, or left on the way.
    Partial {
        /// Bytes that are there.
        bytes: u64,
    },
}

impl Store {
    /// Everything in the store, by name; what is in place before what is on its way.
    ///
    /// # Errors
    /// [`ListModelsError`]; a store that is not there is empty.
    pub fn list(&self) -> Result<Vec<Listed>, ListModelsError> {
        let mut listed = Vec::new();
        for (name, folder) in folders_in(self.folder())? {
            let standing = match Record::read(&folder) {
                Ok(record) => Standing::Placed { record },
                Err(error @ ReadRecordError::Missing { .. }) => Standing::Unrecorded { reason: error.to_string() },
                Err(error @ (ReadRecordError::Unreadable { .. } | ReadRecordError::Wrong { .. })) => {
                    Standing::Unrecorded { reason: error.to_string() }
                }
            };
            listed.push(Listed { name, folder, standing });
        }
        for (name, folder) in folders_in(&self.partials())? {
            let bytes = bytes_below(&folder)?;
            listed.push(Listed { name, folder, standing: Standing::Partial { bytes } });
        }
        Ok(listed)
    }
}

/// The folders in a folder whose names can be a model's, sorted.
fn folders_in(folder: &Path) -> Result<Vec<(ModelName, PathBuf)>, DiskError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        found.extend(name.filter(|_| path.is_dir()).map(|name| (name, path)));
    }
    found.sort();
    Ok(found)
}

fn bytes_below(folder: &Path) -> Result<u64, DiskError> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        let about = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        let more = if about.is_dir() { bytes_below(&path)? } else { about.len() };
        sum = sum.saturating_add(more);
    }
    Ok(sum)
}
