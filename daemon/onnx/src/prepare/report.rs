//! What was rewritten, and what was not and why.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One kind of rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Attention that is written out becomes one operator.
    Fuse,
    /// Layers that share keys and values read them where they are.
    Share,
    /// Masks that say what the operator knows are left out.
    Unmask,
    /// Layers that keep nothing run for the tokens whose logits are wanted.
    Cut,
    /// Caches are grown where they lie.
    InPlace,
    /// Activations are rounded to 8 bits for quantized products.
    Accuracy,
}

impl Pass {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 6] = [Self::Fuse, Self::Share, Self::Unmask, Self::Cut, Self::InPlace, Self::Accuracy];

    fn what(self) -> &'static str {
        match self {
            Self::Fuse => "attention in one operator",
            Self::Share => "keys and values shared without a copy",
            Self::Unmask => "masks left out",
            Self::Cut => "prefill cut to the wanted tokens",
            Self::InPlace => "caches grown in place",
            Self::Accuracy => "8-bit activations",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

/// What became of one kind of rewriting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which.
    pub pass: Pass,
    /// Places that were rewritten.
    pub took: usize,
    /// Places that were left as published, each with the reason.
    pub left: Vec<String>,
    /// Why there was nothing to do, or what else is to be said.
    pub note: Option<String>,
}

/// Places of one pass that are named; more are counted only.
const NAMED: usize = 4;

impl Outcome {
    pub(super) fn of(pass: Pass) -> Self {
        Self { pass, took: 0, left: Vec::new(), note: None }
    }

    pub(super) fn left(&mut self, place: &str, reason: &str) {
        self.left.push(format!("{place}: {reason}"));
    }
}

/// `attention in one operator: 7 places; left: …`
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.pass)?;
        match (self.took, &self.note) {
            (0, Some(note)) => write!(f, "{note}")?,
            (took, Some(note)) => write!(f, "{took} ({note})")?,
            (took, None) => write!(f, "{took}")?,
        }
        if !self.left.is_empty() {
            let more = self.left.len().saturating_sub(NAMED);
            let named: Vec<&str> = self.left.iter().take(NAMED).map(String::as_str).collect();
            write!(f, "; {} left as published: {}", self.left.len(), named.join("; "))?;
            if more > 0 {
                write!(f, "; and {more} more")?;
            }
        }
        Ok(())
    }
}
