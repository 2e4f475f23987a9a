//! Weights as ONNX Runtime's kernels want them: the graph as it was optimized, with the packed matrices beside it. The
//! matrices that they were made of are in that file too, since not every kernel can do without, and cost room on the disk
//! alone.

use super::shelf::{DATA, GRAPH};
use super::{PackError, Work};
use crate::session::{OpenSessionError, Session, WEIGHTS_FOLDER, configured};
use std::path::Path;

/// Opens the graph once in the usual way, and has ONNX Runtime write what it made of it: five times as long as opening.
pub(super) fn pack(work: &Work<'_>, into: &Path) -> Result<(), PackError> {
    let Work { runtime, origin, settings, .. } = work;
    let mut settings = settings.clone();
    let mut entry = |key: &str, value: &str| settings.entries.push((key.to_owned(), value.to_owned()));
    entry("session.save_external_prepacked_constant_initializers", "1");
    entry("session.optimized_model_external_initializers_file_name", DATA);
    entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024");
    if origin.prepared.is_some() {
        entry(WEIGHTS_FOLDER, &origin.path.parent().unwrap_or(Path::new("")).to_string_lossy());
    }
    let other = |error: &dyn std::fmt::Display| OpenSessionError::Other {
        path: origin.path.to_owned(),
        reason: error.to_string(),
    };
    let builder = configured(runtime, &settings, None).map_err(|error| other(&error))?;
    let mut builder = builder.with_optimized_model_path(into.join(GRAPH)).map_err(|error| other(&error))?;
    let session = match origin.prepared {
        Some(graph) => builder.commit_from_memory(graph),
        None => builder.commit_from_file(origin.path),
    };
    Ok(session.map(drop).map_err(|error| other(&error))?)
}

pub(super) fn open(work: &Work<'_>, folder: &Path) -> Result<Session, PackError> {
    Ok(Session::open(work.runtime, &folder.join(GRAPH), &work.settings)?)
}
