//! The decoder rewritten for speed: made once from the published graph, kept in the cache folder, found again by what it
//! was made from. The weights stay where they are; a prepared graph has some hundred kilobytes.

mod file;

use crate::folder::ModelFolder;
use hob_onnx::{DraftError, Graph, Outcome, Pass, REWRITING, ReadGraphError, Runtime, grows_in_place, rewrite};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// How a model is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareSettings {
    /// A folder of its own for what was prepared. It is made with the first file.
    pub folder: PathBuf,
    /// How precise activations are in quantized products that leave it open.
    pub activations: Activations,
}

/// How precise activations are in quantized products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// As the file says; where it says nothing, in single precision.
    #[serde(rename = "published")]
    AsPublished,
    /// Rounded to 8 bits where the file says nothing: other kernels, faster and less exact. How much less has not been measured.
    #[default]
    Int8,
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsPublished => "published",
            Self::Int8 => "int8",
        })
    }
}

/// No way in which activations are known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no activations '{0}': use int8 or published")]
pub struct UnknownActivations(pub String);

impl FromStr for Activations {
    type Err = UnknownActivations;

    fn from_str(name: &str) -> Result<Self, UnknownActivations> {
        let known = [Self::AsPublished, Self::Int8].into_iter().find(|one| one.to_string() == name);
        known.ok_or_else(|| UnknownActivations(name.to_owned()))
    }
}

impl Activations {
    /// What is done to a graph.
    fn passes(self) -> BTreeSet<Pass> {
        let all = Pass::ALL.into_iter();
        all.filter(|pass| *pass != Pass::Accuracy || self == Self::Int8).collect()
    }
}

/// Why a graph is not prepared. The model then runs as published.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The published graph cannot be read, or nothing in it may be changed.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The published graph cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It was prepared and cannot be kept.
    #[error("cannot keep the prepared graph as {path}: correct `[model] cache`")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What it is rewritten to was tried with this library's successors only.
    #[error("ONNX Runtime {0} was not tried with rewritten graphs: it takes 1.{TRIED_SINCE} or newer")]
    Library(String),
}

/// The minor version of the oldest ONNX Runtime with which rewritten graphs were held to the published ones: operators
/// that take keys and values from another layer were found to work in it.
const TRIED_SINCE: u32 = 32;

/// A decoder that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    graph: Arc<[u8]>,
    outcomes: Arc<[Outcome]>,
    in_place: bool,
}

/// Where a prepared graph came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The cache folder.
    Kept,
    /// It was made now.
    Made,
}

impl Prepared {
    /// Rewrites a graph by the given passes, and keeps it nowhere.
    ///
    /// # Errors
    /// [`PrepareError::Draft`] for a graph that nothing is changed in.
    pub fn make(decoder: &Path, passes: &BTreeSet<Pass>) -> Result<Self, PrepareError> {
        Ok(Self::rewritten(decoder, &published(decoder)?, passes)?)
    }

    fn rewritten(decoder: &Path, published: &[u8], passes: &BTreeSet<Pass>) -> Result<Self, DraftError> {
        let rewritten = rewrite(decoder, published, passes)?;
        Ok(Self::new(rewritten.graph, rewritten.outcomes))
    }

    fn new(graph: Vec<u8>, outcomes: Vec<Outcome>) -> Self {
        Self { in_place: grows_in_place(&graph), graph: graph.into(), outcomes: outcomes.into() }
    }

    /// A graph of any kind, for tests of what becomes of it.
    #[cfg(test)]
    pub(crate) fn of(graph: Vec<u8>) -> Self {
        Self::new(graph, Vec::new())
    }

    /// The prepared decoder of a folder: the kept one, else one that is made and not kept.
    ///
    /// # Errors
    /// [`PrepareError::Draft`] for a graph that nothing is changed in.
    pub fn look(folder: &ModelFolder, settings: &PrepareSettings) -> Result<Self, PrepareError> {
        let (published, passes) = (published(&folder.decoder)?, settings.activations.passes());
        let key = key(&folder.decoder, &published, &passes)?;
        match file::read(&settings.folder.join(file::name(&key)), &key) {
            Ok((graph, outcomes)) => Ok(Self::new(graph, outcomes)),
            Err(_) => Ok(Self::rewritten(&folder.decoder, &published, &passes)?),
        }
    }

    /// Finds the prepared decoder of a folder, or makes and keeps it. Nothing is found that was made from another graph,
    /// by another version of the rewriting, or with other settings; what is damaged is made anew.
    ///
    /// # Errors
    /// [`PrepareError::Unwritable`] comes with nothing lost but the file: [`Prepared::make`] still works.
    pub fn open(folder: &ModelFolder, settings: &PrepareSettings) -> Result<(Self, Origin), PrepareError> {
        let published = published(&folder.decoder)?;
        let passes = settings.activations.passes();
        let key = key(&folder.decoder, &published, &passes)?;
        let path = settings.folder.join(file::name(&key));
        match file::read(&path, &key) {
            Ok((graph, outcomes)) => return Ok((Self::new(graph, outcomes), Origin::Kept)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a prepared graph is damaged and is made anew");
            }
        }
        let prepared = Self::rewritten(&folder.decoder, &published, &passes)?;
        let kept = file::write(&path, &key, &prepared.graph, &prepared.outcomes);
        kept.map_err(|source| PrepareError::Unwritable { path, source })?;
        file::make_room(&settings.folder);
        Ok((prepared, Origin::Made))
    }

    /// Whether a library may run rewritten graphs.
    ///
    /// # Errors
    /// [`PrepareError::Library`], naming its version.
    pub fn check_library(runtime: &Runtime) -> Result<(), PrepareError> {
        let version = runtime.version();
        if was_tried(&version) { Ok(()) } else { Err(PrepareError::Library(version)) }
    }

    /// The file's content. It names the published weights.
    #[must_use]
    pub fn graph(&self) -> &[u8] {
        &self.graph
    }

    /// What became of each pass.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether caches are grown where they lie.
    #[must_use]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// Over the graph.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.graph).into()
    }
}

fn was_tried(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= (1, TRIED_SINCE)
}

/// The published graph. It is counted before it is decoded; here only its size is looked at.
fn published(path: &Path) -> Result<Vec<u8>, PrepareError> {
    let unreadable = |source| PrepareError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > Graph::MAX_BYTES {
        return Err(DraftError::from(ReadGraphError::TooLarge { path: path.to_owned(), bytes }).into());
    }
    std::fs::read(path).map_err(unreadable)
}

/// What a prepared graph is made from and how. Single numbers and axes can lie in the data files, which are known by name,
/// size and time: what is fetched or made anew has another.
fn key(decoder: &Path, published: &[u8], passes: &BTreeSet<Pass>) -> Result<[u8; 32], DraftError> {
    let mut hash = Sha256::new_with_prefix("hob prepared graph");
    hash.update(REWRITING.to_le_bytes());
    hash.update(env!("CARGO_PKG_VERSION"));
    for pass in passes {
        hash.update(format!("/{pass:?}"));
    }
    for file in Graph::parse(decoder, published)?.data_files() {
        let name = file.strip_prefix(decoder.parent().unwrap_or(Path::new(""))).unwrap_or(&file);
        // Nothing is read from one that is not there.
        let about = std::fs::metadata(&file).and_then(|about| Ok((about.len(), about.modified()?))).ok();
        hash.update(format!("\n{name:?} {about:?}"));
    }
    hash.update([0]);
    hash.update(published);
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests;
