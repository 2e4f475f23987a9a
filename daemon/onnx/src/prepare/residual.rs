//! What a layer adds to the stream in one operator: the norm of it, the sum, its factor, and the norm that comes next.

use super::draft::{Draft, operator};
use super::place::{Fused, kind_of, may_be_mapped};
use super::world::World;
use crate::graph::Node;
use crate::operators::{DOMAIN, Own};
use hob_kernels::Scales;
use std::collections::HashSet;

/// What goes and what comes where `add` adds a norm to the stream that nothing else reads.
pub(super) fn find(draft: &Draft, worlds: &[World<'_>], add: &Node) -> Option<Fused> {
    if !add.is("Add") {
        return None;
    }
    let (first, second, added) = (add.input(0)?, add.input(1)?, add.output(0)?);
    let norm_of = |value: &str| norm(draft, draft.maker(value)?).filter(|_| draft.only_reader(value).is_some());
    let (stream, normed, own) = match (norm_of(second), norm_of(first)) {
        (Some(norm), _) => (first, second, norm),
        (None, Some(norm)) => (second, first, norm),
        (None, None) => return None,
    };
    let alike = |world: &World<'_>| {
        let shape = world.shape(stream).filter(|shape| world.shape(own.input) == Some(*shape));
        shape.is_some_and(|shape| shape.last() == Some(&own.width))
    };
    if !worlds.iter().all(alike) {
        return None;
    }
    let mut gone = HashSet::from([normed.to_owned(), added.to_owned()]);
    let (sum, factor) = match factor(draft, added) {
        Some((sum, factor)) => {
            gone.insert(sum.to_owned());
            (sum, factor)
        }
        None => (added, 1.0),
    };
    let next = draft.readers(sum).find_map(|(reader, _)| norm(draft, reader));
    let next = next.filter(|next| next.numbers == own.numbers && next.input == sum && next.width == own.width);
    let mut inputs = vec![stream, own.input, own.weights];
    let mut outputs = vec![sum];
    if let Some(next) = &next {
        inputs.push(next.weights);
        outputs.push(next.output);
        gone.insert(next.output.to_owned());
    }
    let name = Own::ResidualNorm.name(own.numbers);
    let mut node = operator(DOMAIN, name, &draft.fresh_node(sum), &inputs, &outputs);
    node.set_float("epsilon", own.epsilon);
    node.set_float("next_epsilon", next.map_or(own.epsilon, |next| next.epsilon));
    node.set_float("factor", factor);
    Some(Fused { gone, node })
}

/// A norm over the last dimension.
pub(super) struct Norm<'a> {
    pub(super) input: &'a str,
    pub(super) weights: &'a str,
    pub(super) output: &'a str,
    pub(super) epsilon: f32,
    pub(super) numbers: Scales,
    /// How many weights there are.
    pub(super) width: usize,
}

pub(super) fn norm<'a>(draft: &Draft, node: &'a Node) -> Option<Norm<'a>> {
    let known = node.is("SimplifiedLayerNormalization") || node.is_contrib("SimplifiedLayerNormalization");
    let last = node.integer("axis").unwrap_or(-1) == -1 && node.output(1).is_none();
    if !known || !last {
        return None;
    }
    let (input, weights, output) = (node.input(0)?, node.input(1)?, node.output(0)?);
    let dims = draft.weights(weights)?.dims;
    let [width] = *dims.as_slice() else { return None };
    // As ONNX Runtime has it where nothing is said.
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    let numbers = kind_of(draft, weights)?;
    let fits = may_be_mapped(draft, weights, numbers);
    fits.then_some(Norm { input, weights, output, epsilon, numbers, width })
}

/// What becomes of a sum that is read by nothing but a product with one number.
fn factor<'a>(draft: &'a Draft, sum: &'a str) -> Option<(&'a str, f32)> {
    let (product, place) = draft.only_reader(sum).filter(|(reader, _)| reader.is("Mul"))?;
    let other = product.input(1_usize.checked_sub(place)?)?;
    let weights = draft.weights(other).filter(|weights| weights.dims.len() <= 1)?;
    Some((product.output(0)?, weights.scalar()?))
}
