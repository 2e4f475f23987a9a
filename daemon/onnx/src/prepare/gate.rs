//! `gelu(gate) × up` in one operator.

use super::draft::{Draft, operator};
use super::place::{Fused, kind_of};
use super::world::World;
use crate::graph::Node;
use crate::operators::{DOMAIN, Own};
use hob_kernels::Scales;
use std::collections::HashSet;

/// What goes and what comes where `gelu` is a gate whose parts nothing else reads.
pub(super) fn find(draft: &Draft, worlds: &[World<'_>], gelu: &Node) -> Option<Fused> {
    let by_tanh = gelu.is("Gelu") && gelu.text("approximate") == Some(b"tanh");
    let fast = gelu.is_contrib("FastGelu") && gelu.input(1).is_none();
    if !by_tanh && !fast {
        return None;
    }
    let (gate, passed) = (gelu.input(0)?, gelu.output(0)?);
    let (product, _) = draft.only_reader(passed).filter(|(reader, _)| reader.is("Mul"))?;
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
    Some(Fused { gone, node })
}

/// What both are the halves of, if nothing else reads them.
fn halves<'a>(draft: &'a Draft, gate: &str, up: &str) -> Option<&'a str> {
    let split = draft.maker(gate).filter(|node| node.is("Split"))?;
    let equal = split.input(1).is_none() && split.integers("split").is_none() && split.integer("axis") == Some(-1);
    let these = split.outputs.iter().map(String::as_str).eq([gate, up]);
    let alone = draft.only_reader(gate).is_some() && draft.only_reader(up).is_some();
    split.input(0).filter(|_| equal && these && alone)
}

/// The kind of a product's numbers, whole or a part of it.
fn numbers_of(draft: &Draft, value: &str) -> Option<Scales> {
    let maker = draft.maker(value)?;
    let maker = if maker.is("Split") { draft.maker(maker.input(0)?)? } else { maker };
    kind_of(draft, maker.input(2).filter(|_| maker.is_contrib("MatMulNBits"))?)
}
