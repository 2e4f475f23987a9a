//! Matrices in a file.

use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A mapped file of matrices.
#[derive(Debug)]
pub(crate) struct Panels(Mmap);

impl Panels {
    /// Maps a file that must have so many bytes.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() != bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has another size than its graph says"));
        }
        #[expect(unsafe_code, reason = "mapping a file is, since another program could change it")]
        // SAFETY: the file lies in hob's own folder, which others cannot write to; hob itself writes it under another name,
        // and never again once it is whole.
        let map = unsafe { Mmap::map(&file)? };
        // Large pages: a processor knows where few pages lie, and looks each of the others up. Not every system has them.
        if let Err(error) = map.advise(Advice::HugePage) {
            tracing::debug!(%error, "weights are mapped in small pages");
        }
        Ok(Arc::new(Self(map)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
