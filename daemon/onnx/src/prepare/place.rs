//! A graph with hob's own operators: products, which know their matrix by a place in a file, and what stands between them.

use super::draft::{Draft, DraftError, operator};
use super::gate::Fused;
use super::wire::fields;
use super::world::{Tokens, World};
use super::{gate, residual};
use crate::graph::Node;
use crate::operators::{DOMAIN, Own};
use crate::product::Product;
use std::collections::HashMap;
use std::path::Path;

/// How many tokens a graph is looked at with, and for how many of them logits are wanted, to see which shapes are alike.
const LOOKS: [(Tokens, usize); 2] = [(Tokens { past: 13, new: 7 }, 5), (Tokens { past: 0, new: 3 }, 2)];

/// The field of a file in which functions of its own stand, whose operators nobody here looks at.
const FUNCTIONS: u32 = 25;

/// The graph in the file `path` with those products in the operator's hands; their weights are left out of it.
///
/// # Errors
/// [`DraftError`] for a graph that nothing is changed in.
pub(crate) fn place(path: &Path, graph: &[u8], products: &[Product]) -> Result<Vec<u8>, DraftError> {
    if fields(graph).map_err(DraftError::Foreign)?.iter().any(|field| field.tag == FUNCTIONS) {
        return Err(DraftError::Foreign("it has functions of its own".to_owned()));
    }
    let mut draft = Draft::read(path, graph)?;
    let mut fused = Fused::default();
    let worlds = LOOKS.map(|(tokens, keep)| World::new(&draft, tokens, keep));
    gate::fuse(&draft, &worlds, &mut fused);
    residual::fuse(&draft, &worlds, &mut fused);
    drop(worlds);
    draft.put_in_place_of(&fused.gone, fused.nodes);
    draft.settle()?;
    let outputs =
        products.iter().flat_map(|product| product.outputs.iter().map(move |output| (output.as_str(), product)));
    let by_output: HashMap<&str, &Product> = outputs.collect();
    draft.replace(|node| Some(placed(node, by_output.get(node.outputs.first()?.as_str())?)));
    draft.written()
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
