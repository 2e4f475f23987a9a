//! Rows that an encoder made, and those that are kept.

use crate::soft::Sight;
use hob_onnx::{RunError, Tensor};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of rows that are kept: 38 pictures of 280 tokens for E2B, 23 for E4B.
const KEPT_BYTES: usize = 64 << 20;

/// The rows of one medium, in single precision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Features {
    numbers: Vec<f32>,
    width: usize,
}

impl Features {
    /// Reads output number `place`: `[…, width]`, whatever stands in front of the last dimension counts rows.
    pub(crate) fn read(outputs: &[Tensor], place: usize) -> Result<Self, RunError> {
        let output = outputs.get(place).ok_or_else(|| RunError::NoOutput("features".to_owned()))?;
        let shape = output.shape();
        let (width, rows) = shape.split_last().map_or((0, 0), |(width, rows)| (*width, rows.iter().product()));
        Ok(Self { numbers: output.last_rows(rows)?, width })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.numbers.len().checked_div(self.width).unwrap_or(0)
    }

    /// One row.
    pub(crate) fn row(&self, row: usize) -> Option<&[f32]> {
        self.numbers.chunks_exact(self.width.max(1)).nth(row)
    }

    /// The first rows alone; nothing when there are fewer.
    pub(crate) fn first(mut self, rows: usize) -> Option<Self> {
        if rows > self.rows() {
            return None;
        }
        self.numbers.truncate(rows * self.width);
        Some(self)
    }

    /// These rows, and behind them those that `longer` has more.
    pub(crate) fn continued(mut self, longer: &Self) -> Self {
        self.numbers.extend_from_slice(longer.numbers.get(self.numbers.len()..).unwrap_or_default());
        self
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.numbers.iter().all(|number| number.is_finite())
    }

    /// All numbers, row by row.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    fn bytes(&self) -> usize {
        self.numbers.len().saturating_mul(size_of::<f32>())
    }
}

/// What was made lately, the least recently used first. Bounded by [`KEPT_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct Kept {
    features: VecDeque<(Sight, Arc<Features>)>,
}

impl Kept {
    pub(crate) fn find(&mut self, sight: Sight) -> Option<Arc<Features>> {
        let place = self.features.iter().position(|(kept, _)| *kept == sight)?;
        let found = self.features.remove(place)?;
        let features = Arc::clone(&found.1);
        self.features.push_back(found);
        Some(features)
    }

    /// Keeps rows; what was used least recently makes room. The newest stays whatever its size.
    pub(crate) fn keep(&mut self, sight: Sight, features: Arc<Features>) {
        self.features.push_back((sight, features));
        let bytes = |kept: &VecDeque<(Sight, Arc<Features>)>| kept.iter().map(|(_, one)| one.bytes()).sum::<usize>();
        while self.features.len() > 1 && bytes(&self.features) > KEPT_BYTES {
            self.features.pop_front();
        }
    }
}
