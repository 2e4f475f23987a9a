//! Loading the shared library, once for the life of the process.

use crate::provider::{Plugin, Provider};
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The oldest ONNX Runtime that will do, as its minor version: 1.24. It is the `api-*` feature that `ort` is built
/// with in the root `Cargo.toml`.
pub const MIN_VERSION: u32 = ort::MINOR_VERSION;

/// Why the library could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLibraryError {
    /// Neither the settings nor the usual places have one.
    #[error(
        "no ONNX Runtime library found: run `make setup`, or name the file with `[onnx] library` or HOB_ONNX_LIBRARY"
    )]
    NotFound,
    /// The named file is not there, or not readable.
    #[error("cannot read the ONNX Runtime library {path}: run `make setup`, or correct `[onnx] library`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It ends before it should, as after a broken download.
    #[error("{path} ends after {found} of {expected} bytes: remove it and run `make setup` again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The size its header promises at least.
        expected: u64,
    },
    /// It is something else, or built for another machine.
    #[error(
        "{path} is no ONNX Runtime library for this machine ({reason}): run `make setup`, or correct `[onnx] library`"
    )]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It is older than hob needs.
    #[error("{path} is ONNX Runtime {found}, and hob needs 1.{MIN_VERSION} or newer: run `make setup`")]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A process can hold one library, and it holds another.
    #[error("this process runs ONNX Runtime from {open}, and cannot open {path} as well")]
    AnotherIsOpen {
        /// What was asked for.
        path: PathBuf,
        /// What is open.
        open: PathBuf,
    },
    /// The library was loaded and would not start.
    #[error("ONNX Runtime from {path} does not start: {reason}")]
    Start {
        /// The file.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
}

/// A loaded ONNX Runtime. Cheap to clone; the library stays until the process ends.
#[derive(Debug, Clone)]
pub struct Runtime {
    path: Arc<Path>,
    pub(crate) environment: Environment,
    /// Plugin providers that the environment has taken up.
    pub(crate) plugins: Arc<Mutex<BTreeMap<Provider, Plugin>>>,
}

/// ONNX Runtime allows one environment in a process, and dropping it does not make room for another.
static OPENED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library at `path`. Opening the same file again gives the same runtime.
    ///
    /// # Errors
    /// [`OpenLibraryError`], each naming what to do about it.
    pub fn open(path: &Path) -> Result<Self, OpenLibraryError> {
        let unreadable = |source| OpenLibraryError::Unreadable { path: path.to_owned(), source };
        // A relative path would be looked for beside the executable first.
        let path = path.canonicalize().map_err(unreadable)?;
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*opened {
            if *runtime.path == *path {
                return Ok(runtime.clone());
            }
            return Err(OpenLibraryError::AnotherIsOpen { path, open: runtime.path.to_path_buf() });
        }
        refuse_truncated(&path)?;
        let runtime = Self { environment: start(&path)?, path: path.into(), plugins: Arc::default() };
        *opened = Some(runtime.clone());
        Ok(runtime)
    }

    /// Loads the library that [`find_library`](crate::find_library) finds.
    ///
    /// # Errors
    /// [`OpenLibraryError::NotFound`] when there is none, else as [`Runtime::open`].
    pub fn find(from_settings: Option<&Path>) -> Result<Self, OpenLibraryError> {
        Self::open(&crate::find_library(from_settings).ok_or(OpenLibraryError::NotFound)?)
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version: from what it says about its build, else from the file's name.
    #[must_use]
    pub fn version(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let version = version_in(self.build()).or_else(|| version_in(&name));
        version.map_or_else(|| "of an unknown version".to_owned(), str::to_owned)
    }

    /// What the library says about how it was built.
    #[must_use]
    pub fn build(&self) -> &'static str {
        ort::info()
    }
}

/// The first three numbers with dots between them, as `1.32.0`.
fn version_in(text: &str) -> Option<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').map(|word| word.trim_matches('.'));
    words.into_iter().find(|word| word.split('.').filter(|number| !number.is_empty()).count() == 3)
}

fn start(path: &Path) -> Result<Environment, OpenLibraryError> {
    let builder = ort::init_from(path).map_err(|error| refused(path, &error))?;
    let builder = builder.with_name("hob").with_telemetry(false).with_logger(Arc::new(log));
    let failed = |error: ort::Error| OpenLibraryError::Start { path: path.to_owned(), reason: error.to_string() };
    let environment = builder.build().map_err(failed)?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

fn refused(path: &Path, error: &ort::LoadDynamicError) -> OpenLibraryError {
    let path = path.to_owned();
    match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => {
            OpenLibraryError::TooOld { path, found: version_str.clone() }
        }
        ort::LoadDynamicError::Dlopen { error, .. } => {
            OpenLibraryError::NotOnnxRuntime { path, reason: error.to_string() }
        }
        ort::LoadDynamicError::MissingApi { .. } => {
            OpenLibraryError::NotOnnxRuntime { path, reason: "it has no OrtGetApiBase".to_owned() }
        }
        ort::LoadDynamicError::InvalidVersionString => {
            OpenLibraryError::NotOnnxRuntime { path, reason: "its version is not readable".to_owned() }
        }
    }
}

/// The loader maps a cut file without complaint, and the first touch of a missing page kills the process. The section
/// table of an ELF file stands at its end, so its place tells how long the file has to be.
pub(crate) fn refuse_truncated(path: &Path) -> Result<(), OpenLibraryError> {
    let unreadable = |source| OpenLibraryError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    let mut head = [0_u8; 64];
    let Ok(()) = file.read_exact(&mut head) else { return Ok(()) }; // too short for ELF: the loader says so
    if let Some(expected) = elf64_length(&head)
        && expected > found
    {
        return Err(OpenLibraryError::Truncated { path: path.to_owned(), found, expected });
    }
    Ok(())
}

/// The end of the section table of a little-endian 64-bit ELF file; `None` for other files.
fn elf64_length(head: &[u8; 64]) -> Option<u64> {
    let [0x7f, b'E', b'L', b'F', 2, 1, ..] = head else { return None };
    let table = u64::from_le_bytes(head.get(40..48)?.try_into().ok()?);
    let entry = u16::from_le_bytes(head.get(58..60)?.try_into().ok()?);
    let entries = u16::from_le_bytes(head.get(60..62)?.try_into().ok()?);
    table.checked_add(u64::from(entry) * u64::from(entries))
}

/// ONNX Runtime's own log, one level down: what is a warning there is rarely one for the owner of the house.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => tracing::warn!(target: "onnxruntime", category, place, "{message}"),
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", category, place, "{message}"),
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, place, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_library_says_or_is_called() {
        let build = "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=85b67f90, build type=Release";
        assert_eq!(version_in(build), Some("1.32.0"));
        assert_eq!(version_in("libonnxruntime.so.1.24.1"), Some("1.24.1"));
        assert_eq!(version_in("libonnxruntime.so.1"), None);
    }
}
