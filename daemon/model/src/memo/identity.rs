//! What makes a model answer as it does: its files, hob, the library that runs it, and how.
//!
//! The small files are hashed whole. Graphs and weights can have gigabytes, and hashing those would hold up every start;
//! of them the name, the size, the time of the last change and [`SAMPLES`] pieces count. A file that was fetched, made or
//! written anew has another time. Images whose files all carry one time are built on purpose, and there the pieces tell:
//! training or rounding anew changes weights everywhere. Someone who changes a weight and hides it can write the memo too.

use crate::folder::{ModelFolder, OpenModelError};
use crate::gemma::ModelSettings;
use hob_onnx::{Graph, Kernels, PLACING, Runtime, Share, find_plugin};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// How many pieces of a large file are looked at, spread evenly.
const SAMPLES: u64 = 16;

/// Bytes of a piece. A file no larger than all of them together is looked at whole.
const SAMPLE_BYTES: u64 = 64 * 1024;

/// Everything about a model, on this board, with these settings, that an answer can depend on.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    facts: Vec<(String, Vec<u8>)>,
}

impl Identity {
    /// Reads the model's files as [`the module`](self) says.
    ///
    /// # Errors
    /// [`OpenModelError::Unreadable`], naming the file.
    pub(crate) fn of(
        folder: &ModelFolder,
        settings: &ModelSettings,
        runtime: &Runtime,
        shares: &[Share],
        kernels: Kernels,
    ) -> Result<Self, OpenModelError> {
        // Each field, so that a new one is not forgotten here. How much fits into a slot only cuts answers short, which are
        // not kept; how the next token is chosen, and whether under a grammar, is the caller's to see to.
        let ModelSettings {
            folder: _,
            variant: _,
            context_tokens: _,
            check_memory: _,
            running: _,
            hot_celsius: _,
            draft: _,
            chunk_tokens,
            slots: _,
            sampling: _,
            constrained: _,
            session,
            memo: _,
            prefixes: _,
            media: _,
            prepare: _,
        } = settings;
        let mut identity = Self { facts: Vec::new() };
        identity.fact("hob", env!("CARGO_PKG_VERSION"));
        identity.fact("machine", std::env::consts::ARCH);
        // Another library, another count of threads or another chunk may round otherwise.
        identity.fact("library", runtime.build());
        identity.file("library file", runtime.path(), stamp)?;
        // Its providers among it, and what of them did the work: with a fallback, that can change by itself.
        identity.fact("sessions", &format!("{session:?}"));
        identity.fact("threads", &session.crew().threads.to_string());
        identity.fact("shares", &format!("{shares:?}"));
        // Where weights could not be packed it is the library that multiplies, and it rounds otherwise.
        identity.fact("kernels", &format!("{kernels} {PLACING}"));
        for wanted in session.providers.beside_cpu() {
            let named = session.providers.plugins.get(&wanted.provider).map(PathBuf::as_path);
            if let Some(plugin) = find_plugin(wanted.provider, named).filter(|path| path.is_file()) {
                identity.file("plugin", &plugin, stamp)?;
            }
        }
        identity.fact("chunk", &chunk_tokens.to_string());
        identity.fact("variant", folder.variant.name());
        // What was rewritten may round otherwise, and its caches may lie otherwise.
        if let Some(prepared) = &folder.prepared {
            identity.facts.push(("prepared".to_owned(), prepared.digest().to_vec()));
        }
        for name in ["config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"] {
            identity.file(name, &folder.path.join(name), whole)?;
        }
        let graphs = folder.path.join("onnx");
        for path in files_in(&graphs)?.into_iter().chain(files_below(folder, &graphs)?) {
            let name = path.strip_prefix(&graphs).unwrap_or(&path).to_string_lossy().into_owned();
            identity.file(&name, &path, stamp)?;
        }
        Ok(identity)
    }

    /// The identity of a model whose settings want anything kept. Files that cannot be told from others make none, and
    /// a warning: then nothing is kept.
    pub(crate) fn of_model(
        folder: &ModelFolder,
        settings: &ModelSettings,
        runtime: &Runtime,
        shares: &[Share],
        kernels: Kernels,
    ) -> Option<Self> {
        if settings.memo.is_none() && settings.prefixes.is_none() {
            return None;
        }
        let identity = Self::of(folder, settings, runtime, shares, kernels);
        let warn = |error| tracing::warn!(%error, "what model this is cannot be told, and nothing of it is kept");
        identity.map_err(warn).ok()
    }

    /// For tests of what is built on it.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self { facts: Vec::new() }
    }

    /// Over all of it. Lengths stand in front, as in a key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for field in self.facts.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
            hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.facts.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn file(&mut self, name: &str, path: &Path, look: fn(&Path) -> io::Result<[u8; 32]>) -> Result<(), OpenModelError> {
        let digest = look(path).map_err(|source| OpenModelError::Unreadable { path: path.to_owned(), source })?;
        self.facts.push((name.to_owned(), digest.to_vec()));
        Ok(())
    }
}

/// Every file, sorted: which of them are weights, only the graphs know.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, OpenModelError> {
    let unreadable = |source| OpenModelError::Unreadable { path: folder.to_owned(), source };
    let listed: io::Result<Vec<_>> = std::fs::read_dir(folder).map_err(unreadable)?.collect();
    let paths = listed.map_err(unreadable)?.into_iter().map(|entry| entry.path());
    // Models are often links into a store that is shared.
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort_unstable();
    Ok(files)
}

/// Files with weights that the graphs have in folders of their own.
fn files_below(folder: &ModelFolder, graphs: &Path) -> Result<BTreeSet<PathBuf>, OpenModelError> {
    let own = [Some(&folder.embed), Some(&folder.decoder), folder.vision.as_ref(), folder.audio.as_ref()];
    let mut below = BTreeSet::new();
    for graph in own.into_iter().flatten() {
        let files = Graph::read(graph)?.data_files().into_iter();
        below.extend(files.filter(|path| path.parent() != Some(graphs) && path.is_file()));
    }
    Ok(below)
}

/// A file's whole content.
fn whole(path: &Path) -> io::Result<[u8; 32]> {
    Ok(Sha256::digest(std::fs::read(path)?).into())
}

/// A file's size, time and pieces.
fn stamp(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut hash = Sha256::new();
    hash.update(about.len().to_le_bytes());
    hash.update(changed.as_nanos().to_le_bytes());
    let last = about.len().saturating_sub(SAMPLE_BYTES);
    let step = (last / (SAMPLES - 1)).max(SAMPLE_BYTES);
    let mut piece = Vec::new();
    for place in 0..SAMPLES {
        // The last piece ends where the file does.
        let from = if place == SAMPLES - 1 { last.max(place * SAMPLE_BYTES) } else { place * step };
        file.seek(SeekFrom::Start(from))?;
        piece.clear();
        file.by_ref().take(SAMPLE_BYTES).read_to_end(&mut piece)?;
        hash.update(&piece);
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests;
