//! Tokens of one run, and the rows of media that are put over theirs.

use super::{EncodeError, Features, Senses};
use crate::soft::{Place, is_soft};
use hob_onnx::{Stop, Tensor, TensorError};
use std::borrow::Cow;
use std::sync::Arc;

/// See the module.
pub(crate) struct Overlaid<'a> {
    /// The tokens, with that of padding in the place of media: it is what the second table is asked for there.
    ids: Cow<'a, [u32]>,
    /// By place among the tokens.
    rows: Vec<(usize, Arc<Features>, usize)>,
}

impl<'a> Overlaid<'a> {
    /// Finds the rows of the media among tokens; encodes what was not yet.
    pub(crate) fn new(tokens: &'a [u32], senses: Option<&Senses>, stop: &Stop) -> Result<Self, EncodeError> {
        if !tokens.iter().any(|id| is_soft(*id)) {
            return Ok(Self { ids: Cow::Borrowed(tokens), rows: Vec::new() });
        }
        let senses = senses.ok_or(EncodeError::Forgotten("medium"))?;
        let mut encoders = senses.encoders();
        let mut rows: Vec<(usize, Arc<Features>, usize)> = Vec::new();
        let mut last = None;
        for (at, id) in tokens.iter().enumerate().filter(|(_, id)| is_soft(**id)) {
            let Place { sight, row, rows: count } =
                senses.library().place(*id).ok_or(EncodeError::Forgotten("medium"))?;
            let features = match last.take() {
                Some((same, features)) if same == sight => features,
                Some(_) | None => encoders.features(sight, stop)?,
            };
            if features.rows() != count {
                return Err(EncodeError::Rows { sense: sight.sense, expected: count, found: features.rows() });
            }
            rows.push((at, Arc::clone(&features), row));
            last = Some((sight, features));
        }
        let padding = encoders.padding();
        let ids = tokens.iter().map(|id| if is_soft(*id) { padding } else { *id }).collect();
        Ok(Self { ids: Cow::Owned(ids), rows })
    }

    /// What to ask `embed_tokens` for.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Writes the rows of media over those of their tokens in `embeddings`, `[1, tokens, width]`.
    pub(crate) fn overlay(&self, embeddings: &mut Tensor) -> Result<(), TensorError> {
        for (at, features, row) in &self.rows {
            embeddings.set_row(*at, features.row(*row).unwrap_or_default())?;
        }
        Ok(())
    }
}
