//! Beginnings of prompts, with their keys and values, on disk: what a restarted hob need not read again.
//!
//! Every prompt begins with the instructions, the inventory and the tools; on a board, reading those takes longer than
//! all that follows. Keys and values of a token depend on the tokens before it alone, so a file serves every prompt that
//! begins as it does, as far as it does. A file is named by the model's identity and its tokens, and carries a checksum;
//! whatever is wrong with it costs a prefill, never a command.

mod file;

use crate::decoder::{Decoder, ForwardFailure, Slot};
use crate::soft::is_soft;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where beginnings lie, and what they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixSettings {
    /// A folder of its own. It is made with the first file.
    pub folder: PathBuf,
    /// Most files; the least recently used go first.
    pub files: usize,
    /// Most bytes of all files together.
    pub bytes: u64,
}

impl PrefixSettings {
    /// Most bytes unless something else is said: a beginning of 1,500 tokens has 28 MB for E2B, 86 MB for E4B.
    pub const USUAL_BYTES: u64 = 1 << 30;
}

/// What is kept must spare at least so many tokens more than what is in memory: reading a file takes time too.
const LEAST_GAIN: usize = 32;

/// Beginnings of one model.
#[derive(Debug)]
pub(crate) struct Prefixes {
    settings: PrefixSettings,
    /// The model's identity.
    model: [u8; 32],
    /// Most recently used last.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// None of another model's.
    tokens: Vec<u32>,
    bytes: u64,
}

impl Prefixes {
    /// Looks at what is there. Files of other models stay until the bounds push them out: the owner may come back to one.
    /// Broken ones are removed.
    pub(crate) fn open(settings: PrefixSettings, model: [u8; 32]) -> Self {
        let mut found = found(&settings.folder);
        found.sort_by_key(|(_, used)| *used);
        let mut prefixes = Self { settings, model, kept: Vec::new() };
        for (path, _) in found {
            match File::open(&path).and_then(|mut file| file::read_head(&mut file)) {
                Ok((of, tokens)) => {
                    let tokens = if of == model { tokens } else { Vec::new() };
                    let bytes = std::fs::metadata(&path).map_or(0, |about| about.len());
                    prefixes.kept.push(Kept { path, tokens, bytes });
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "no whole beginning");
                    remove_if_broken(&path, &error);
                }
            }
        }
        prefixes.make_room();
        prefixes
    }

    /// Fills `slot` from disk when that spares tokens beyond the `held` ones that it shares with `tokens` already. Of
    /// `tokens` at most `reusable` may be spared. Returns how many the slot holds of them in the end.
    ///
    /// # Errors
    /// [`ForwardFailure`] when the decoder has no memory for a cut.
    pub(crate) fn restore(
        &mut self,
        decoder: &mut dyn Decoder,
        slot: Slot,
        tokens: &[u32],
        held: usize,
        reusable: usize,
    ) -> Result<usize, ForwardFailure> {
        let common = |kept: &Kept| kept.tokens.iter().zip(tokens).take_while(|(one, other)| one == other).count();
        let best = self.kept.iter().enumerate().map(|(place, kept)| (common(kept).min(reusable), place)).max();
        let Some((spared, place)) = best.filter(|(spared, _)| *spared >= held + LEAST_GAIN) else { return Ok(held) };
        let kept = self.kept.remove(place);
        match file::load(&kept.path, &self.model, &kept.tokens, decoder, slot) {
            Ok(()) => {
                // A file keeps its place over a restart by its time.
                File::open(&kept.path).and_then(|file| file.set_modified(SystemTime::now())).ok();
                self.kept.push(kept);
                decoder.truncate(slot, spared)?;
                tracing::debug!(tokens = spared, "took up a beginning from disk");
                Ok(spared)
            }
            Err(error) => {
                tracing::debug!(path = %kept.path.display(), %error, "a kept beginning cannot be taken up");
                remove_if_broken(&kept.path, &error);
                decoder.truncate(slot, held)?;
                // What was in the slot may be gone; then it is read anew.
                Ok(held.min(decoder.len(slot)))
            }
        }
    }

    /// Keeps what a slot begins with, unless it is there already.
    ///
    /// What stands from the first medium on stays out: its ids mean nothing to another process.
    pub(crate) fn keep(&mut self, decoder: &dyn Decoder, slot: Slot, tokens: &[u32]) {
        let words = tokens.iter().take_while(|id| !is_soft(**id)).count();
        let tokens = tokens.get(..words).unwrap_or_default();
        let known = self.kept.iter().any(|kept| kept.tokens.starts_with(tokens));
        if known || tokens.len() < LEAST_GAIN || self.settings.files == 0 {
            return;
        }
        match self.write(decoder, slot, tokens) {
            Ok(kept) => {
                self.kept.push(kept);
                self.make_room();
            }
            Err(error) => {
                let folder = self.settings.folder.display();
                tracing::warn!(%folder, %error, "the beginning of prompts cannot be kept, and will be read again: correct `[model] cache`");
            }
        }
    }

    fn write(&self, decoder: &dyn Decoder, slot: Slot, tokens: &[u32]) -> io::Result<Kept> {
        // It holds the names of this house.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.settings.folder)?;
        let path = self.settings.folder.join(file::name(&self.model, tokens));
        let bytes = file::save(&path, &self.model, tokens, decoder, slot)?;
        Ok(Kept { path, tokens: tokens.to_vec(), bytes })
    }

    fn make_room(&mut self) {
        let total = |kept: &[Kept]| kept.iter().map(|kept| kept.bytes).sum::<u64>();
        while self.kept.len() > self.settings.files || total(&self.kept) > self.settings.bytes {
            let oldest = self.kept.remove(0);
            std::fs::remove_file(&oldest.path).ok();
        }
    }
}

/// Removes a file that holds something else than it should. One that only cannot be read now may be read later.
fn remove_if_broken(path: &Path, error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
        std::fs::remove_file(path).ok();
    }
}

/// Our files in a folder, half-written ones removed, and when they were used last.
fn found(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in listed.flatten() {
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(file::KEPT) => {
                let used = entry.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((path, used));
            }
            Some(file::UNFINISHED) => {
                std::fs::remove_file(&path).ok();
            }
            Some(_) | None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
