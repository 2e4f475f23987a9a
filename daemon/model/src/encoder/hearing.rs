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
    /// Takes samples and encodes nothing yet.
    pub fn push(&mut self, samples: &[f32]) {
        self.stream.push(samples);
    }

    /// Rows that are settled.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.settled.as_ref().map_or(0, Features::rows)
    }

    /// How many samples of it make just the settled rows: four frames of 10 ms to a row, and a frame's window beyond the last.
    #[must_use]
    pub fn settled_samples(&self) -> usize {
        const FRAME: usize = 160;
        match self.settled() {
            0 => 0,
            rows => (rows * 4 + 1) * FRAME,
        }
    }
}

impl Encoders {
    /// Encodes what of a sound can be encoded for good, once enough of it is new. Returns how many rows are settled.
    pub(super) fn hear(&mut self, hearing: &mut Hearing, stop: &Stop) -> Result<usize, EncodeError> {
        self.settle(hearing, LEAST_NEW, stop)
    }

    /// The same once at least so many rows are new.
    pub(super) fn settle(&mut self, hearing: &mut Hearing, least: usize, stop: &Stop) -> Result<usize, EncodeError> {
        let frames = hearing.stream.frames();
        let (known, settled) = (hearing.settled(), frames.settled_tokens());
        if settled < known + least {
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

    /// Keeps the settled rows under a name, as those of a whole sound.
    pub(super) fn keep_settled(&mut self, hearing: Hearing, id: MediumId) {
        if let Some(settled) = hearing.settled {
            self.keep(Sight { medium: id, sense: Sense::Sound }, &Arc::new(settled));
        }
    }

    fn rows_of(&mut self, frames: &Frames, stop: &Stop) -> Result<Features, EncodeError> {
        if frames.count() == 0 {
            return Err(EncodeError::Rows { sense: Sense::Sound, expected: 1, found: 0 });
        }
        let features = self.encode_frames(frames, stop)?;
        if features.is_finite() { Ok(features) } else { Err(EncodeError::NotFinite { sense: Sense::Sound }) }
    }
}
