//! Reads the TOML of manifests and grants. An unknown key is an error that names the nearest known one: a misspelt
//! `max-byts` must not silently lift a bound.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadTomlError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or a value has the wrong type.
    #[error("{path}: {reason}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// A key that nothing reads.
    #[error("{path}: '{key}' is not a key here; {hint}")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key with the tables it stands in.
        key: String,
        /// The nearest known key, or all of them.
        hint: String,
    },
}

/// The known keys of each table, by its dotted path; the empty path is the top of the file.
pub(crate) type KnownKeys = &'static [(&'static str, &'static [&'static str])];

/// Reads a file whose every key is known.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, known: &[KnownKeys]) -> Result<T, ReadTomlError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ReadTomlError::Io { path: path.to_path_buf(), source })?;
    parse(&text, path, known)
}

/// Reads a text; `path` is for error messages.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, path: &Path, known: &[KnownKeys]) -> Result<T, ReadTomlError> {
    let shape = |error: toml::de::Error| ReadTomlError::Shape {
        path: path.to_path_buf(),
        reason: error.to_string().trim_end().to_owned(),
    };
    let table: Table = toml::from_str(text).map_err(shape)?;
    check_keys(&table, "", path, known)?;
    toml::from_str(text).map_err(shape)
}

fn check_keys(table: &Table, at: &str, path: &Path, known: &[KnownKeys]) -> Result<(), ReadTomlError> {
    let Some((_, keys)) = known.iter().copied().flatten().find(|(place, _)| *place == at) else { return Ok(()) };
    for (key, value) in table {
        let full = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        if !keys.contains(&key.as_str()) {
            return Err(ReadTomlError::UnknownKey { path: path.to_path_buf(), key: full, hint: hint(key, keys) });
        }
        if let Value::Table(inner) = value {
            check_keys(inner, &full, path, known)?;
        }
    }
    Ok(())
}

/// Two letters off is a slip; farther away a guess would mislead.
fn hint(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(key, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!("did you mean '{name}'?"),
        Some(_) | None => format!("known are {}", known.join(", ")),
    }
}
