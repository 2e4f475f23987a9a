//! Rewriting a published decoder into one that does the same with less work.
//!
//! Each pass is proven on the graph in front of it: where numbers come from, what a mask hides, which operators see which
//! tokens. What is not recognised is left as published, and said so. The weights are not touched: a prepared graph names
//! the published data files, and is opened with [`Session::open_prepared`](crate::Session::open_prepared).

mod accuracy;
mod attend;
mod attention;
mod cells;
mod counts;
mod cut;
mod draft;
mod fuse;
mod gate;
mod heads;
mod in_place;
mod mask;
mod names;
mod place;
mod report;
mod residual;
mod rows;
mod shapes;
#[cfg(test)]
mod tests;
mod unmask;
pub(crate) mod wire;
mod world;

pub use draft::DraftError;
pub use in_place::grows_in_place;
pub(crate) use place::place;
pub use report::{Outcome, Pass};

use draft::Draft;
use std::collections::BTreeSet;
use std::path::Path;

/// Goes up whenever a graph is rewritten in another way than before.
pub const REWRITING: u32 = 2;

/// A graph that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The file; weights are named as in the published one.
    pub graph: Vec<u8>,
    /// What became of each pass, in order.
    pub outcomes: Vec<Outcome>,
}

/// Rewrites the graph that stands in the file `path`, by the passes that are wanted.
///
/// # Errors
/// [`DraftError`] for a file that is no graph, or one that nothing is changed in.
pub fn rewrite(path: &Path, published: &[u8], passes: &BTreeSet<Pass>) -> Result<Rewritten, DraftError> {
    let mut draft = Draft::read(path, published)?;
    let mut outcomes = Vec::new();
    let wants = |pass: Pass| passes.contains(&pass);
    if wants(Pass::Fuse) {
        outcomes.extend(fuse::fuse(&mut draft));
    }
    if wants(Pass::Unmask) {
        outcomes.push(unmask::unmask(&mut draft));
    }
    draft.remove_unread()?;
    if wants(Pass::Cut) {
        outcomes.push(cut::cut(&mut draft)?);
    }
    if wants(Pass::InPlace) {
        outcomes.push(in_place::mark(&mut draft));
    }
    if wants(Pass::Accuracy) {
        outcomes.push(accuracy::round(&mut draft));
    }
    Ok(Rewritten { graph: draft.written()?, outcomes })
}
