//! A decoder whose 4-bit weights have one scale for 128 in place of 32: fewer scales to read and to hold, faster kernels,
//! and less exact weights.
//!
//! Unlike `prepare` this changes the weights, so it is never done unasked, and writes a graph and a data file of its own.
//! [`Requantization::read`] tells what would be done, [`Requantization::write`] does it: a few megabytes at a time, and the
//! same bytes every time. How a block is chosen is in `block`.

mod block;
mod file;
mod matrix;
#[cfg(test)]
mod tests;

use crate::graph::{Graph, ReadGraphError, WeightsError};
use matrix::Matrix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The weights that one scale is for afterwards.
pub const WIDE_BLOCK: usize = block::MANY;

/// Goes up whenever the same weights would be requantized otherwise.
pub const REQUANTIZING: u32 = 1;

/// Why a decoder is not requantized.
#[derive(Debug, thiserror::Error)]
pub enum RequantizeError {
    /// The graph cannot be read.
    #[error(transparent)]
    Graph(#[from] ReadGraphError),
    /// Its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The graph is written in a way that is not taken apart here.
    #[error("{path} is left as it is: {reason}")]
    Foreign {
        /// The graph.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
    /// There is nothing in it to do.
    #[error("nothing in {path} can be requantized to blocks of {WIDE_BLOCK}: {}", reasons.in_words())]
    Nothing {
        /// The graph.
        path: PathBuf,
        /// Products that are left, by reason.
        reasons: Reasons,
    },
    /// A scale in the file is not finite.
    #[error("the weights '{name}' in {path} are damaged (a scale is no number): fetch it again")]
    NoNumber {
        /// The graph.
        path: PathBuf,
        /// The constant.
        name: String,
    },
    /// The disk refused.
    #[error("cannot write {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Someone ended it.
    #[error("it was ended before it was done")]
    Stopped,
}

/// How many products are left as they are, by the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reasons(pub BTreeMap<String, usize>);

impl Reasons {
    /// `2 with blocks of 128; 1 with 8 bits`
    #[must_use]
    pub fn in_words(&self) -> String {
        if self.0.is_empty() {
            return "it has no MatMulNBits".to_owned();
        }
        let words: Vec<String> = self.0.iter().map(|(reason, count)| format!("{count} with {reason}")).collect();
        words.join("; ")
    }
}

/// What became of one matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requantized {
    /// The constant.
    pub name: String,
    /// How many weights it has.
    pub weights: u64,
    /// Root of the mean square of what its weights are off by, as a share of that of the published weights.
    pub relative_error: f64,
}

/// A decoder that can be requantized, and nothing of it read yet but the graph.
#[derive(Debug)]
pub struct Requantization {
    graph: Graph,
    content: Vec<u8>,
    matrices: Vec<Matrix>,
    left: Reasons,
}

impl Requantization {
    /// Finds what can be requantized in a graph: products of 4 bits with blocks of 32 whose depth 128 divides. The sizes of
    /// their weights are held to the files that have them.
    ///
    /// # Errors
    /// [`RequantizeError`]; [`RequantizeError::Nothing`] where no product can be.
    pub fn read(path: &Path) -> Result<Self, RequantizeError> {
        let content = Graph::content(path)?;
        let graph = Graph::parse(path, &content)?;
        file::check(&graph, &content)?;
        let (matrices, left) = matrix::find(&graph)?;
        if matrices.is_empty() {
            return Err(RequantizeError::Nothing { path: path.to_owned(), reasons: left });
        }
        Ok(Self { graph, content, matrices, left })
    }

    /// How many products there are that can be.
    #[must_use]
    pub fn products(&self) -> usize {
        self.matrices.iter().map(|matrix| matrix.products).sum()
    }

    /// Those that cannot be and stay as they are.
    #[must_use]
    pub fn left(&self) -> &Reasons {
        &self.left
    }

    /// The graph as it is: what the new one is made from.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}
