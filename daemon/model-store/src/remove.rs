//! A model out of the store.

use crate::Store;
use crate::disk::{self, DiskError};
use crate::lock::{LockModelError, ModelLock};
use crate::names::ModelName;
use std::path::PathBuf;

/// Why a model could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveModelError {
    /// There is none of that name.
    #[error("{store} has no model called {name}: hob model list shows what it has")]
    Absent {
        /// The store.
        store: PathBuf,
        /// What was asked for.
        name: ModelName,
    },
    /// Another process works on it.
    #[error(transparent)]
    Lock(#[from] LockModelError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Store {
    /// Removes a model, and what was fetched of one of that name. It is gone for everyone at once, by one rename.
    ///
    /// # Errors
    /// [`RemoveModelError`].
    pub fn remove(&self, name: &ModelName) -> Result<(), RemoveModelError> {
        let absent = || RemoveModelError::Absent { store: self.folder().to_owned(), name: name.clone() };
        let (folder, partial) = (self.model(name), self.partial(name));
        // A link that someone put into the store is not the store's to follow.
        let placed = folder.is_dir() && !folder.is_symlink();
        let going = self.partials().join(format!(".removed-{name}"));
        // One that was being removed when the power went is gone on with.
        if !placed && !partial.is_dir() && !going.is_dir() {
            return Err(absent());
        }
        let _lock = ModelLock::take(self, name)?;
        disk::remove_folder(&going)?;
        if placed {
            disk::rename(&folder, &going)?;
            disk::sync(self.folder())?;
            disk::remove_folder(&going)?;
        }
        Ok(disk::remove_folder(&partial)?)
    }
}
