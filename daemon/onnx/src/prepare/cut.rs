//! The exact prefill cut. Whatever does not reach a cache matters only for the tokens whose logits are wanted; the graph
//! takes those at its very end, and here they are taken as early as can be: where that part of the graph begins. In E2B
//! that leaves three tenths of the layers' weights for every other token of a prompt.
//!
//! Nothing is known of layers. An operator may run for fewer tokens when it makes each token's row from the same token's
//! rows alone, which is looked up for each; one that is not known leaves the graph as published.

use super::draft::{CONTRIB, Draft, DraftError, operator};
use super::report::{Outcome, Pass};
use super::rows::{Rows, carried};
use super::shapes::list;
use super::world::{Tokens, World};
use crate::graph::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Lengths that no dimension of a model has by itself.
const STRIKING: Tokens = Tokens { past: 20_011, new: 10_007 };

/// Ends that mean "to the end".
const TO_THE_END: i64 = 1 << 40;

/// Cuts the prefill.
///
/// # Errors
/// [`DraftError`] when the graph cannot be put into order again.
pub(super) fn cut(draft: &mut Draft) -> Result<Outcome, DraftError> {
    let mut outcome = Outcome::of(Pass::Cut);
    let end = draft.nodes().position(|node| takes_the_wanted(draft, node));
    let Some(end) = end else {
        outcome.note = Some("the graph does not take the wanted tokens at its end".to_owned());
        return Ok(outcome);
    };
    match plan(draft, end) {
        Ok(plan) if plan.products < 2 => outcome.note = Some("nothing runs for tokens that are not wanted".to_owned()),
        Ok(plan) => {
            outcome.took = 1;
            outcome.note = Some(format!("{} operators run for the wanted tokens alone", plan.late.len()));
            apply(draft, end, &plan)?;
        }
        Err(reason) => outcome.left("the end of the graph", &reason),
    }
    Ok(outcome)
}

/// What is done for the wanted tokens alone.
struct Plan {
    /// Operators, by their places.
    late: BTreeSet<usize>,
    /// Values that come in from before, and the axis along which their tokens stand.
    taken: BTreeMap<String, usize>,
    /// Products among the operators.
    products: usize,
}

/// Whether a node leaves the last tokens, as many as logits are wanted for. Doing that twice is doing it once.
fn takes_the_wanted(draft: &Draft, node: &Node) -> bool {
    let right = |keep: usize| {
        let (value, start) = (node.input(0)?, node.input(1)?);
        let behind = World::keeping(draft, STRIKING, keep, start);
        let wanted = -i64::try_from(keep).ok()?;
        let is = list(&behind, start)? == [wanted];
        let others = World::behind(draft, STRIKING, value);
        let [end, axis] =
            [2, 3].map(|place| draft.known(node.input(place)?).and_then(|name| list(&others_of(draft, name), name)));
        let tokens = others.shape(value)?.get(1) == Some(&STRIKING.new);
        let steps = node.input(4).is_none_or(|steps| list(&others_of(draft, steps), steps) == Some(vec![1]));
        let to_the_end = end?.first().is_some_and(|end| *end >= TO_THE_END);
        Some(is && to_the_end && axis? == [1] && tokens && steps)
    };
    node.is("Slice")
        && node.inputs.len() >= 4
        && [0, 1, 2, 3, 9, 1000].into_iter().all(|keep| right(keep) == Some(true))
}

fn others_of<'a>(draft: &'a Draft, value: &str) -> World<'a> {
    World::behind(draft, STRIKING, value)
}

fn plan(draft: &Draft, end: usize) -> Result<Plan, String> {
    let last = draft.node(end).and_then(|node| node.input(0)).ok_or("it takes nothing")?;
    let before = |values: Vec<&str>, without: Option<usize>| {
        let mut found = BTreeSet::new();
        let mut next: Vec<usize> = values.into_iter().filter_map(|value| draft.place(value)).collect();
        while let Some(place) = next.pop() {
            if found.insert(place) {
                let inputs = draft.node(place).map(|node| node.inputs.as_slice()).unwrap_or_default();
                // At the end only what is cut there is not needed whole.
                let needed = inputs.iter().skip(usize::from(Some(place) == without));
                next.extend(needed.filter_map(|input| draft.place(input)));
            }
        }
        found
    };
    let early = before(draft.outputs.iter().map(|output| output.name.as_str()).collect(), Some(end));
    let late: BTreeSet<usize> = before(vec![last], None).difference(&early).copied().collect();
    let world = World::new(draft, STRIKING, 1);
    let (mut rows, mut taken) = (Rows::new(), BTreeMap::new());
    for place in &late {
        let Some(node) = draft.node(*place) else { continue };
        for input in node.inputs.iter().filter(|input| !input.is_empty()) {
            if draft.place(input).is_some_and(|maker| late.contains(&maker)) || rows.contains_key(input.as_str()) {
                continue;
            }
            let axis = token_axis(draft, &world, input)?;
            rows.insert(input, axis);
            if let Some(axis) = axis {
                taken.insert(input.clone(), axis);
            }
        }
        let axis = carried(node, &world, &rows)
            .ok_or_else(|| format!("{} may need all tokens ({})", node.name, node.operator))?;
        for output in node.outputs.iter().filter(|output| !output.is_empty()) {
            rows.insert(output, axis);
        }
    }
    if rows.get(last).is_none_or(|axis| *axis != Some(1)) {
        return Err("its tokens do not stand along one axis".to_owned());
    }
    let product = |place: &&usize| {
        draft
            .node(**place)
            .is_some_and(|node| node.is("MatMul") || (node.domain == CONTRIB && node.operator == "MatMulNBits"))
    };
    let products = late.iter().filter(product).count();
    Ok(Plan { late, taken, products })
}

/// The axis along which the tokens of a value from before stand.
fn token_axis(draft: &Draft, world: &World<'_>, value: &str) -> Result<Option<usize>, String> {
    if draft.weights(value).is_some() || draft.constant(value).is_some() {
        return Ok(None);
    }
    let shape = world.shape(value).ok_or_else(|| format!("the shape of {value} cannot be told"))?;
    let axes: Vec<usize> = (0..shape.len()).filter(|axis| shape[*axis] == STRIKING.new).collect();
    match axes.as_slice() {
        [] => Ok(None),
        [axis] => Ok(Some(*axis)),
        _ => Err(format!("the tokens of {value} stand along more than one axis")),
    }
}

fn apply(draft: &mut Draft, end: usize, plan: &Plan) -> Result<(), DraftError> {
    let ends = |place: usize| draft.node(end).and_then(|node| node.input(place)).unwrap_or_default().to_owned();
    let (start, end) = (ends(1), ends(2));
    let mut cut_of = BTreeMap::new();
    for value in plan.taken.keys() {
        cut_of.insert(value.clone(), draft.fresh(&format!("/hob/wanted/{value}")));
    }
    let mut made = Vec::new();
    for place in &plan.late {
        let Some(part) = draft.parts.get_mut(*place) else { continue };
        for input in &mut part.node.inputs {
            if let Some(cut) = cut_of.get(input) {
                input.clone_from(cut);
            }
        }
        made.extend(part.node.outputs.iter().filter(|output| !output.is_empty()).cloned());
    }
    for value in made {
        draft.forget_shape(&value);
    }
    for (value, axis) in &plan.taken {
        let axes = draft.integers(&[i64::try_from(*axis).unwrap_or(0)]);
        let cut = cut_of.get(value).cloned().unwrap_or_default();
        draft.add(operator("", "Slice", &cut, &[value, &start, &end, &axes], &[&cut]));
    }
    draft.settle()
}
