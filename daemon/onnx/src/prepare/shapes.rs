//! Which shape an operator's outputs have, for the operators that decoders are made of. Whatever is not known here has no
//! shape, and nothing that needs one is rewritten.

use super::cells::cell_integer;
use super::world::World;
use crate::graph::Node;

type Shape = Option<Vec<usize>>;

/// The most dimensions, and the most numbers that are read of a value that holds a shape or axes. Published graphs have
/// five; a hostile one could add any number of them at each operator.
pub(super) const MOST_DIMS: usize = 16;

/// The shapes of a node's outputs, in order.
pub(super) fn made(node: &Node, world: &World<'_>) -> Vec<Shape> {
    let input = |place: usize| node.input(place).and_then(|name| world.shape(name)).map(<[usize]>::to_vec);
    if node.domain.is_empty() || node.domain == "ai.onnx" {
        return match node.operator.as_str() {
            "Split" => split(node, world, input(0)),
            _ => vec![own(node, world, &input)],
        };
    }
    if node.domain != super::draft::CONTRIB {
        return Vec::new();
    }
    match node.operator.as_str() {
        "RotaryEmbedding" | "SimplifiedLayerNormalization" | "FastGelu" | "Gelu" | "QuickGelu" => vec![input(0)],
        "MatMulNBits" => vec![with_last(input(0), node.integer("N"))],
        "GroupQueryAttention" => grouped(node, &input),
        _ => Vec::new(),
    }
}

fn own(node: &Node, world: &World<'_>, input: &dyn Fn(usize) -> Shape) -> Shape {
    match node.operator.as_str() {
        "Identity"
        | "Cast"
        | "Neg"
        | "Not"
        | "Abs"
        | "Cos"
        | "Sin"
        | "Sqrt"
        | "Reciprocal"
        | "Exp"
        | "Erf"
        | "Tanh"
        | "Sigmoid"
        | "Gelu"
        | "Softmax"
        | "Trilu"
        | "Clip"
        | "Relu"
        | "CumSum"
        | "SimplifiedLayerNormalization"
        | "LayerNormalization"
        | "RMSNormalization"
        | "RotaryEmbedding" => input(0),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Equal" | "Less" | "LessOrEqual" | "Greater"
        | "GreaterOrEqual" | "And" | "Or" | "Min" | "Max" | "Where" => {
            let shapes: Option<Vec<Vec<usize>>> = (0..node.inputs.len()).map(input).collect();
            shapes?.into_iter().try_fold(Vec::new(), |one, other| broadcast(&one, &other))
        }
        "MatMul" => product(&input(0)?, &input(1)?),
        "Shape" => Some(vec![ends(node, input(0)?.len()).map(|(start, end)| end.saturating_sub(start))?]),
        "Reshape" => reshaped(node, world, &input(0)?),
        "Transpose" => {
            let (shape, order) = (input(0)?, order(node, input(0)?.len())?);
            order.iter().map(|axis| shape.get(*axis).copied()).collect()
        }
        "Unsqueeze" => {
            let shape = input(0)?;
            let axes = axes(node, world, shape.len() + count(node, world)?)?;
            let mut left = shape.iter();
            let whole = (0..shape.len() + axes.len())
                .map(|axis| if axes.contains(&axis) { Some(1) } else { left.next().copied() });
            whole.collect()
        }
        "Squeeze" => {
            let shape = input(0)?;
            let gone = match axes(node, world, shape.len()) {
                Some(axes) => axes,
                None if node.input(1).is_none() => (0..shape.len()).filter(|axis| shape[*axis] == 1).collect(),
                None => return None,
            };
            gone.iter().all(|axis| shape.get(*axis) == Some(&1)).then_some(())?;
            let stays = shape.iter().enumerate().filter(|(axis, _)| !gone.contains(axis));
            Some(stays.map(|(_, dim)| *dim).collect())
        }
        "Concat" => {
            let mut shape = input(0)?;
            let axis = axis(node.integer("axis")?, shape.len())?;
            for place in 1..node.inputs.len() {
                let other = input(place)?;
                (other.len() == shape.len()).then_some(())?;
                shape[axis] = shape[axis].checked_add(other[axis])?;
            }
            Some(shape)
        }
        "Slice" => {
            let mut shape = input(0)?;
            for cut in cuts(node, world, &shape)? {
                shape[cut.axis] = cut.length;
            }
            Some(shape)
        }
        "Gather" => {
            let (shape, picked) = (input(0)?, input(1)?);
            let axis = axis(node.integer("axis").unwrap_or(0), shape.len())?;
            Some([&shape[..axis], &picked, &shape[axis + 1..]].concat())
        }
        "Expand" => broadcast(&input(0)?, &dims(world, node.input(1)?)?),
        "ConstantOfShape" => dims(world, node.input(0)?),
        "Range" => {
            let [start, end, step] =
                [0, 1, 2].map(|place| node.input(place).and_then(|name| cell_integer(world, name, &[])));
            let (start, end, step) = (start?, end?, step?);
            let length = end.checked_sub(start)?.checked_add(step)?.checked_sub(step.signum())?.checked_div(step)?;
            Some(vec![usize::try_from(length.max(0)).ok()?])
        }
        "ReduceMean" | "ReduceSum" | "ReduceMax" => {
            let shape = input(0)?;
            let axes = axes(node, world, shape.len())?;
            if node.integer("keepdims").unwrap_or(1) == 1 {
                return Some(
                    shape.iter().enumerate().map(|(axis, dim)| if axes.contains(&axis) { 1 } else { *dim }).collect(),
                );
            }
            Some(shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| *dim).collect())
        }
        "Constant" => node.output(0).and_then(|name| world.draft.weights(name)).map(|weights| weights.dims),
        _ => None,
    }
}

