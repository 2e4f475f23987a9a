//! `gelu(gate) × up` in one operator.

use super::draft::{Draft, operator};
use super::world::World;
use crate::graph::{Node, NumberKind};
use crate::operators::{DOMAIN, Own};
use hob_kernels::Scales;
use std::collections::HashSet;

/// Operators that go, by a value that they make, and those that come in their place.
#[derive(Debug, Default)]
pub(super) struct Fused {
    pub(super) gone: HashSet<String>,
    pub(super) nodes: Vec<Node>,
}

/// Finds all gates whose parts are read by nothing else.
pub(super) fn fuse(draft: &Draft, worlds: &[World<'_>], fused: &mut Fused) {
    for node in draft.nodes() {
        // Two gates may meet in one product.
        if let Some((gone, node)) = find(draft, worlds, node).filter(|(gone, _)| gone.is_disjoint(&fused.gone)) {
            fused.gone.extend(gone);
            fused.nodes.push(node);
        }
    }
}

fn find(draft: &Draft, worlds: &[World<'_>], gelu: &Node) -> Option<(HashSet<String>, Node)> {
    let by_tanh = gelu.is("Gelu") && gelu.text("approximate") == Some(b"tanh");
    let fast = gelu.is_contrib("FastGelu") && gelu.input(1).is_none();
    if !by_tanh && !fast {
        return None;
    }
    let (gate, passed) = (gelu.input(0)?, gelu.output(0)?);
    let (product, _) = only_reader(draft, passed).filter(|(reader, _)| reader.is("Mul"))?;
    let up = [0, 1].into_iter().filter_map(|place| product.input(place)).find(|input| *input != passed)?;
    let out = product.output(0)?;
    let alike = |world: &World<'_>| world.shape(gate).is_some_and(|shape| world.shape(up) == Some(shape));
    if !worlds.iter().all(alike) {
        return None;
    }
    let mut gone = HashSet::from([passed.to_owned(), out.to_owned()]);
    let numbers = numbers_of(draft, gate)?;
    let inputs: Vec<&str> = match halves(draft, gate, up) {
        Some(both) => {
            gone.extend([gate.to_owned(), up.to_owned()]);
            vec![both]
        }
        None => vec![gate, up],
    };
    let node = operator(DOMAIN, Own::GatedGelu.name(numbers), &draft.fresh_node(out), &inputs, &[out]);
    Some((gone, node))
}

/// What both are the halves of, if nothing else reads them.
fn halves<'a>(draft: &'a Draft, gate: &str, up: &str) -> Option<&'a str> {
    let split = draft.maker(gate).filter(|node| node.is("Split"))?;
    let equal = split.input(1).is_none() && split.integers("split").is_none() && split.integer("axis") == Some(-1);
    let these = split.outputs.iter().map(String::as_str).eq([gate, up]);
    let alone = only_reader(draft, gate).is_some() && only_reader(draft, up).is_some();
    split.input(0).filter(|_| equal && these && alone)
}

/// The only operator that reads a value, and where.
pub(super) fn only_reader<'a>(draft: &'a Draft, value: &'a str) -> Option<(&'a Node, usize)> {
    let mut readers = draft.readers(value);
    let (first, more) = (readers.next()?, readers.next());
    (more.is_none() && !draft.is_output(value)).then_some(first)
}

/// The kind of a product's numbers, whole or a part of it.
fn numbers_of(draft: &Draft, value: &str) -> Option<Scales> {
    let maker = draft.maker(value)?;
    let maker = if maker.is("Split") { draft.maker(maker.input(0)?)? } else { maker };
    kind_of(draft, maker.input(2).filter(|_| maker.is_contrib("MatMulNBits"))?)
}

/// The kind of a constant's numbers, of those that activations have.
pub(super) fn kind_of(draft: &Draft, constant: &str) -> Option<Scales> {
    match draft.weights(constant)?.kind {
        NumberKind::F16 => Some(Scales::Half),
        NumberKind::F32 => Some(Scales::Single),
        NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => None,
    }
}
