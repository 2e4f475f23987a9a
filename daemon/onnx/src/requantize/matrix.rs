//! Which weights can be requantized.

use super::block::{FEW, Form, Loss, MANY, NewRows, Rows, requantize};
use super::{Reasons, RequantizeError};
use crate::graph::{Graph, Node, NumberKind, Weights};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// One quantized matrix: `rows` of `depth` weights each, of which [`MANY`] in a row can have one scale.
#[derive(Debug)]
pub(super) struct Matrix {
    /// The constants.
    pub(super) numbers: Part,
    pub(super) scales: Part,
    pub(super) points: Option<Part>,
    /// Names of the operators that it is for.
    pub(super) operators: Vec<String>,
    pub(super) products: usize,
    pub(super) rows: usize,
    depth: usize,
    form: Form,
}

/// One of the constants that a matrix is kept in.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    old: Weights,
    /// Bytes of a row now, and in the new form.
    old_row: usize,
    pub(super) new_row: usize,
    /// Its dimensions in the new form.
    pub(super) dims: Vec<usize>,
}

/// What a product is to be told from others by.
type Shape = (i64, i64, [String; 3]);

/// Finds the matrices of a graph that can be requantized, and counts the products that cannot be.
pub(super) fn find(graph: &Graph) -> Result<(Vec<Matrix>, Reasons), RequantizeError> {
    let mut left = BTreeMap::new();
    let mut places: HashMap<Shape, usize> = HashMap::new();
    let mut found: Vec<(Shape, Vec<&Node>)> = Vec::new();
    for node in graph.nodes().filter(|node| node.is_contrib("MatMulNBits")) {
        match shape(node) {
            Ok(shape) => {
                let place = *places.entry(shape.clone()).or_insert(found.len());
                match found.get_mut(place) {
                    Some((_, nodes)) => nodes.push(node),
                    None => found.push((shape, vec![node])),
                }
            }
            Err(reason) => *left.entry(reason).or_insert(0) += 1,
        }
    }
    let mut readers: HashMap<&str, usize> = HashMap::new();
    for input in graph.nodes().flat_map(|node| &node.inputs) {
        *readers.entry(input).or_insert(0) += 1;
    }
    let mut matrices = Vec::new();
    for (shape, nodes) in found {
        let (_, _, names) = &shape;
        let shared = names.iter().any(|name| {
            let others = readers.get(name.as_str()).is_some_and(|readers| *readers != nodes.len());
            !name.is_empty() && (others || graph.is_port(name))
        });
        match matrix(graph, &shape, &nodes)? {
            Some(matrix) if !shared => matrices.push(matrix),
            Some(_) => *left.entry("weights that something else reads too".to_owned()).or_insert(0) += nodes.len(),
            None => *left.entry("weights kept in another way".to_owned()).or_insert(0) += nodes.len(),
        }
    }
    Ok((matrices, Reasons(left)))
}

/// What a product says about its matrix, or why it stays as it is.
fn shape(node: &Node) -> Result<Shape, String> {
    let number = |name: &str, usual| node.integer(name).unwrap_or(usual);
    let (bits, block, depth) = (number("bits", 4), number("block_size", 0), number("K", 0));
    let input = |place: usize| node.inputs.get(place).cloned().unwrap_or_default();
    let (few, many) = (i64::try_from(FEW).unwrap_or(0), i64::try_from(MANY).unwrap_or(0));
    match () {
        () if bits != 4 => Err(format!("{bits} bits")),
        () if block != few => Err(format!("blocks of {block}")),
        () if depth <= 0 || depth % many != 0 => Err(format!("{depth} weights to a row, which {many} does not divide")),
        () if !input(4).is_empty() => Err("rows in an order of their own".to_owned()),
        () if number("weight_prepacked", 0) != 0 => Err("weights packed for one processor".to_owned()),
        () => Ok((number("N", 0), depth, [1, 2, 3].map(input))),
    }
}

