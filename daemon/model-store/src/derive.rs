//! A model made from another on this board: one of its graphs is written anew, everything else is the same files. The
//! folder it is made from is read and left as it is.

use crate::add::{AddModelError, Known};
use crate::disk::{self, DiskError, failed};
use crate::layout::{self, LayoutError};
use crate::names::{ModelName, RelativePath, Sha256, VariantName, WrongName};
use crate::part::hash_file;
use crate::record::{Record, RecordedFile};
use crate::staging::{PlaceModelError, place_folder};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const BUFFER: usize = 256 * 1024;

/// Why a model could not be made from another.
#[derive(Debug, thiserror::Error)]
pub enum DeriveModelError {
    /// Something is at the target.
    #[error("{0} is there already: name another folder, or remove it first")]
    Taken(PathBuf),
    /// The target has no name that a model can have.
    #[error("the new folder cannot be called so: {0}")]
    Name(#[from] WrongName),
    /// Another process makes a model of that name.
    #[error("another hob makes {0} now: wait for it, or end it")]
    Busy(PathBuf),
    /// The folder is no whole model.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A file of it is not what its record says.
    #[error(transparent)]
    Known(#[from] AddModelError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is whole and could not be put in place.
    #[error(transparent)]
    Place(#[from] PlaceModelError),
    /// Someone ended it.
    #[error("it was ended before it was done")]
    Stopped,
}

/// Which folder to make a model from, and where.
#[derive(Debug, Clone)]
pub struct DeriveOrder {
    /// The folder.
    pub folder: PathBuf,
    /// Which of its variants.
    pub variant: VariantName,
    /// The graph that is written anew, with its data files: `decoder_model_merged`.
    pub graph: &'static str,
    /// The new folder. It must not be there; the one above it must.
    pub target: PathBuf,
}

/// A model in the making, in a hidden folder beside its target. It is gone when this is dropped, unless it was placed.
#[derive(Debug)]
pub struct Derivation {
    source: PathBuf,
    target: PathBuf,
    name: ModelName,
    variant: VariantName,
    known: Known,
    /// What is taken over.
    kept: Vec<RelativePath>,
    making: Making,
}

/// The hidden folder. Locked, so that what a power cut left of it can be told from one that is being filled.
#[derive(Debug)]
struct Making {
    folder: PathBuf,
    _locked: File,
}

impl Drop for Making {
    fn drop(&mut self) {
        // Placed, it is not there any more. What cannot be removed is so when the next one is made.
        disk::remove_folder(&self.folder).ok();
    }
}

impl Derivation {
    /// Looks at the folder, and makes the hidden one.
    ///
    /// # Errors
    /// [`DeriveModelError`]; nothing is left then.
    pub fn begin(order: &DeriveOrder) -> Result<Self, DeriveModelError> {
        let target = std::path::absolute(&order.target).map_err(failed("find", &order.target))?;
        let name: ModelName = target.file_name().unwrap_or_default().to_string_lossy().parse()?;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(DeriveModelError::Taken(order.target.clone()));
        }
        let (variant, all) = layout::files_of(&order.folder, Some(&order.variant))?;
        let graph = layout::graph_file(order.graph, &variant);
        let is_anew =
            |path: &RelativePath| path.as_str() == graph || path.as_str().starts_with(&format!("{graph}_data"));
        let kept = all.into_iter().filter(|path| !is_anew(path) && path.as_str() != layout::REQUANTIZED).collect();
        let known = Known::of(&order.folder)?;
        let making = Making::begin(&target, &name)?;
        disk::make_folder(&making.folder.join("onnx"))?;
        Ok(Self { source: order.folder.clone(), target, name, variant, known, kept, making })
    }

    /// The folder that will be the model's: graphs belong into its `onnx`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.making.folder
    }

    /// Takes over all other files: the same ones where both folders are on one disk, else copies. There has to be room for
    /// those, and for `more` bytes that will be written besides.
    ///
    /// # Errors
    /// [`DeriveModelError::Disk`] where there is no room, before anything is copied.
    pub fn take_over(&self, more: u64, stopped: &dyn Fn() -> bool) -> Result<(), DeriveModelError> {
        let mut to_copy = Vec::new();
        let mut bytes = more;
        for path in &self.kept {
            let (from, to) = (self.source.join(path.as_str()), self.folder().join(path.as_str()));
            disk::make_folder_of(&to)?;
            // Another disk, or another owner's file, which the kernel lets nobody link.
            if fs::hard_link(&from, &to).is_err() {
                let about = fs::metadata(&from).map_err(failed("look at", &from))?;
                bytes = bytes.saturating_add(about.len());
                to_copy.push((from, to));
            }
        }
        disk::room_for(bytes, self.folder())?;
        to_copy.iter().try_for_each(|(from, to)| copy(from, to, stopped))
    }

    /// Hashes every file, writes the record, and puts the model in place by one rename. `written` are the files that were
    /// written besides those that were taken over.
    ///
    /// # Errors
    /// [`DeriveModelError`]; nothing is left then.
    pub fn place(
        self,
        written: Vec<RelativePath>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(Record, PathBuf), DeriveModelError> {
        let mut files = Vec::new();
        for path in self.kept.iter().cloned().chain(written) {
            if stopped() {
                return Err(DeriveModelError::Stopped);
            }
            let (sha256, bytes): (Sha256, u64) = hash_file(&self.folder().join(path.as_str()))?;
            let is_kept = self.kept.contains(&path);
            let checksum = if is_kept { self.known.origin(&path, sha256)? } else { crate::record::Origin::Recorded };
            files.push(RecordedFile { path, bytes, sha256, checksum });
        }
        let record = Record { name: self.name, variant: self.variant, repository: None, revision: None, files };
        place_folder(&self.making.folder, &record, &self.target)?;
        Ok((record, self.target))
    }
}

impl Making {
    /// Makes the folder beside the target, empty and locked.
    fn begin(target: &Path, name: &ModelName) -> Result<Self, DeriveModelError> {
        let folder = target.with_file_name(format!(".{name}.new"));
        let above = target.parent().unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(failed("find the folder", above)(io::ErrorKind::NotFound.into()).into());
        }
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make the folder", &folder)(error).into());
            }
            Ok(()) | Err(_) => {}
        }
        let file = File::open(&folder).map_err(failed("open", &folder))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DeriveModelError::Busy(target.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &folder)(source).into()),
        }
        // Between opening and locking it may have been put in place, or removed.
        let inode = |about: io::Result<fs::Metadata>| about.ok().map(|about| (about.dev(), about.ino()));
        if inode(file.metadata()) != inode(fs::symlink_metadata(&folder)) {
            return Err(DeriveModelError::Busy(target.to_owned()));
        }
        let making = Self { folder, _locked: file };
        // What a power cut left.
        for entry in fs::read_dir(&making.folder).map_err(failed("list", &making.folder))? {
            let path = entry.map_err(failed("list", &making.folder))?.path();
            if path.is_dir() && !path.is_symlink() { disk::remove_folder(&path)? } else { disk::remove_file(&path)? }
        }
        Ok(making)
    }
}

fn copy(from: &Path, to: &Path, stopped: &dyn Fn() -> bool) -> Result<(), DeriveModelError> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut file = File::create_new(to).map_err(failed("write", to))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        if stopped() {
            return Err(DeriveModelError::Stopped);
        }
        let read = source.read(&mut buffer).map_err(failed("read", from))?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
        file.write_all(chunk).map_err(failed("write", to))?;
    }
    Ok(file.sync_all().map_err(failed("sync", to))?)
}
