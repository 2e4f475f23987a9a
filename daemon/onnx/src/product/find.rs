//! Which products of a graph hob's kernels carry out.

use crate::graph::{Graph, Node, NumberKind, Weights};
use hob_kernels::{Bits, Form, Scales};
use std::collections::HashMap;

/// Activations are rounded to 8 bits.
const INT8: i64 = 4;

/// Where a matrix begins in its file: with a page, so that the system can drop and fetch it by itself.
const PAGE: u64 = 4096;

/// One matrix, and the operators that multiply with it.
#[derive(Debug)]
pub(crate) struct Product {
    /// The first output of each of those operators.
    pub(crate) outputs: Vec<String>,
    pub(crate) form: Form,
    /// Where its panels begin in the file.
    pub(crate) offset: u64,
    /// Names of its weights, its scales and its zero points; the last is empty where it has none.
    pub(super) names: [String; 3],
}

impl Product {
    /// Where its panels end.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::try_from(self.form.bytes()).unwrap_or(u64::MAX))
    }
}

/// Finds the products of a graph whose matrices can lie in panels. The same graph gives the same places in the file.
pub(crate) fn find(graph: &Graph) -> Vec<Product> {
    let mut places: HashMap<[&str; 3], usize> = HashMap::new();
    let mut found: Vec<Product> = Vec::new();
    for node in graph.nodes() {
        let output = node.outputs.first().filter(|output| !output.is_empty());
        let Some((output, form)) = output.zip(form_of(graph, node)) else { continue };
        let names = [1, 2, 3].map(|place| node.inputs.get(place).map_or("", String::as_str));
        if let Some(product) = places.get(&names).and_then(|place| found.get_mut(*place)) {
            // Else one operator says of the same matrix what another does not.
            if product.form == form {
                product.outputs.push(output.clone());
            }
            continue;
        }
        // A file that no disk holds is for nobody.
        let Some(offset) = found.last().map_or(0, Product::end).checked_next_multiple_of(PAGE) else { break };
        places.insert(names, found.len());
        found.push(Product { outputs: vec![output.clone()], form, offset, names: names.map(str::to_owned) });
    }
    found
}

/// How the matrix of an operator lies in panels; none for an operator that is left to ONNX Runtime.
pub(crate) fn form_of(graph: &Graph, node: &Node) -> Option<Form> {
    let number = |name: &str, usual: i64| usize::try_from(node.integer(name).unwrap_or(usual)).ok();
    let input = |place: usize| node.inputs.get(place).map_or("", String::as_str);
    let rounds = node.is_contrib("MatMulNBits") && node.integer("accuracy_level") == Some(INT8);
    // An order of rows of its own, or something added: no published Gemma 4 has them.
    let plain = input(4).is_empty() && input(5).is_empty() && node.integer("weight_prepacked").unwrap_or(0) == 0;
    if !rounds || !plain || input(0).is_empty() {
        return None;
    }
    let (rows, depth, block) = (number("N", 0)?, number("K", 0)?, number("block_size", 0)?);
    let weights = |name: &str| graph.initializer_weights(name).ok().flatten();
    let (numbers, scales) = (weights(input(1))?, weights(input(2))?);
    let kept = match scales.kind {
        NumberKind::F16 => Scales::Half,
        NumberKind::F32 => Scales::Single,
        NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => return None,
    };
    let with_points = !input(3).is_empty();
    let form = Form::new(rows, depth, block, Bits::of(number("bits", 4)?)?, kept, with_points).ok()?;
    let [numbers_row, scales_row, points_row] = form.published_row();
    let whole = |weights: &Weights, row: usize| {
        usize::try_from(weights.bytes()).is_ok_and(|bytes| Some(bytes) == row.checked_mul(rows))
    };
    let fits = numbers.kind == NumberKind::U8 && whole(&numbers, numbers_row) && whole(&scales, scales_row);
    let points_fit = !with_points
        || weights(input(3)).is_some_and(|points| points.kind == NumberKind::U8 && whole(&points, points_row));
    (fits && points_fit).then_some(form)
}
