//! The new files: all weights of the graph in one data file beside it, and the graph with what has changed in it.

use super::block::Loss;
use super::matrix::{Matrix, Part};
use super::{Requantization, RequantizeError, Requantized, WIDE_BLOCK};
use crate::graph::proto::{Attribute, Constant, EXTERNAL, Entry, Node, Value};
use crate::graph::{Graph, Weights};
use crate::prepare::wire::{self, fields, tag};
use crate::share_out::share_out;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read at a time, about, by each thread.
const CHUNK: usize = 4 << 20;

/// Weights begin at whole pages where they are large, so that they can be mapped by themselves.
const PAGE: u64 = 4096;
const LARGE: u64 = 1 << 20;
/// Small ones begin where any processor reads them well.
const ALIGNED: u64 = 64;

/// Kinds of settings that hold graphs of their own, which may read constants of the outer one.
const GRAPHS: [i32; 2] = [5, 10];

/// Whether a graph is written so that its constants can be moved.
pub(super) fn check(graph: &Graph, content: &[u8]) -> Result<(), RequantizeError> {
    let foreign = |reason: String| RequantizeError::Foreign { path: graph.path().to_owned(), reason };
    for attribute in graph.nodes().flat_map(|node| &node.attributes) {
        if GRAPHS.contains(&attribute.kind) {
            return Err(foreign("it has operators with graphs of their own".to_owned()));
        }
        if attribute.tensor.as_ref().is_some_and(|tensor| tensor.location == EXTERNAL) {
            return Err(foreign("an operator keeps a constant of its own in a data file".to_owned()));
        }
    }
    let graphs = fields(content).map_err(foreign)?.iter().filter(|field| field.tag == tag::MODEL_GRAPH).count();
    if graphs != 1 {
        return Err(foreign("it is written in several pieces".to_owned()));
    }
    let mut names = HashSet::new();
    match graph.initializers().iter().find(|constant| !names.insert(&constant.name)) {
        Some(twice) => Err(foreign(format!("two constants are called '{}'", twice.name))),
        None => Ok(()),
    }
}

/// Where something lies in the new data file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u64,
}

/// All that goes into the data file.
struct Layout<'a> {
    places: HashMap<&'a str, Place>,
    /// Constants that are moved and stay as they are.
    kept: Vec<(&'a str, Weights)>,
    bytes: u64,
}

/// The new data file.
struct Data<'a> {
    file: File,
    path: &'a Path,
}

impl Data<'_> {
    fn put(&self, bytes: &[u8], at: u64) -> Result<(), RequantizeError> {
        let unwritable = |source| RequantizeError::Unwritable { path: self.path.to_owned(), source };
        self.file.write_all_at(bytes, at).map_err(unwritable)
    }
}

/// What one thread does at a time.
enum Task<'a> {
    Rows { matrix: usize, rows: std::ops::Range<usize> },
    Copy { weights: &'a Weights, from: usize, to: usize, place: Place },
}

impl Requantization {
    /// How many bytes the new files take.
    ///
    /// # Errors
    /// [`RequantizeError::Weights`] for a constant that its file has not.
    pub fn bytes(&self) -> Result<u64, RequantizeError> {
        let graph = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
        Ok(self.layout()?.bytes.saturating_add(graph))
    }

    /// Bytes of weights that are read in all; `report` of [`Requantization::write`] is told parts of it.
    ///
    /// # Errors
    /// As [`Requantization::bytes`].
    pub fn bytes_to_read(&self) -> Result<u64, RequantizeError> {
        let kept = self.layout()?.kept.iter().map(|(_, weights)| weights.bytes()).sum::<u64>();
        let rows = self.matrices.iter().map(|matrix| count(matrix.rows.saturating_mul(matrix.old_row())));
        Ok(rows.fold(kept, u64::saturating_add))
    }

