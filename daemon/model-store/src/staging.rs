//! `.partial/<name>/`: where a model is put together before it is put in place.

use crate::Store;
use crate::disk::{self, DiskError, failed};
use crate::names::{ModelName, RelativePath};
use crate::record::{self, Record};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

impl Store {
    /// Where unfinished work lies, on the same disk as the models.
    pub(crate) fn partials(&self) -> PathBuf {
        self.folder().join(".partial")
    }

    /// Where a model is put together.
    pub(crate) fn partial(&self, name: &ModelName) -> PathBuf {
        self.partials().join(name.as_str())
    }
}

/// The folder of a model in the making.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
}

impl Staging {
    /// Goes on in the folder if it was begun for the same `source`; begins it anew otherwise.
    pub(crate) fn open(store: &Store, name: &ModelName, source: &str) -> Result<Self, DiskError> {
        let staging = Self { folder: store.partial(name) };
        let mark = staging.folder.join("source");
        if fs::read_to_string(&mark).is_ok_and(|begun_for| begun_for == source) {
            return Ok(staging);
        }
        disk::remove_folder(&staging.folder)?;
        disk::make_folder(&staging.folder)?;
        fs::write(&mark, source).map_err(failed("write", &mark))?;
        Ok(staging)
    }

    /// The folder that will be the model's.
    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// Where a file lies when it is whole.
    pub(crate) fn whole(&self, path: &RelativePath) -> PathBuf {
        self.model().join(path.as_str())
    }

    /// Where a file lies until it is whole.
    pub(crate) fn part(&self, path: &RelativePath) -> PathBuf {
        self.folder.join("parts").join(path.as_str())
    }

    fn etag_file(&self, path: &RelativePath) -> PathBuf {
        self.folder.join("etags").join(path.as_str())
    }

    /// The server's mark of the state of the file that a part belongs to.
    pub(crate) fn etag(&self, path: &RelativePath) -> Option<String> {
        fs::read_to_string(self.etag_file(path)).ok().filter(|etag| !etag.is_empty())
    }

    /// Remembers the mark before the first byte of a part is written.
    pub(crate) fn remember_etag(&self, path: &RelativePath, etag: Option<&str>) -> Result<(), DiskError> {
        let file = self.etag_file(path);
        let Some(etag) = etag else { return disk::remove_file(&file) };
        disk::make_folder_of(&file)?;
        fs::write(&file, etag).map_err(failed("write", &file))
    }

    /// Bytes of a file that are there already.
    pub(crate) fn bytes_there(&self, path: &RelativePath) -> u64 {
        let size = |path: PathBuf| fs::metadata(path).map(|about| about.len()).ok();
        size(self.whole(path)).or_else(|| size(self.part(path))).unwrap_or(0)
    }

    /// Puts the model in place: nothing in it but what the record lists, all of it synced, by one rename.
    pub(crate) fn place(self, record: &Record, target: &Path) -> Result<(), PlaceModelError> {
        let model = self.model();
        place_folder(&model, record, target)?;
        Ok(disk::remove_folder(&self.folder)?)
    }
}

/// Puts a folder in place: nothing in it but what the record lists, all of it synced, by one rename.
pub(crate) fn place_folder(model: &Path, record: &Record, target: &Path) -> Result<(), PlaceModelError> {
    let listed: BTreeSet<PathBuf> = record.files.iter().map(|file| model.join(file.path.as_str())).collect();
    keep_only(model, &listed)?;
    let file = model.join(record::FILE_NAME);
    fs::write(&file, record.to_toml()?).map_err(failed("write", &file))?;
    disk::sync(&file)?;
    let folders: BTreeSet<PathBuf> = record.files.iter().flat_map(|file| file.path.folders()).collect();
    folders.iter().rev().try_for_each(|folder| disk::sync(&model.join(folder)))?;
    disk::sync(model)?;
    disk::rename(model, target)?;
    Ok(target.parent().map_or(Ok(()), disk::sync)?)
}

/// Why a model that is whole could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceModelError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The record cannot be written as TOML, which no value in it is known to cause.
    #[error("the record cannot be written")]
    Record(#[from] toml::ser::Error),
}

/// Removes what an earlier attempt at another variant left.
fn keep_only(folder: &Path, listed: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        if path.is_dir() && !path.is_symlink() {
            keep_only(&path, listed)?;
        } else if !listed.contains(&path) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}