/// What two shapes are together when one is stretched to fit the other.
pub(super) fn broadcast(one: &[usize], other: &[usize]) -> Shape {
    let rank = one.len().max(other.len());
    let dim = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let both = (0..rank).map(|axis| match (dim(one, axis), dim(other, axis)) {
        (one, other) if one == other => Some(one),
        (1, other) => Some(other),
        (one, 1) => Some(one),
        (_, _) => None,
    });
    both.collect()
}

fn product(left: &[usize], right: &[usize]) -> Shape {
    let ([left_batch @ .., rows, depth], [right_batch @ .., also_depth, columns]) = (left, right) else { return None };
    (depth == also_depth).then_some(())?;
    let mut shape = broadcast(left_batch, right_batch)?;
    shape.extend([*rows, *columns]);
    Some(shape)
}

fn with_last(shape: Shape, last: Option<i64>) -> Shape {
    let mut shape = shape?;
    *shape.last_mut()? = usize::try_from(last?).ok()?;
    Some(shape)
}

/// `[1,S,H·D]` and the grown caches `[1,KVH,T,D]`.
fn grouped(node: &Node, input: &dyn Fn(usize) -> Shape) -> Vec<Shape> {
    let grown = |past: usize, new: usize| {
        let (mut past, new) = (input(past)?, input(new)?);
        let length = past.get(2)?.checked_add(*new.get(1)?)?;
        *past.get_mut(2)? = length;
        Some(past)
    };
    // Without keys of its own, queries, keys and values come in one.
    let whole = node.input(1).and(input(0));
    vec![whole, grown(3, 1), grown(4, 2)]
}

fn split(node: &Node, world: &World<'_>, shape: Shape) -> Vec<Shape> {
    let parts = || {
        let shape = shape?;
        let axis = axis(node.integer("axis").unwrap_or(0), shape.len())?;
        let whole = shape[axis];
        let lengths = match node.input(1) {
            Some(lengths) => dims(world, lengths)?,
            None => {
                let each = whole.checked_add(node.outputs.len().checked_sub(1)?)?.checked_div(node.outputs.len())?;
                (0..node.outputs.len()).map(|part| each.min(whole.saturating_sub(part * each))).collect()
            }
        };
        let with = |length: usize| {
            let mut part = shape.clone();
            part[axis] = length;
            Some(part)
        };
        Some(lengths.into_iter().map(with).collect())
    };
    parts().unwrap_or_default()
}

/// Whole numbers that a value holds: a shape, or axes.
pub(super) fn list(world: &World<'_>, value: &str) -> Option<Vec<i64>> {
    world.list_of(value, || match world.shape(value)? {
        [] => Some(vec![cell_integer(world, value, &[])?]),
        [length] if *length <= MOST_DIMS => (0..*length).map(|place| cell_integer(world, value, &[place])).collect(),
        _ => None,
    })
}

fn dims(world: &World<'_>, value: &str) -> Shape {
    list(world, value)?.into_iter().map(|dim| usize::try_from(dim).ok()).collect()
}