/// None where the weights are not kept as the operator's description has it.
fn matrix(graph: &Graph, shape: &Shape, nodes: &[&Node]) -> Result<Option<Matrix>, RequantizeError> {
    let (rows, depth, [numbers, scales, points]) = shape;
    let (Ok(rows), Ok(depth)) = (usize::try_from(*rows), usize::try_from(*depth)) else { return Ok(None) };
    let blocks = depth / FEW;
    let initializer = |name: &str| graph.initializer_weights(name);
    let (Some(old), Some(old_scales)) = (initializer(numbers)?, initializer(scales)?) else { return Ok(None) };
    let form = Form { half: old_scales.kind == NumberKind::F16, points: !points.is_empty() };
    let numbers_fit = old.kind == NumberKind::U8 && old.dims == [rows, blocks, FEW / 2];
    let scales_fit = matches!(old_scales.kind, NumberKind::F32 | NumberKind::F16);
    let per_scale = old_scales.kind.bytes();
    let flat = |part: &Weights, row: usize| part.dims == [rows * row] || part.dims == [rows, row];
    if !numbers_fit || !scales_fit || !flat(&old_scales, blocks) {
        return Ok(None);
    }
    let points = match form.points {
        false => None,
        true => match initializer(points)? {
            Some(old) if old.kind == NumberKind::U8 && flat(&old, blocks / 2) => {
                Some(Part::new(points, old, rows, blocks / 2, (depth / MANY).div_ceil(2), 1))
            }
            _ => return Ok(None),
        },
    };
    let dims = vec![rows, depth / MANY, MANY / 2];
    Ok(Some(Matrix {
        numbers: Part { name: numbers.clone(), old, old_row: depth / 2, new_row: depth / 2, dims },
        scales: Part::new(scales, old_scales, rows, blocks, depth / MANY, per_scale),
        points,
        operators: nodes.iter().flat_map(|node| &node.outputs).cloned().collect(),
        products: nodes.len(),
        rows,
        depth,
        form,
    }))
}

impl Part {
    /// `old_row` and `new_row` values to a row, `each` bytes to a value; flat where it was flat.
    fn new(name: &str, old: Weights, rows: usize, old_row: usize, new_row: usize, each: usize) -> Self {
        let dims = if old.dims.len() == 1 { vec![rows * new_row] } else { vec![rows, new_row] };
        Self { name: name.to_owned(), old, old_row: old_row * each, new_row: new_row * each, dims }
    }

    /// Bytes in the new form.
    pub(super) fn bytes(&self, rows: usize) -> u64 {
        u64::try_from(self.new_row.saturating_mul(rows)).unwrap_or(u64::MAX)
    }

    fn read(&self, rows: &Range<usize>) -> Result<Vec<u8>, RequantizeError> {
        let mut bytes = vec![0; rows.len() * self.old_row];
        self.old.read_at(rows.start * self.old_row, &mut bytes)?;
        Ok(bytes)
    }
}

impl Matrix {
    /// Its constants in the order in which they are written.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.numbers, &self.scales].into_iter().chain(&self.points)
    }

    pub(super) fn weights(&self) -> u64 {
        u64::try_from(self.rows.saturating_mul(self.depth)).unwrap_or(u64::MAX)
    }

    /// Bytes that a row takes now.
    pub(super) fn old_row(&self) -> usize {
        self.parts().map(|part| part.old_row).sum()
    }

    /// Reads some rows and gives them in the new form; none where a scale is no number.
    pub(super) fn requantize(&self, rows: &Range<usize>) -> Result<Option<(NewRows, Loss)>, RequantizeError> {
        let (numbers, scales) = (self.numbers.read(rows)?, self.scales.read(rows)?);
        let points = self.points.as_ref().map(|part| part.read(rows)).transpose()?.unwrap_or_default();
        let old = Rows { numbers: &numbers, scales: &scales, points: &points };
        Ok(requantize(old, self.depth, self.form))
    }
}
