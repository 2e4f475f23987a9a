//! Matrices into a file, in panels.

use super::find::Product;
use crate::graph::{Graph, WeightsError};
use crate::share_out::share_out;
use hob_kernels::{PANEL, PackError, Published, pack};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of panels that are made at a time, about, by each thread.
const CHUNK: usize = 4 << 20;

/// Why matrices could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("cannot write {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the weights '{0}' are not there any more")]
    Gone(String),
    #[error("a thread that packed weights has ended")]
    Thread,
}

/// Writes the matrices into a new file, and syncs it. What the system keeps of it in memory is let go again, since it
/// lies there in the small pages in which it was written: read anew, it comes in large ones where the system has them.
pub(crate) fn write(graph: &Graph, products: &[Product], path: &Path, threads: usize) -> Result<(), WriteError> {
    let failed = |source| WriteError::File { path: path.to_owned(), source };
    let file = File::create_new(path).map_err(failed)?;
    file.set_len(products.last().map_or(0, Product::end)).map_err(failed)?;
    let tasks: Vec<(&Product, Range<usize>)> = products.iter().flat_map(tasks).collect();
    let put = |(product, panels): &(&Product, Range<usize>)| put(graph, product, panels, &file, path);
    share_out(&tasks, threads, WriteError::Thread, put)?;
    file.sync_all().map_err(failed)?;
    // Where the system does not listen, pages stay small and reading slower.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).ok();
    Ok(())
}

/// A matrix, some panels at a time.
fn tasks(product: &Product) -> impl Iterator<Item = (&Product, Range<usize>)> {
    let (panels, at_once) = (product.form.panels(), (CHUNK / product.form.panel_bytes()).max(1));
    (0..panels).step_by(at_once).map(move |first| (product, first..panels.min(first + at_once)))
}

fn put(graph: &Graph, product: &Product, panels: &Range<usize>, file: &File, path: &Path) -> Result<(), WriteError> {
    let Product { form, offset, names, .. } = product;
    let rows = panels.start * PANEL..form.rows().min(panels.end * PANEL);
    let [numbers_row, scales_row, points_row] = form.published_row();
    // Opened for each piece: all of them at once would be more files than a process may have open.
    let read = |name: &String, row: usize| -> Result<Vec<u8>, WriteError> {
        let mut bytes = vec![0; rows.len() * row];
        if row > 0 {
            let weights = graph.initializer_weights(name)?.ok_or_else(|| WriteError::Gone(name.clone()))?;
            weights.read_at(rows.start * row, &mut bytes)?;
        }
        Ok(bytes)
    };
    let [numbers, scales, points] = names;
    let (numbers, scales, points) = (read(numbers, numbers_row)?, read(scales, scales_row)?, read(points, points_row)?);
    let mut packed = vec![0; panels.len() * form.panel_bytes()];
    pack(form, Published { numbers: &numbers, scales: &scales, points: &points }, &mut packed)?;
    let place = u64::try_from(panels.start * form.panel_bytes()).unwrap_or(u64::MAX);
    file.write_all_at(&packed, offset.saturating_add(place))
        .map_err(|source| WriteError::File { path: path.to_owned(), source })
}
