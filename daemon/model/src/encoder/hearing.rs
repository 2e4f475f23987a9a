//! A sound that is still arriving, encoded as it comes.
//!
//! The encoder looks back and never ahead, but for three frames in its first two layers. So the rows of what was heard so
//! far are those of the whole sound, all but the last: each beginning is encoded from its start, and what is settled stays.

use super::{EncodeError, Encoders, Features};
use crate::media::mel::{Frames, MelStream};
use crate::soft::{Sense, Sight};
use hob_events::MediumId;
use hob_onnx::Stop;
use std::sync::Arc;

/// Rows that have to be new for a beginning to be encoded: a second. A speaker of 30 seconds makes for 30 runs of 15
/// seconds on average.
const LEAST_NEW: usize = 25;

/// A sound as far as it was heard.
#[derive(Debug, Default)]
pub struct Hearing {
    stream: MelStream,
    /// The rows that nothing heard later can change.
    settled: Option<Features>,
}

impl Hearing {
    pub(super) fn push(&mut self, samples: &[f32]) {
        self.stream.push(samples);
    }

    /// Rows that are settled.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.settled.as_ref().map_or(0, Features::rows)
    }
}

impl Encoders {
    /// Encodes what of a sound can be encoded for good, once enough of it is new. Returns how many rows are settled.
    pub(super) fn hear(&mut self, hearing: &mut Hearing, stop: &Stop) -> Result<usize, EncodeError> {
        let frames = hearing.stream.frames();
        let (known, settled) = (hearing.settled(), frames.settled_tokens());
        if settled < known + LEAST_NEW {
            return Ok(known);
        }
        let rows = self.rows_of(frames, stop)?.first(settled);
        let rows = rows.ok_or(EncodeError::Rows { sense: Sense::Sound, expected: settled, found: 0 })?;
        hearing.settled = Some(match hearing.settled.take() {
            Some(known) => known.continued(&rows),
            None => rows,
        });
        Ok(settled)
    }

    /// Encodes the rest of a sound and keeps its rows under its name.
    pub(super) fn heard(&mut self, hearing: Hearing, id: MediumId, stop: &Stop) -> Result<Arc<Features>, EncodeError> {
        let Hearing { stream, settled } = hearing;
        let frames = stream.finish();
        let expected = frames.soft_tokens();
        let found = self.rows_of(&frames, stop)?;
        let rows = found.rows();
        let whole = found.first(expected).ok_or(EncodeError::Rows { sense: Sense::Sound, expected, found: rows })?;
        let whole = Arc::new(match settled {
            Some(settled) => settled.continued(&whole),
            None => whole,
        });
        self.keep(Sight { medium: id, sense: Sense::Sound }, &whole);
        Ok(whole)
    }

    fn rows_of(&mut self, frames: &Frames, stop: &Stop) -> Result<Features, EncodeError> {
        if frames.count() == 0 {
            return Err(EncodeError::Rows { sense: Sense::Sound, expected: 1, found: 0 });
        }
        let features = self.encode_frames(frames, stop)?;
        if features.is_finite() { Ok(features) } else { Err(EncodeError::NotFinite { sense: Sense::Sound }) }
    }
}
