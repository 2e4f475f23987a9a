//! A folder that was copied by hand, or came from elsewhere, into the store: checked, copied, hashed, recorded.

use crate::Store;
use crate::disk::{self, DiskError, failed};
use crate::layout::{self, LayoutError};
use crate::lock::{LockModelError, ModelLock};
use crate::manifest::{Manifest, ReadManifestError};
use crate::names::{ModelName, RelativePath, Sha256, VariantName, WrongName};
use crate::part::Part;
use crate::record::{FILE_NAME, Origin, ReadRecordError, Record, RecordedFile};
use crate::staging::{PlaceModelError, Staging};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

const BUFFER: usize = 256 * 1024;

/// Why a folder could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddModelError {
    /// The name is taken.
    #[error("{folder} is there already: add under another name (--name), or remove it first (hob model remove {name})")]
    Taken {
        /// The name.
        name: ModelName,
        /// Its folder.
        folder: PathBuf,
    },
    /// The folder's own name cannot be a model's.
    #[error("{0}; give it one with --name")]
    Name(#[from] WrongName),
    /// It is no model.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Another process works on a model of that name.
    #[error(transparent)]
    Lock(#[from] LockModelError),
    /// It comes with a record, and is not what that says.
    #[error(
        "{path} is not what {FILE_NAME} beside it says: copy the folder again; without the record it is taken as it is"
    )]
    NotAsRecorded {
        /// Which file.
        path: RelativePath,
    },
    /// It comes with a record that cannot be used.
    #[error(transparent)]
    Record(#[from] ReadRecordError),
    /// A manifest of this build is broken.
    #[error(transparent)]
    Manifest(#[from] ReadManifestError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is whole and could not be put in place.
    #[error(transparent)]
    Place(#[from] PlaceModelError),
}

/// Which folder to add, and as what.
#[derive(Debug, Clone)]
pub struct AddOrder {
    /// The folder. It is read and left as it is.
    pub folder: PathBuf,
    /// What to call it; the folder's own name without.
    pub name: Option<ModelName>,
    /// Which graphs; needed when there are more than one set.
    pub variant: Option<VariantName>,
}

impl Store {
    /// Copies a model's folder into the store, with the files of one variant. Hashes that a shipped manifest has for a
    /// file count as known, all others are recorded as they are. A folder that was in a store before brings its record: it is
    /// held to it, and the record goes on.
    ///
    /// # Errors
    /// [`AddModelError`].
    pub fn add(&self, order: &AddOrder) -> Result<Record, AddModelError> {
        let name = match &order.name {
            Some(name) => name.clone(),
            None => own_name(&order.folder)?,
        };
        let _lock = ModelLock::take(self, &name)?;
        let target = self.model(&name);
        if target.exists() {
            return Err(AddModelError::Taken { name, folder: target });
        }
        let (variant, paths) = layout::files_of(&order.folder, order.variant.as_ref())?;
        let known = Known::of(&order.folder)?;
        let source = format!("added from {}", order.folder.display());
        let staging = Staging::open(self, &name, &source)?;
        disk::make_folder(&staging.model())?;
        disk::room_for(bytes_of(&order.folder, &paths)?, &staging.model())?;
        let copied = paths.into_iter().map(|path| copy(&order.folder, path, &staging, &known));
        let files = copied.collect::<Result<_, _>>()?;
        let (repository, revision) =
            known.before.map(|before| (before.repository, before.revision)).unwrap_or_default();
        let record = Record { name, variant, repository, revision, files };
        staging.place(&record, &target)?;
        Ok(record)
    }
}

/// What is known of the files of a folder beforehand.
#[derive(Debug)]
pub(crate) struct Known {
    /// The record of the store that it was in before.
    before: Option<Record>,
    manifests: Vec<Manifest>,
}

impl Known {
    /// What is known of the files of that folder.
    pub(crate) fn of(folder: &Path) -> Result<Self, AddModelError> {
        Ok(Self { before: record_of(folder)?, manifests: Manifest::all_shipped()? })
    }

    /// How the hash of a file is to be believed.
    pub(crate) fn origin(&self, path: &RelativePath, sha256: Sha256) -> Result<Origin, AddModelError> {
        let before = self.before.iter().flat_map(|record| &record.files).find(|file| file.path == *path);
        if before.is_some_and(|file| file.sha256 != sha256) {
            return Err(AddModelError::NotAsRecorded { path: path.clone() });
        }
        let published = self.manifests.iter().any(|manifest| manifest.knows(path, sha256));
        // "Known" in a record that came along is a word of whoever wrote it: only this build's own lists count.
        Ok(if published { Origin::Known } else { Origin::Recorded })
    }
}

fn record_of(folder: &Path) -> Result<Option<Record>, ReadRecordError> {
    match Record::read(folder) {
        Ok(record) => Ok(Some(record)),
        Err(ReadRecordError::Missing { .. }) => Ok(None),
        Err(error @ (ReadRecordError::Unreadable { .. } | ReadRecordError::Wrong { .. })) => Err(error),
    }
}

fn own_name(folder: &Path) -> Result<ModelName, AddModelError> {
    let whole = fs::canonicalize(folder).map_err(failed("find", folder))?;
    Ok(whole.file_name().unwrap_or_default().to_string_lossy().parse()?)
}

fn bytes_of(folder: &Path, paths: &[RelativePath]) -> Result<u64, DiskError> {
    let size = |path: &RelativePath| {
        let path = folder.join(path.as_str());
        fs::metadata(&path).map(|about| about.len()).map_err(failed("look at", &path))
    };
    paths.iter().try_fold(0_u64, |sum, path| Ok(sum.saturating_add(size(path)?)))
}

/// Copies a file, hashing what was written.
fn copy(folder: &Path, path: RelativePath, staging: &Staging, known: &Known) -> Result<RecordedFile, AddModelError> {
    let source = folder.join(path.as_str());
    let mut file = File::open(&source).map_err(failed("open", &source))?;
    let mut part = Part::open(staging.part(&path))?;
    // An earlier copy that was ended may be of a file that is another by now.
    part.empty()?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", &source))?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
        part.append(chunk)?;
    }
    let (sha256, bytes) = (part.sha256(), part.bytes());
    let checksum = known.origin(&path, sha256)?;
    part.finish(&staging.whole(&path))?;
    Ok(RecordedFile { path, bytes, sha256, checksum })
}
