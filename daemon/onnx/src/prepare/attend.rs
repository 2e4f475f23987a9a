//! Attention over caches that are grown where they lie, by hob's own operator: ONNX Runtime's takes keys and values to single
//! precision once for each head that asks them, for each token anew.

use super::counts::is_told;
use super::draft::{Draft, operator};
use super::in_place::is_plain;
use super::place::{Fused, activations};
use super::world::World;
use crate::graph::{Node, NumberKind};
use crate::operators::{DOMAIN, Own};
use hob_kernels::Scales;
use std::collections::HashSet;

/// Attributes that say something only where they are not nought.
const OFF: [&str; 4] = ["do_rotary", "rotary_interleaved", "smooth_softmax", "kv_cache_bit_width"];

/// Inputs after the counts of tokens: turns, places, a mask, sinks, and what quantized caches are worth.
const FURTHER: std::ops::Range<usize> = 7..16;

/// What goes and what comes where `node` is attention as it is written down, over all tokens or the last so many.
pub(super) fn find(draft: &Draft, worlds: &[World<'_>], node: &Node) -> Option<Fused> {
    if !node.is_contrib("GroupQueryAttention") || !is_told(draft, node) || !is_plain(node) || !says_nothing_else(node) {
        return None;
    }
    let count =
        |name: &str| node.integer(name).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let (heads, kv_heads) = (count("num_heads")?, count("kv_num_heads")?);
    let (queries, keys, values) = (node.input(0)?, node.input(3)?, node.input(4)?);
    let width = width(worlds.first()?, keys)?;
    let (asking, new_width) = (heads.checked_mul(width)?, kv_heads.checked_mul(width)?);
    let alike = |world: &World<'_>| {
        let shape = |value: &str, last: usize| matches!(world.shape(value), Some([1, _, found]) if *found == last);
        let cached =
            |value: &str| matches!(world.shape(value), Some([1, of, _, each]) if (*of, *each) == (kv_heads, width));
        let new = [node.input(1), node.input(2)].into_iter().all(|new| new.is_some_and(|new| shape(new, new_width)));
        shape(queries, asking) && cached(keys) && cached(values) && new
    };
    if !heads.is_multiple_of(kv_heads) || !worlds.iter().all(alike) {
        return None;
    }
    let out = node.output(0)?;
    let grows = match (node.output(1), node.output(2)) {
        (None, None) => false,
        (Some(keys_out), Some(values_out)) => {
            let grown = |cache: &str, out: &str| draft.input(cache).is_some() && draft.is_output(out);
            if !grown(keys, keys_out) || !grown(values, values_out) {
                return None;
            }
            true
        }
        (Some(_), None) | (None, Some(_)) => return None,
    };
    let new = |place: usize| if grows { node.input(place).unwrap_or("") } else { "" };
    let inputs = [queries, new(1), new(2), keys, values, node.input(6)?];
    let outputs: Vec<&str> = node.outputs.iter().map(String::as_str).filter(|output| !output.is_empty()).collect();
    let name = Own::CachedAttention.name(numbers(draft, keys)?);
    let mut own = operator(DOMAIN, name, &draft.fresh_node(out), &inputs, &outputs);
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    own.set_integer("num_heads", number(heads));
    own.set_integer("kv_num_heads", number(kv_heads));
    own.set_integer("window", node.integer("local_window_size").unwrap_or(-1).max(0));
    own.set_float("scale", scale(node, width));
    let gone: HashSet<String> = outputs.iter().map(|output| (*output).to_owned()).collect();
    Some(Fused { gone, node: own })
}

/// What scores are multiplied with: one over the root of the width where nothing is said.
fn scale(node: &Node, width: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a head has some hundred numbers")]
    let usual = || 1.0 / (width as f32).sqrt();
    node.float("scale").filter(|scale| *scale != 0.0).unwrap_or_else(usual)
}

fn says_nothing_else(node: &Node) -> bool {
    let known = ["num_heads", "kv_num_heads", "scale", "local_window_size"];
    // ONNX Runtime's versions are not of one mind about a window of nothing.
    let window = node.integer("local_window_size").is_none_or(|window| window == -1 || window > 0);
    let silent = node.attributes.iter().all(|attribute| {
        let name = attribute.name.as_str();
        known.contains(&name)
            || OFF.contains(&name) && node.integer(name) == Some(0)
            || name == "softcap" && node.float(name) == Some(0.0)
    });
    window && silent && FURTHER.into_iter().all(|place| node.input(place).is_none()) && node.output(3).is_none()
}

fn width(world: &World<'_>, cache: &str) -> Option<usize> {
    world.shape(cache)?.last().copied()
}

fn numbers(draft: &Draft, cache: &str) -> Option<Scales> {
    activations(NumberKind::of(draft.element(cache)?)?)
}
