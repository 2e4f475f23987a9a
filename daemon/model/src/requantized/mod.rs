//! A model whose decoder was requantized on this board: what was done to it, and what that cost.

mod compare;

pub use compare::{CompareError, Comparison, compare};

use crate::folder::OpenModelError;
use hob_onnx::{Reasons, Requantized};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What the note of it is called inside the model's folder.
pub const REQUANTIZED_FILE: &str = "requantized.json";

/// The most that such a note may take: a few hundred matrices.
const MOST_BYTES: u64 = 1 << 20;

/// How a decoder was requantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequantizedNote {
    /// What the folder was called that it was made from.
    pub from: String,
    /// Of the graph in that folder, in hexadecimal digits.
    pub graph_sha256: String,
    /// The weights that one scale is for.
    pub block: usize,
    /// The version of hob that did it.
    pub hob: String,
    /// Products whose weights were requantized.
    pub products: usize,
    /// Products that stayed as they were, by the reason.
    pub left: Reasons,
    /// Relative errors of the weights, over all matrices.
    pub error: WeightError,
    /// The two models side by side; none where they could not be run.
    pub measured: Option<Comparison>,
    /// Why not.
    pub unmeasured: Option<String>,
    /// Each matrix.
    pub matrices: Vec<Requantized>,
}

/// Relative errors of matrices: roots of the mean square of what weights are off by, as shares of that of the published
/// weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightError {
    /// The mean over all matrices, each by its weights.
    pub mean: f64,
    /// The largest.
    pub max: f64,
    /// The matrix that has it.
    pub worst: String,
}

impl WeightError {
    /// Over matrices; zero for none.
    #[must_use]
    pub fn over(matrices: &[Requantized]) -> Self {
        let weights =
            |one: &Requantized| u32::try_from(one.weights / 1024).map_or(f64::from(u32::MAX), f64::from).max(1.0);
        let all: f64 = matrices.iter().map(weights).sum();
        let sum: f64 = matrices.iter().map(|one| one.relative_error * weights(one)).sum();
        let worst = matrices.iter().max_by(|one, other| one.relative_error.total_cmp(&other.relative_error));
        Self {
            mean: if all > 0.0 { sum / all } else { 0.0 },
            max: worst.map_or(0.0, |one| one.relative_error),
            worst: worst.map(|one| one.name.clone()).unwrap_or_default(),
        }
    }
}

impl RequantizedNote {
    /// The note in a folder; none in one that was not requantized here.
    ///
    /// # Errors
    /// [`OpenModelError`] for a note that cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, OpenModelError> {
        let path = folder.join(REQUANTIZED_FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenModelError::Unreadable { path, source }),
            Ok(_) => {}
        }
        match serde_json::from_str(&text) {
            Ok(note) => Ok(Some(note)),
            Err(error) => Err(OpenModelError::Broken { path, reason: error.to_string() }),
        }
    }

    /// Puts the note into a folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = File::create_new(folder.join(REQUANTIZED_FILE))?;
        io::Write::write_all(&mut file, &text)?;
        file.sync_all()
    }

    /// What was done and what it cost, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let mut lines = vec![format!("blocks of {} from {}: {} products", self.block, self.from, self.products)];
        if !self.left.0.is_empty() {
            lines.push(format!("left as they were: {}", self.left.in_words()));
        }
        let WeightError { mean, max, worst } = &self.error;
        lines.push(format!("weights off by {} in the mean, {} at most ({worst})", percent(*mean), percent(*max)));
        lines.push(match (&self.measured, &self.unmeasured) {
            (Some(measured), _) => measured.to_string(),
            (None, Some(reason)) => format!("not run beside the original: {reason}"),
            (None, None) => "not run beside the original".to_owned(),
        });
        lines
    }
}

/// The digits of the sha256 of a graph.
#[must_use]
pub fn graph_sha256(graph: &[u8]) -> String {
    Sha256::digest(graph).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
