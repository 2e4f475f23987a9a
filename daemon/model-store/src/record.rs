//! `hob-model.toml`: what a folder of the store holds, and how each hash in it came to be believed.

use crate::names::{ModelName, RelativePath, Repository, Revision, Sha256, VariantName};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What the record is called inside the model's folder.
pub(crate) const FILE_NAME: &str = "hob-model.toml";

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordError {
    /// There is none.
    #[error("{folder} has no {FILE_NAME}: it was not put there by hob; use hob model add")]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The record.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is not understood.
    #[error("{path} is not understood: {reason}")]
    Wrong {
        /// The record.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// What one folder of the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the model is called in the store.
    pub name: ModelName,
    /// Which graphs are there.
    pub variant: VariantName,
    /// Where it was published; nothing for a folder that was added by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Which state of the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Every file.
    pub files: Vec<RecordedFile>,
}

/// One file as it was when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFile {
    /// Where in the folder.
    pub path: RelativePath,
    /// Its size.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// How the hash came to be believed.
    pub checksum: Origin,
}

/// How a hash came to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The manifest had it beforehand, and the file agreed.
    Known,
    /// Nobody had it: it was taken from the file when it first came.
    Recorded,
}

/// The most that a record may take: some hundred files.
const MOST_BYTES: u64 = 1 << 20;

/// A file of its own, not a link to anything, and no longer than a record is.
fn read_file(path: &Path) -> io::Result<String> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
    }
    let mut text = String::new();
    if File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)? > MOST_BYTES.try_into().unwrap_or(usize::MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than any record"));
    }
    Ok(text)
}

impl Record {
    /// Reads the record of a model's folder.
    ///
    /// # Errors
    /// [`ReadRecordError`].
    pub fn read(folder: &Path) -> Result<Self, ReadRecordError> {
        let path = folder.join(FILE_NAME);
        match read_file(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| ReadRecordError::Wrong { path, reason: error.to_string() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ReadRecordError::Missing { folder: folder.to_owned() })
            }
            Err(source) => Err(ReadRecordError::Unreadable { path, source }),
        }
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Files whose hash was taken from the file itself.
    pub fn recorded(&self) -> impl Iterator<Item = &RecordedFile> {
        self.files.iter().filter(|file| file.checksum == Origin::Recorded)
    }

    pub(crate) fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let body = toml::to_string(self)?;
        Ok(format!("# Written by hob; `hob model verify {}` holds the folder to it.\n{body}", self.name))
    }
}
