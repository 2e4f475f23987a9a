//! The exact memo: what was decoded for a prompt once is not decoded again for the very same prompt.
//!
//! A node hears the same few commands every day, and under greedy decoding the same tokens give the same answer. So each
//! answer is a small file, named by a [`Key`] over everything that could make it another one: the [`Identity`] of the
//! model, the grammar, the limits, and every token of the prompt. Tools and devices stand in the prompt and the grammar;
//! when the owner changes one, the key is another.
//!
//! Only tokens are kept, and how sure the model was of each: what they mean is read out of them anew. Nothing is kept of
//! a conversation, of a generation that did not come to its own end, or of one that was drawn by chance; the caller,
//! [`Front`](crate::front), sees to that. Whatever is wrong with the folder or a file costs a decoding, never a command.

mod entry;
mod identity;
mod key;
mod shelf;

pub(crate) use entry::Entry;
pub(crate) use identity::Identity;
pub(crate) use key::{Key, KeyWriter};

use shelf::Shelf;
use std::path::PathBuf;

/// Where the memo lies, and what it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoSettings {
    /// A folder of its own. It is made with the first entry.
    pub folder: PathBuf,
    /// Most entries; the least recently used go first.
    pub entries: usize,
    /// Most bytes of all entries together.
    pub bytes: u64,
}

impl MemoSettings {
    /// Most bytes unless something else is said: 2,048 entries have a mebibyte or two.
    pub const USUAL_BYTES: u64 = 16 * 1024 * 1024;
}

/// Answers by key, on disk.
#[derive(Debug)]
pub(crate) struct Memo {
    /// The beginning of every key: what makes this model this model, and its limits.
    model: KeyWriter,
    shelf: Shelf,
}

impl Memo {
    /// Opens the folder. Without one that can be read there is no memo, and a warning.
    pub(crate) fn open(settings: MemoSettings, identity: &Identity) -> Option<Self> {
        let folder = settings.folder.clone();
        match Shelf::open(settings) {
            Ok(shelf) => Some(Self { model: KeyWriter::new(identity), shelf }),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "the memo cannot be read, and hob goes on without: correct `[model] cache`");
                None
            }
        }
    }

    /// Adds what a generation ends with, and what it must never hold, to every key from now on.
    #[must_use]
    pub(crate) fn under(self, stops: &[u32], suppressed: &[u32]) -> Self {
        let model = self.model.ids(stops.iter().copied()).ids(suppressed.iter().copied());
        Self { model, ..self }
    }

    /// A key that holds the model already, for the rest to be written to.
    pub(crate) fn key(&self) -> KeyWriter {
        self.model.clone()
    }

    /// What was answered before.
    pub(crate) fn recall(&self, key: &Key) -> Option<Entry> {
        let bytes = self.shelf.take(key)?;
        let entry = Entry::decode(key, &bytes);
        if entry.is_none() {
            tracing::debug!(%key, "an entry of the memo is torn, or none of ours; it is dropped");
            self.shelf.drop_entry(key);
        }
        entry
    }

    /// Keeps an answer.
    pub(crate) fn remember(&self, key: &Key, entry: &Entry) {
        if let Some(bytes) = entry.encode(key) {
            self.shelf.put(key, &bytes);
        }
    }
}
