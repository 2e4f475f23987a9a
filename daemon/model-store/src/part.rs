//! A file that is being written: its bytes on disk, how many they are, and their hash so far.

use crate::disk::{self, DiskError, failed};
use crate::names::Sha256;
use sha2::Digest;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 256 * 1024;

/// A file that grows at its end.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl Part {
    /// Goes on with what is at `path`, or begins there. What is there is hashed again: it may not be what was written.
    pub(crate) fn open(path: PathBuf) -> Result<Self, DiskError> {
        disk::make_folder_of(&path)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.open(&path).map_err(failed("open", &path))?;
        let (hasher, bytes) = hash(&mut file).map_err(failed("read", &path))?;
        Ok(Self { path, file, hasher, bytes })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn append(&mut self, chunk: &[u8]) -> Result<(), DiskError> {
        self.file.write_all(chunk).map_err(failed("write", &self.path))?;
        self.hasher.update(chunk);
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        Ok(())
    }

    /// Throws away what was written.
    pub(crate) fn empty(&mut self) -> Result<(), DiskError> {
        self.file.set_len(0).map_err(failed("empty", &self.path))?;
        self.hasher = sha2::Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    /// The hash of what was written.
    pub(crate) fn sha256(&self) -> Sha256 {
        Sha256::of(self.hasher.clone())
    }

    /// Makes the file outlast a power cut and moves it.
    pub(crate) fn finish(self, to: &Path) -> Result<(), DiskError> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        disk::make_folder_of(to)?;
        disk::rename(&self.path, to)
    }
}

/// The hash and the size of a file.
pub(crate) fn hash_file(path: &Path) -> Result<(Sha256, u64), DiskError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let (hasher, bytes) = hash(&mut file).map_err(failed("read", path))?;
    Ok((Sha256::of(hasher), bytes))
}

fn hash(file: &mut File) -> std::io::Result<(sha2::Sha256, u64)> {
    let mut hasher = sha2::Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { return Ok((hasher, bytes)) };
        hasher.update(chunk);
        bytes = bytes.saturating_add(read as u64);
    }
}
