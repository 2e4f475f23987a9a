//! Token ids to rows: out of the tables on disk where the graph is one of tables, else by running it.

use crate::folder::OpenModelError;
use hob_onnx::{Lookup, Providers, RunError, Runtime, Session, SessionSettings, Signature, Stop, Tensor};
use std::path::Path;

/// What turns token ids into rows.
#[derive(Debug)]
pub(crate) enum Embed {
    /// Rows are read from the data file. The tables take no memory but what the system keeps of the file.
    Tables(Lookup),
    /// The graph is loaded whole, since it does more than to look rows up.
    Graph(Box<Session>),
}

impl Embed {
    /// Opens `embed_tokens`.
    ///
    /// # Errors
    /// [`OpenModelError::Session`] when the graph can be opened in neither way.
    pub(crate) fn open(runtime: &Runtime, path: &Path, settings: &SessionSettings) -> Result<Self, OpenModelError> {
        match Lookup::open(runtime, path) {
            Ok(lookup) => Ok(Self::Tables(lookup)),
            Err(because) => {
                // Looking rows up is no work for a device: its tables would only have to be carried there. Places for
                // packed weights are the decoder's.
                let settings = SessionSettings { providers: Providers::default(), packed: None, ..settings.clone() };
                let session = Box::new(Session::open(runtime, path, &settings)?);
                tracing::warn!(graph = %path.display(), %because, "the embedding tables are loaded into memory");
                Ok(Self::Graph(session))
            }
        }
    }

    /// What goes in and what comes out.
    #[must_use]
    pub(crate) fn signature(&self) -> &Signature {
        match self {
            Self::Tables(lookup) => lookup.signature(),
            Self::Graph(session) => session.signature(),
        }
    }

    /// The rows of one sequence of tokens, `[1, tokens, …]` for each output. `ids` is the name of the graph's input.
    ///
    /// # Errors
    /// [`RunError`] when an id has no row, or the file cannot be read any more.
    pub(crate) fn rows(&mut self, ids: &str, tokens: &[u32], stop: &Stop) -> Result<Vec<Tensor>, RunError> {
        let tokens: Vec<i64> = tokens.iter().map(|token| i64::from(*token)).collect();
        match self {
            Self::Tables(lookup) => lookup.run(&tokens),
            Self::Graph(session) => {
                let tokens = Tensor::i64(&[1, tokens.len()], tokens)?;
                session.run(&[(ids, &tokens)], stop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_onnx::PackedSettings;

    #[test]
    fn what_is_no_table_is_loaded_and_takes_no_place_for_packed_weights() {
        let cache = tempfile::tempdir().unwrap();
        let packed = PackedSettings { folder: cache.path().join("packed"), most: 2, least_bytes: 0 };
        let settings = SessionSettings { packed: Some(packed.clone()), ..SessionSettings::default() };
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/published/onnx");
        // A graph that does more than to look rows up, be it another than one would expect here.
        let graph = Path::new(fixture).join("decoder_model_merged_q4.onnx");
        let embed = Embed::open(&Runtime::find(None).unwrap(), &graph, &settings).unwrap();
        assert!(matches!(embed, Embed::Graph(_)) && !packed.folder.exists());
    }
}
