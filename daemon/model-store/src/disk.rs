//! Files and folders on disk: written whole, synced, and never more than the disk has room for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that stay free beyond what a model takes: the state beside it refuses to write on a disk fuller than this.
const RESERVE: u64 = 64 * 1024 * 1024;

/// What the disk refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// An operation on a path failed.
    #[error("cannot {doing} {path}{}", as_whom(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is not room enough.
    #[error(
        "{folder} has no room: {} are needed and {} are free; make room, or set `[model] store` to another disk",
        in_words(*needed), in_words(*free)
    )]
    Full {
        /// Where it was to go.
        folder: PathBuf,
        /// What is still to come, and what has to stay free.
        needed: u64,
        /// What is free.
        free: u64,
    },
}

/// The store is hob's own: who else works on it is told so.
fn as_whom(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied { " (run it as hob's user: sudo -u hob hob …)" } else { "" }
}

/// An error of the system with what was being done to what.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::Io { doing, path: path.to_owned(), source }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(path).map_err(failed("make the folder", path))
}

/// Makes the folder that `path` lies in.
pub(crate) fn make_folder_of(path: &Path) -> Result<(), DiskError> {
    path.parent().map_or(Ok(()), make_folder)
}

/// Removes a file that need not be there.
pub(crate) fn remove_file(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a folder that need not be there, with all that is in it. Links in it are removed, not followed.
pub(crate) fn remove_folder(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove the folder", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames, within one disk: the target is the old or the new, never half of either.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(failed("put into place", to))
}

/// Makes what was written to a file, or which names are in a folder, outlast a power cut.
pub(crate) fn sync(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

/// Checks that `needed` more bytes fit into `folder`, which is there.
pub(crate) fn room_for(needed: u64, folder: &Path) -> Result<(), DiskError> {
    let disk =
        rustix::fs::statvfs(folder).map_err(|errno| failed("ask for the free space of", folder)(errno.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = needed.saturating_add(RESERVE);
    if needed > free { Err(DiskError::Full { folder: folder.to_owned(), needed, free }) } else { Ok(()) }
}

/// A number of bytes for people: `3.4 GB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "it is rounded to one place anyway")]
pub fn in_words(bytes: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let value = bytes as f64;
    match units.into_iter().find(|(_, size)| value >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", value / size),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn who_may_not_write_is_told_as_whom_to() {
        let denied = failed("write", Path::new("/store/x"))(io::ErrorKind::PermissionDenied.into());
        assert_snapshot!(denied, @"cannot write /store/x (run it as hob's user: sudo -u hob hob …)");
        let other = failed("write", Path::new("/store/x"))(io::ErrorKind::StorageFull.into());
        assert_snapshot!(other, @"cannot write /store/x");
    }

    #[test]
    fn bytes_are_said_in_the_unit_that_fits() {
        assert_eq!([999, 1_000, 3_401_448_652].map(in_words), ["999 bytes", "1.0 kB", "3.4 GB"]);
    }
}