    /// Writes the graph into the folder, under its own name, and its weights beside it, as `<graph>_data`. Both are synced.
    /// `report` is told how many bytes more were read, `stopped` is asked between a few megabytes.
    ///
    /// # Errors
    /// [`RequantizeError`]; what was written so far is left for the caller to remove.
    pub fn write(
        &self,
        folder: &Path,
        threads: NonZero<usize>,
        report: &(dyn Fn(u64) + Sync),
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Requantized>, RequantizeError> {
        let foreign =
            |reason: &str| RequantizeError::Foreign { path: self.graph.path().to_owned(), reason: reason.to_owned() };
        let name = self.graph.path().file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| foreign("its name is no text"))?;
        let data_name = format!("{name}_data");
        let (graph_path, data_path) = (folder.join(name), folder.join(&data_name));
        let layout = self.layout()?;
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| RequantizeError::Unwritable { path, source }
        };
        let data = File::create_new(&data_path).map_err(unwritable(&data_path))?;
        data.set_len(layout.bytes).map_err(unwritable(&data_path))?;
        let data = Data { file: data, path: &data_path };
        let losses = self.write_weights(&layout, threads, &data, report, stopped)?;
        data.file.sync_all().map_err(unwritable(&data_path))?;
        let graph = self.graph_with(&layout, &data_name).map_err(|reason| foreign(&reason))?;
        let mut file = File::create_new(&graph_path).map_err(unwritable(&graph_path))?;
        std::io::Write::write_all(&mut file, &graph).map_err(unwritable(&graph_path))?;
        file.sync_all().map_err(unwritable(&graph_path))?;
        let told = |(matrix, loss): (&Matrix, Loss)| Requantized {
            name: matrix.numbers.name.clone(),
            weights: matrix.weights(),
            relative_error: loss.relative(),
        };
        Ok(self.matrices.iter().zip(losses).map(told).collect())
    }

    fn layout(&self) -> Result<Layout<'_>, RequantizeError> {
        let new: HashMap<&str, u64> = self
            .matrices
            .iter()
            .flat_map(|matrix| matrix.parts().map(|part| (part.name.as_str(), part.bytes(matrix.rows))))
            .collect();
        let mut layout = Layout { places: HashMap::new(), kept: Vec::new(), bytes: 0 };
        for constant in self.graph.initializers() {
            let name = constant.name.as_str();
            let length = match new.get(name) {
                Some(bytes) => *bytes,
                None if constant.location == EXTERNAL => {
                    let weights = Weights::raw(constant, self.graph.path())?;
                    let bytes = weights.bytes();
                    layout.kept.push((name, weights));
                    bytes
                }
                None => continue,
            };
            let offset = layout.bytes.next_multiple_of(if length >= LARGE { PAGE } else { ALIGNED });
            layout.places.insert(name, Place { offset, length });
            layout.bytes = offset.saturating_add(length);
        }
        Ok(layout)
    }

    /// In the order of the file, each thread taking the next piece of work. Returns what each matrix lost, summed in the
    /// same order however many threads there are.
    fn write_weights(
        &self,
        layout: &Layout<'_>,
        threads: NonZero<usize>,
        data: &Data<'_>,
        report: &(dyn Fn(u64) + Sync),
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Loss>, RequantizeError> {
        let tasks = self.tasks(layout);
        let parts = share_out(&tasks, threads.get(), RequantizeError::Stopped, |task| {
            if stopped() {
                return Err(RequantizeError::Stopped);
            }
            let (read, loss) = self.carry_out(task, layout, data)?;
            report(read);
            Ok(loss)
        })?;
        let mut losses = vec![Loss::default(); self.matrices.len()];
        for (matrix, loss) in parts.into_iter().flatten() {
            losses[matrix].add(loss);
        }
        Ok(losses)
    }

    fn tasks<'a>(&self, layout: &'a Layout<'_>) -> Vec<Task<'a>> {
        let mut tasks = Vec::new();
        for (place, matrix) in self.matrices.iter().enumerate() {
            let at_once = (CHUNK / matrix.old_row().max(1)).max(1);
            let starts = (0..matrix.rows).step_by(at_once);
            tasks.extend(
                starts.map(|start| Task::Rows { matrix: place, rows: start..matrix.rows.min(start + at_once) }),
            );
        }
        for (name, weights) in &layout.kept {
            let Some(place) = layout.places.get(name).copied() else { continue };
            let all = weights.rows();
            let starts = (0..all).step_by(CHUNK);
            tasks.extend(starts.map(|from| Task::Copy { weights, from, to: all.min(from + CHUNK), place }));
        }
        tasks
    }

    /// Returns how many bytes were read, and what of which matrix was lost.
    fn carry_out(
        &self,
        task: &Task<'_>,
        layout: &Layout<'_>,
        data: &Data<'_>,
    ) -> Result<(u64, Option<(usize, Loss)>), RequantizeError> {
        match task {
            Task::Copy { weights, from, to, place } => {
                let mut bytes = vec![0; to - from];
                weights.read_at(*from, &mut bytes)?;
                data.put(&bytes, place.offset + count(*from))?;
                Ok((count(bytes.len()), None))
            }
            Task::Rows { matrix: number, rows } => {
                let matrix = &self.matrices[*number];
                let no_number = || RequantizeError::NoNumber {
                    path: self.graph.path().to_owned(),
                    name: matrix.scales.name.clone(),
                };
                let (new, loss) = matrix.requantize(rows)?.ok_or_else(no_number)?;
                let put_part = |part: &Part, bytes: &[u8]| match layout.places.get(part.name.as_str()) {
                    Some(place) => data.put(bytes, place.offset + count(rows.start * part.new_row)),
                    None => Ok(()),
                };
                put_part(&matrix.numbers, &new.numbers)?;
                put_part(&matrix.scales, &new.scales)?;
                matrix.points.as_ref().map_or(Ok(()), |part| put_part(part, &new.points))?;
                Ok((count(rows.len() * matrix.old_row()), Some((*number, loss))))
            }
        }
    }

    /// The graph, everything that has not changed byte for byte as it stood.
    fn graph_with(&self, layout: &Layout<'_>, data: &str) -> Result<Vec<u8>, String> {
        let operators: HashSet<&str> =
            self.matrices.iter().flat_map(|matrix| &matrix.operators).map(String::as_str).collect();
        let parts = self.matrices.iter().flat_map(Matrix::parts);
        let reshaped: HashMap<&str, &[usize]> = parts.map(|part| (part.name.as_str(), part.dims.as_slice())).collect();
        let mut out = Vec::with_capacity(self.content.len());
        for field in fields(&self.content)? {
            if field.tag != tag::MODEL_GRAPH {
                field.copy_to(&mut out);
                continue;
            }
            let mut body = Vec::with_capacity(field.content.len());
            for field in fields(field.content)? {
                let changed = match field.tag {
                    tag::NODE => {
                        let node = Node::decode(field.content).map_err(|error| error.to_string())?;
                        let is_one = node.outputs.iter().any(|output| operators.contains(output.as_str()));
                        is_one.then(|| with_wide_blocks(field.content)).transpose()?
                    }
                    tag::INITIALIZER => {
                        let constant = Constant::decode(field.content).map_err(|error| error.to_string())?;
                        let place = layout.places.get(constant.name.as_str());
                        let dims = reshaped.get(constant.name.as_str()).copied();
                        place.map(|place| moved(field.content, dims, *place, data)).transpose()?
                    }
                    // Noted shapes of constants do not hold any more.
                    tag::VALUE_INFO => match Value::decode(field.content) {
                        Ok(value) if reshaped.contains_key(value.name.as_str()) => continue,
                        Ok(_) | Err(_) => None,
                    },
                    _ => None,
                };
                match changed {
                    Some(content) => wire::put(&mut body, field.tag, &content),
                    None => field.copy_to(&mut body),
                }
            }
            wire::put(&mut out, field.tag, &body);
        }
        Ok(out)
    }
}