fn reshaped(node: &Node, world: &World<'_>, shape: &[usize]) -> Shape {
    let target = list(world, node.input(1)?)?;
    fitted(shape, &target, node.integer("allowzero") == Some(1))
}

/// The shape that numbers of one shape take on under a target with zeros and at most one -1.
pub(super) fn fitted(shape: &[usize], target: &[i64], zeros_count: bool) -> Shape {
    let known = |(axis, dim): (usize, &i64)| match dim {
        0 if !zeros_count => shape.get(axis).copied(),
        -1 => Some(1),
        dim => usize::try_from(*dim).ok(),
    };
    let mut made: Vec<usize> = target.iter().enumerate().map(known).collect::<Option<_>>()?;
    let all = volume(shape)?;
    if let Some(open) = target.iter().position(|dim| *dim == -1) {
        made[open] = all.checked_div(volume(&made)?)?;
    }
    (volume(&made)? == all && target.iter().filter(|dim| **dim == -1).count() <= 1).then_some(made)
}

pub(super) fn volume(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |all, dim| all.checked_mul(*dim))
}

/// An axis counted from the front.
pub(super) fn axis(said: i64, rank: usize) -> Option<usize> {
    let signed = if said < 0 { said.checked_add(i64::try_from(rank).ok()?)? } else { said };
    usize::try_from(signed).ok().filter(|axis| *axis < rank)
}

/// The axes that a node names, by an input or a setting. None where it names none.
pub(super) fn axes(node: &Node, world: &World<'_>, rank: usize) -> Option<Vec<usize>> {
    let said = match node.input(1) {
        Some(axes) => list(world, axes)?,
        None => node.integers("axes")?.to_vec(),
    };
    said.into_iter().map(|said| axis(said, rank)).collect()
}

fn count(node: &Node, world: &World<'_>) -> Option<usize> {
    match node.input(1) {
        Some(axes) => list(world, axes).map(|axes| axes.len()),
        None => node.integers("axes").map(<[i64]>::len),
    }
}

/// The order that a `Transpose` brings axes into.
pub(super) fn order(node: &Node, rank: usize) -> Option<Vec<usize>> {
    let Some(order) = node.integers("perm") else { return Some((0..rank).rev().collect()) };
    let order: Vec<usize> = order.iter().map(|said| axis(*said, rank)).collect::<Option<_>>()?;
    let whole = order.len() == rank && (0..rank).all(|axis| order.contains(&axis));
    whole.then_some(order)
}

/// From where to where a `Shape` reads dimensions.
pub(super) fn ends(node: &Node, rank: usize) -> Option<(usize, usize)> {
    let place = |said: i64| {
        let rank = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_front = if said < 0 { said.saturating_add(rank) } else { said };
        usize::try_from(from_front.clamp(0, rank)).ok()
    };
    Some((place(node.integer("start").unwrap_or(0))?, place(node.integer("end").unwrap_or(i64::MAX))?))
}

/// What a `Slice` leaves of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) axis: usize,
    pub(super) start: usize,
    pub(super) length: usize,
}

/// What a `Slice` does; only those that go forward one by one.
pub(super) fn cuts(node: &Node, world: &World<'_>, shape: &[usize]) -> Option<Vec<Cut>> {
    let [starts, ends] = [1, 2].map(|place| node.input(place).and_then(|name| list(world, name)));
    let (starts, ends) = (starts?, ends?);
    let named = |place: usize| node.input(place).map(|name| list(world, name));
    let axes = match named(3) {
        Some(axes) => axes?,
        None => (0..i64::try_from(starts.len()).ok()?).collect(),
    };
    if let Some(steps) = named(4) {
        steps?.iter().all(|step| *step == 1).then_some(())?;
    }
    (starts.len() == ends.len() && axes.len() == ends.len()).then_some(())?;
    let cut = |((start, end), said): ((&i64, &i64), &i64)| {
        let axis = axis(*said, shape.len())?;
        let whole = i64::try_from(shape[axis]).ok()?;
        let place = |said: i64| if said < 0 { said.saturating_add(whole) } else { said }.clamp(0, whole);
        let (start, end) = (place(*start), place(*end));
        Some(Cut { axis, start: usize::try_from(start).ok()?, length: usize::try_from((end - start).max(0)).ok()? })
    };
    starts.iter().zip(&ends).zip(&axes).map(cut).collect()
}
