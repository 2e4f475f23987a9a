//! Folders of models on this board: fetched, added, verified, listed, removed.
//!
//! Called by `hob model …` alone, which a person runs by hand; the daemon never fetches anything. It is the one owner of
//! the HTTP client. It knows nothing of what is in a graph and runs none: a model is files with names, sizes and hashes.
//!
//! ```text
//! <store>/<name>/            a whole model, and hob-model.toml: where it came from, and the sha256 of every file
//! <store>/.partial/<name>/   what is being fetched or added: model/ whole files, parts/ begun ones, etags/ of those
//! <store>/.partial/<name>.lock
//! ```
//!
//! Nothing is in `<store>/<name>` that was not checked: a folder is put there by one rename, after every file was hashed
//! and synced. What was fetched before an interruption stays in `.partial` and is gone on from.
//!
//! Read `fetch` for the order of things, `download` for what a server may do wrong and what becomes of it, `client` for
//! which host is told the token.

mod add;
mod client;
mod derive;
mod disk;
mod download;
mod fetch;
mod hub;
mod layout;
mod list;
mod lock;
mod manifest;
mod names;
mod part;
mod pause;
mod record;
mod remove;
mod staging;
mod token;
mod verify;

pub use add::{AddModelError, AddOrder};
pub use client::{NetworkSettings, OpenClientError};
pub use derive::{Derivation, DeriveModelError, DeriveOrder};
pub use disk::{DiskError, in_words};
pub use download::DownloadError;
pub use fetch::{FetchModelError, FetchOrder, Fetched, Progress};
pub use hub::{HubAddress, WrongHubAddress};
pub use layout::LayoutError;
pub use list::{ListModelsError, Listed, Standing};
pub use lock::LockModelError;
pub use manifest::{FilePlan, Manifest, PickVariantError, Plan, ReadManifestError};
pub use names::{ModelName, RelativePath, Repository, Revision, Sha256, VariantName, WrongName};
pub use record::{Origin, ReadRecordError, Record, RecordedFile};
pub use remove::RemoveModelError;
pub use staging::PlaceModelError;
pub use token::{ReadTokenError, Token};
pub use verify::{Difference, Fault, Verified, VerifyModelError, verify};

use std::path::{Path, PathBuf};

/// The folder that holds the models. It need not be there yet.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in `folder`.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the model of that name lies, or would.
    #[must_use]
    pub fn model(&self, name: &ModelName) -> PathBuf {
        self.folder.join(name.as_str())
    }
}
