//! A graph with hob's own operators: products, which know their matrix by a place in a file, and what stands between them.

use super::draft::{Draft, DraftError, operator};
use super::wire::fields;
use super::world::{Tokens, World};
use super::{attend, gate, heads, in_place, residual};
use crate::graph::{Node, NumberKind};
use crate::operators::{DOMAIN, Own};
use crate::product::Product;
use hob_kernels::Scales;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How many tokens a graph is looked at with, and for how many of them logits are wanted, to see which shapes are alike.
const LOOKS: [(Tokens, usize); 2] = [(Tokens { past: 13, new: 7 }, 5), (Tokens { past: 0, new: 3 }, 2)];

/// The field of a file in which functions of its own stand, whose operators nobody here looks at.
const FUNCTIONS: u32 = 25;

/// The graph in the file `path` with those products in the operator's hands; their weights are left out of it. `prepared` is
/// whether hob wrote it: nobody else is believed about how its caches grow.
///
/// # Errors
/// [`DraftError`] for a graph that nothing is changed in.
pub(crate) fn place(path: &Path, graph: &[u8], prepared: bool, products: &[Product]) -> Result<Vec<u8>, DraftError> {
    if fields(graph).map_err(DraftError::Foreign)?.iter().any(|field| field.tag == FUNCTIONS) {
        return Err(DraftError::Foreign("it has functions of its own".to_owned()));
    }
    let mut draft = Draft::read(path, graph)?;
    let (gone, nodes) = fused(&draft, prepared && in_place::grows_in_place(graph));
    draft.put_in_place_of(&gone, nodes);
    draft.remove_unread()?;
    let outputs =
        products.iter().flat_map(|product| product.outputs.iter().map(move |output| (output.as_str(), product)));
    let by_output: HashMap<&str, &Product> = outputs.collect();
    draft.replace(|node| Some(placed(node, by_output.get(node.outputs.first()?.as_str())?)));
    draft.written()
}

/// An operator that comes, and the values of those that go for it.
#[derive(Debug)]
pub(super) struct Fused {
    pub(super) gone: HashSet<String>,
    pub(super) node: Node,
}

/// What stands between products, in fewer operators.
fn fused(draft: &Draft, in_place: bool) -> (HashSet<String>, Vec<Node>) {
    let worlds = LOOKS.map(|(tokens, keep)| World::new(draft, tokens, keep));
    let (mut gone, mut nodes) = (HashSet::new(), Vec::new());
    for node in draft.nodes() {
        let found = gate::find(draft, &worlds, node)
            .or_else(|| residual::find(draft, &worlds, node))
            .or_else(|| heads::find(draft, &worlds, node))
            .or_else(|| in_place.then(|| attend::find(draft, &worlds, node)).flatten());
        // Two gates may meet in one product, and a norm goes into one sum only.
        if let Some(found) = found.filter(|found| found.gone.is_disjoint(&gone)) {
            gone.extend(found.gone);
            nodes.push(found.node);
        }
    }
    (gone, nodes)
}

/// The kind of a constant's numbers, of those that activations have.
pub(super) fn kind_of(draft: &Draft, constant: &str) -> Option<Scales> {
    activations(draft.weights(constant)?.kind)
}

/// Those that activations can have.
pub(super) fn activations(kind: NumberKind) -> Option<Scales> {
    match kind {
        NumberKind::F16 => Some(Scales::Half),
        NumberKind::F32 => Some(Scales::Single),
        NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => None,
    }
}

/// Whether ONNX Runtime, which maps a constant where it lies in its file, maps it where such numbers may lie.
pub(super) fn may_be_mapped(draft: &Draft, constant: &str, numbers: Scales) -> bool {
    let place = draft.constant(constant).map(|constant| constant.about("offset").map_or(Ok(0), str::parse::<usize>));
    place.and_then(Result::ok).is_some_and(|place| place.is_multiple_of(numbers.bytes()))
}

fn placed(node: &Node, product: &Product) -> Node {
    let input = |place: usize| node.inputs.get(place).map_or("", String::as_str);
    let output = node.outputs.first().map_or("", String::as_str);
    let form = &product.form;
    let mut placed = operator(DOMAIN, Own::PanelProduct.name(form.scales()), &node.name, &[input(0)], &[output]);
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    placed.set_integer("N", number(form.rows()));
    placed.set_integer("K", number(form.depth()));
    placed.set_integer("block_size", number(form.block()));
    placed.set_integer("bits", number(form.bits().count()));
    placed.set_integer("points", i64::from(form.points()));
    placed.set_integer("offset", i64::try_from(product.offset).unwrap_or(i64::MAX));
    placed
}