/// An operator that takes the new blocks.
fn with_wide_blocks(node: &[u8]) -> Result<Vec<u8>, String> {
    const NAME: &str = "block_size";
    const INTEGER: i32 = 2;
    let mut out = Vec::with_capacity(node.len());
    for field in fields(node)? {
        let is_size = field.tag == tag::NODE_ATTRIBUTE
            && Attribute::decode(field.content).is_ok_and(|attribute| attribute.name == NAME);
        if !is_size {
            field.copy_to(&mut out);
        }
    }
    let integer = i64::try_from(WIDE_BLOCK).unwrap_or(i64::MAX);
    let size = Attribute { name: NAME.to_owned(), integer, kind: INTEGER, ..Attribute::default() };
    wire::put_message(&mut out, tag::NODE_ATTRIBUTE, &size);
    Ok(out)
}

/// A constant that lies elsewhere, with other dimensions where they are given.
fn moved(constant: &[u8], dims: Option<&[usize]>, place: Place, data: &str) -> Result<Vec<u8>, String> {
    // Field numbers of `TensorProto`: dimensions, numbers in the graph, place outside.
    const DIMS: u32 = 1;
    const REPLACED: [u32; 10] = [4, 5, 6, 7, 9, 10, 11, 13, 14, DIMS];
    let mut out = Vec::with_capacity(constant.len());
    for field in fields(constant)? {
        if !REPLACED.contains(&field.tag) || (field.tag == DIMS && dims.is_none()) {
            field.copy_to(&mut out);
        }
    }
    let entry = |key: &str, value: String| Entry { key: key.to_owned(), value };
    let external = vec![
        entry("location", data.to_owned()),
        entry("offset", place.offset.to_string()),
        entry("length", place.length.to_string()),
    ];
    let dims = dims.unwrap_or_default().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect();
    out.extend(Constant { dims, external, location: EXTERNAL, ..Constant::default() }.encode_to_vec());
    Ok(out)
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
