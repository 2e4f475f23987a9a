//! Attention operators know that tokens see only what came before, and how far back. A mask that says the same once more
//! costs a number for each pair of tokens and is left out.

use super::counts::is_told;
use super::draft::Draft;
use super::mask::{Sight, adds_nothing_to};
use super::report::{Outcome, Pass};
use crate::graph::Node;

/// The place of `attention_bias` among the inputs.
const BIAS: usize = 10;

/// Leaves out masks that hide nothing beyond what the operator hides.
pub(super) fn unmask(draft: &mut Draft) -> Outcome {
    let mut outcome = Outcome::of(Pass::Unmask);
    let mut freed = Vec::new();
    for (place, node) in draft.nodes().enumerate() {
        let Some(bias) = node.input(BIAS).filter(|_| node.is_contrib("GroupQueryAttention")) else { continue };
        if !is_told(draft, node) {
            outcome.left(&node.name, "it is told another number of tokens");
            continue;
        }
        match adds_nothing_to(draft, bias, sight_of(node)) {
            Ok(()) => freed.push(place),
            Err(reason) => outcome.left(&node.name, &reason),
        }
    }
    for place in &freed {
        if let Some(part) = draft.parts.get_mut(*place) {
            let inputs = &mut part.node.inputs;
            if let Some(bias) = inputs.get_mut(BIAS) {
                bias.clear();
            }
            while inputs.last().is_some_and(String::is_empty) {
                inputs.pop();
            }
        }
    }
    outcome.took = freed.len();
    if outcome.took == 0 && outcome.left.is_empty() {
        outcome.note = Some("there are none".to_owned());
    }
    outcome
}

fn sight_of(node: &Node) -> Sight {
    let window = node.integer("local_window_size").and_then(|window| usize::try_from(window).ok());
    window.filter(|window| *window > 0).map_or(Sight::Whole, Sight::Window)
}
