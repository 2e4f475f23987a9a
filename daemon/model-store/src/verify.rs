//! A folder held to its record, byte for byte.

use crate::disk::DiskError;
use crate::names::RelativePath;
use crate::part::hash_file;
use crate::record::{ReadRecordError, Record, RecordedFile};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Why a folder could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyModelError {
    /// There is nothing to hold it to.
    #[error(transparent)]
    Record(#[from] ReadRecordError),
    /// A file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a folder was found to be.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// What it should be.
    pub record: Record,
    /// Where it is not that; empty for a sound folder.
    pub differences: Vec<Difference>,
}

/// A file that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which file.
    pub path: RelativePath,
    /// How it differs.
    #[serde(flatten)]
    pub fault: Fault,
}

/// How a file differs from its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// It is gone.
    Missing,
    /// It is a link or a folder: its bytes may lie anywhere.
    NotAFile,
    /// It is longer or shorter.
    Size {
        /// What it has.
        found: u64,
        /// What it had.
        expected: u64,
    },
    /// Its bytes are others.
    Bytes,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, fault } = self;
        match fault {
            Fault::Missing => write!(f, "{path} is missing"),
            Fault::NotAFile => write!(f, "{path} is no plain file any more"),
            Fault::Size { found, expected } => write!(f, "{path} has {found} bytes and had {expected}"),
            Fault::Bytes => write!(f, "{path} has other bytes than it had"),
        }
    }
}

/// Hashes every file that the folder's record lists. What the record does not list is not looked at.
///
/// # Errors
/// [`VerifyModelError`] when the record or a file cannot be read; a file that differs is no error.
pub fn verify(folder: &Path) -> Result<Verified, VerifyModelError> {
    let record = Record::read(folder)?;
    let mut differences = Vec::new();
    for file in &record.files {
        if let Some(fault) = fault_of(folder, file)? {
            differences.push(Difference { path: file.path.clone(), fault });
        }
    }
    Ok(Verified { record, differences })
}

fn fault_of(folder: &Path, file: &RecordedFile) -> Result<Option<Fault>, DiskError> {
    let path = folder.join(file.path.as_str());
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Fault::Missing)),
        Ok(about) if !about.is_file() => return Ok(Some(Fault::NotAFile)),
        Ok(about) if about.len() != file.bytes => {
            return Ok(Some(Fault::Size { found: about.len(), expected: file.bytes }));
        }
        // What cannot be looked at cannot be hashed either, which says why.
        Ok(_) | Err(_) => {}
    }
    let (sha256, _) = hash_file(&path)?;
    Ok((sha256 != file.sha256).then_some(Fault::Bytes))
}
