//! Weights as hob's own kernels want them: the matrices, and the graph that names their places in place of the published
//! ones. All other weights stay in the published files.

use super::shelf::{DATA, GRAPH};
use super::{PackError, Work};
use crate::operators::{Panels, operators};
use crate::prepare::place;
use crate::product::{Product, write};
use crate::session::{OpenSessionError, Session};
use std::path::Path;

pub(super) fn pack(work: &Work<'_>, into: &Path) -> Result<(), PackError> {
    let graph = place(work.origin.path, &work.content, work.origin.prepared.is_some(), &work.products)?;
    write(&work.graph, &work.products, &into.join(DATA), work.settings.crew().threads)?;
    let path = into.join(GRAPH);
    std::fs::write(&path, graph).map_err(PackError::file(&path))
}

pub(super) fn open(work: &Work<'_>, folder: &Path) -> Result<Session, PackError> {
    let (graph, data) = (folder.join(GRAPH), folder.join(DATA));
    let bytes = work.products.last().map_or(0, Product::end);
    let panels = Panels::open(&data, bytes).map_err(PackError::file(&data))?;
    let other =
        |error: ort::Error| OpenSessionError::Other { path: work.origin.path.to_owned(), reason: error.to_string() };
    let operators = operators(&panels, work.settings.crew().threads).map_err(other)?;
    let graph = std::fs::read(&graph).map_err(PackError::file(&graph))?;
    Ok(Session::open_placed(work.runtime, work.origin.path, &graph, &work.settings, operators)?)
}
