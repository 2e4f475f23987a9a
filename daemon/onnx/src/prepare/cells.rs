//! Where one number of a value comes from: followed back through everything that only moves numbers or reckons with
//! counts, to a number that is known, or to the place in a value that was really computed.
//!
//! This is what a rewriting rests on. Exporters write one and the same attention in many ways; instead of knowing them
//! all, the places are followed, and what counts is what stands where.

use super::shapes::{axes, axis, cuts, ends, order, volume};
use super::world::{Role, World};
use crate::graph::{Node, NumberKind, Weights};

/// A number of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// A whole number, or a truth value.
    Whole(i64),
    /// A number.
    Real(f64),
    /// The number that stands there in the output of an operator, in a table of weights or in an input.
    At(&'a str, Vec<usize>),
}

impl Cell<'_> {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
            Self::Whole(whole) => Some(*whole as f64),
            Self::Real(real) => Some(*real),
            Self::At(..) => None,
        }
    }

    fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(whole) => Some(*whole),
            Self::Real(_) | Self::At(..) => None,
        }
    }
}

/// A whole number that a value holds.
pub(super) fn cell_integer(world: &World<'_>, value: &str, at: &[usize]) -> Option<i64> {
    let value = world.draft.known(value)?;
    cell(world, value, at)?.whole()
}

/// Where the number at a place of a value comes from; none when there is no such place or it cannot be told.
pub(super) fn cell<'a>(world: &World<'a>, value: &'a str, at: &[usize]) -> Option<Cell<'a>> {
    world.step(|| follow(world, value, at.to_vec()))
}

fn follow<'a>(world: &World<'a>, value: &'a str, at: Vec<usize>) -> Option<Cell<'a>> {
    let shape = world.shape(value)?;
    (shape.len() == at.len() && shape.iter().zip(&at).all(|(dim, at)| at < dim)).then_some(())?;
    if let Some(role) = world.role(value) {
        return Some(match role {
            Role::Mask => Cell::Whole(1),
            Role::Positions => Cell::Whole(i64::try_from(world.tokens.past.checked_add(*at.last()?)?).ok()?),
            Role::Keep => Cell::Whole(i64::try_from(world.keep).ok()?),
            Role::Data => Cell::At(value, at),
        });
    }
    let Some(node) = world.draft.maker(value) else {
        return Some(constant(&world.weights(value)?, shape, &at).unwrap_or(Cell::At(value, at)));
    };
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return Some(Cell::At(value, at));
    }
    if node.operator == "Constant" {
        return Some(constant(&world.weights(value)?, shape, &at).unwrap_or(Cell::At(value, at)));
    }
    if let Some((from, at)) = moved(world, node, value, &at) {
        return cell(world, from, &at);
    }
    let number = world.is_counted(value).then(|| reckoned(world, node, &at)).flatten();
    Some(number.unwrap_or(Cell::At(value, at)))
}

/// The number that a small constant has at a place.
fn constant<'a>(weights: &Weights, shape: &[usize], at: &[usize]) -> Option<Cell<'a>> {
    let place = flat(shape, at)?;
    match weights.kind {
        NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => weights.whole_at(place).map(Cell::Whole),
        NumberKind::F32 | NumberKind::F16 if volume(shape)? == 1 => {
            weights.scalar().map(|number| Cell::Real(number.into()))
        }
        NumberKind::F32 | NumberKind::F16 | NumberKind::U8 | NumberKind::I8 => None,
    }
}

/// The input that an operator takes the number at `at` from, unchanged.
fn moved<'a>(world: &World<'a>, node: &'a Node, value: &str, at: &[usize]) -> Option<(&'a str, Vec<usize>)> {
    let from = node.input(0)?;
    let shape = world.shape(from);
    match node.operator.as_str() {
        "Identity" => Some((from, at.to_vec())),
        "Reshape" => {
            let place = flat(world.shape(value)?, at)?;
            Some((from, unflat(shape?, place)?))
        }
        "Transpose" => {
            let order = order(node, at.len())?;
            let mut before = vec![0; at.len()];
            for (axis, place) in order.iter().zip(at) {
                before[*axis] = *place;
            }
            Some((from, before))
        }
        "Unsqueeze" => {
            let axes = axes(node, world, at.len())?;
            Some((from, at.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, at)| *at).collect()))
        }
        "Squeeze" => {
            let shape = shape?;
            // Only dimensions of length one can go.
            let mut left = at.iter();
            let gone = axes(node, world, shape.len());
            let goes = |axis: usize| gone.as_ref().map_or(shape[axis] == 1, |gone| gone.contains(&axis));
            let before = (0..shape.len()).map(|axis| if goes(axis) { Some(0) } else { left.next().copied() });
            Some((from, before.collect::<Option<_>>()?))
        }
        "Expand" => Some((from, stretched(shape?, at)?)),
        "Slice" => {
            let mut before = at.to_vec();
            for cut in cuts(node, world, shape?)? {
                before[cut.axis] = before[cut.axis].checked_add(cut.start)?;
            }
            Some((from, before))
        }
        "Concat" | "Split" => pieces(world, node, value, at),
        "Gather" => {
            let shape = shape?;
            let axis = axis(node.integer("axis").unwrap_or(0), shape.len())?;
            let picked = node.input(1)?;
            let width = world.shape(picked)?.len();
            let (front, rest) = at.split_at_checked(axis)?;
            let (which, back) = rest.split_at_checked(width)?;
            let place = cell_integer(world, picked, which)?;
            let length = i64::try_from(shape[axis]).ok()?;
            let place = usize::try_from(if place < 0 { place + length } else { place }).ok()?;
            Some((from, [front, &[place], back].concat()))
        }
        _ => None,
    }
}

/// One of the inputs that stand one after another, or the input that was cut into several.
fn pieces<'a>(world: &World<'a>, node: &'a Node, value: &str, at: &[usize]) -> Option<(&'a str, Vec<usize>)> {
    let axis = axis(node.integer("axis").unwrap_or(0), at.len())?;
    let length = |name: &str| world.shape(name)?.get(axis).copied();
    let mut at = at.to_vec();
    if node.operator == "Split" {
        let before = node.outputs.iter().take_while(|output| *output != value);
        let skipped = before.map(|output| length(output)).sum::<Option<usize>>()?;
        at[axis] = at[axis].checked_add(skipped)?;
        return Some((node.input(0)?, at));
    }
    for input in &node.inputs {
        let length = length(input)?;
        if at[axis] < length {
            return Some((input, at));
        }
        at[axis] -= length;
    }
    None
}

/// A number that follows from numbers that are known.
fn reckoned<'a>(world: &World<'a>, node: &'a Node, at: &[usize]) -> Option<Cell<'a>> {
    let of = |place: usize| -> Option<Cell<'a>> {
        let name = node.input(place)?;
        cell(world, name, &stretched(world.shape(name)?, at)?)
    };
    let number = |place: usize| of(place)?.number();
    let truth = |truth: bool| Some(Cell::Whole(i64::from(truth)));
    match node.operator.as_str() {
        "Shape" => {
            let shape = world.shape(node.input(0)?)?;
            let (start, _) = ends(node, shape.len())?;
            let dim = shape.get(start.checked_add(*at.first()?)?)?;
            Some(Cell::Whole(i64::try_from(*dim).ok()?))
        }
        "Range" => {
            let [start, step] = [0, 2].map(|place| node.input(place).and_then(|name| cell_integer(world, name, &[])));
            let place = i64::try_from(*at.first()?).ok()?;
            Some(Cell::Whole(start?.checked_add(place.checked_mul(step?)?)?))
        }
        "ConstantOfShape" => {
            let Some(filled) = node.attributes.iter().find(|attribute| attribute.name == "value") else {
                return Some(Cell::Real(0.0));
            };
            let weights = Weights::new(filled.tensor.as_ref()?, std::path::Path::new("")).ok()?;
            constant(&weights, &[1], &[0])
        }
        // Of ones, as the mask holds them.
        "ReduceSum" => {
            let name = node.input(0)?;
            let shape = world.shape(name)?;
            only_ones(world, name).then_some(())?;
            let summed = axes(node, world, shape.len())?;
            let each = summed.iter().try_fold(1_usize, |all, axis| all.checked_mul(shape[*axis]))?;
            Some(Cell::Whole(i64::try_from(each).ok()?))
        }
        "CumSum" => {
            let name = node.input(0)?;
            let axis = axis(cell_integer(world, node.input(1)?, &[])?, at.len())?;
            let plain = node.integer("exclusive").unwrap_or(0) == 0 && node.integer("reverse").unwrap_or(0) == 0;
            (plain && only_ones(world, name)).then_some(())?;
            Some(Cell::Whole(i64::try_from(at[axis].checked_add(1)?).ok()?))
        }
        "Where" => {
            let chosen = of(0)?.whole()? != 0;
            of(if chosen { 1 } else { 2 })
        }
        "Cast" => cast(&of(0)?, node.integer("to")?),
        "Not" => truth(number(0)? == 0.0),
        "Neg" => match of(0)? {
            Cell::Whole(whole) => Some(Cell::Whole(whole.checked_neg()?)),
            Cell::Real(real) => Some(Cell::Real(-real)),
            Cell::At(..) => None,
        },
        "And" => truth(number(0)? != 0.0 && number(1)? != 0.0),
        "Or" => truth(number(0)? != 0.0 || number(1)? != 0.0),
        "Less" => truth(number(0)? < number(1)?),
        "LessOrEqual" => truth(number(0)? <= number(1)?),
        "Greater" => truth(number(0)? > number(1)?),
        "GreaterOrEqual" => truth(number(0)? >= number(1)?),
        #[expect(clippy::float_cmp, reason = "whole numbers, or the very same constant")]
        "Equal" => truth(number(0)? == number(1)?),
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" if node.inputs.len() == 2 => {
            arithmetic(&node.operator, &of(0)?, &of(1)?)
        }
        _ => None,
    }
}

fn arithmetic<'a>(operator: &str, one: &Cell<'a>, other: &Cell<'a>) -> Option<Cell<'a>> {
    if let (Cell::Whole(one), Cell::Whole(other)) = (one, other) {
        return Some(Cell::Whole(match operator {
            "Add" => one.checked_add(*other)?,
            "Sub" => one.checked_sub(*other)?,
            "Mul" => one.checked_mul(*other)?,
            "Div" => one.checked_div(*other)?,
            "Min" => *one.min(other),
            _ => *one.max(other),
        }));
    }
    let (one, other) = (one.number()?, other.number()?);
    Some(Cell::Real(match operator {
        "Add" => one + other,
        "Sub" => one - other,
        "Mul" => one * other,
        "Div" => one / other,
        "Min" => one.min(other),
        _ => one.max(other),
    }))
}

/// To a whole number, a truth value or a real one, by the numbers of `TensorProto.DataType`.
fn cast<'a>(cell: &Cell<'a>, to: i64) -> Option<Cell<'a>> {
    let number = cell.number()?;
    match to {
        9 => Some(Cell::Whole(i64::from(number != 0.0))),
        6 | 7 => Some(Cell::Whole(cell.whole()?)),
        1 | 10 | 11 => Some(Cell::Real(number)),
        _ => None,
    }
}

/// Whether a value is the mask, in whatever kind of number.
fn only_ones(world: &World<'_>, value: &str) -> bool {
    if world.role(value) == Some(Role::Mask) {
        return true;
    }
    let cast = world.draft.maker(value).filter(|node| node.is("Cast"));
    cast.and_then(|node| node.input(0)).is_some_and(|from| world.role(from) == Some(Role::Mask))
}

/// The place that is read in a shape that was stretched to a larger one.
fn stretched(shape: &[usize], at: &[usize]) -> Option<Vec<usize>> {
    let (_, at) = at.split_at_checked(at.len().checked_sub(shape.len())?)?;
    Some(shape.iter().zip(at).map(|(dim, at)| if *dim == 1 { 0 } else { *at }).collect())
}

fn flat(shape: &[usize], at: &[usize]) -> Option<usize> {
    shape.iter().zip(at).try_fold(0_usize, |place, (dim, at)| place.checked_mul(*dim)?.checked_add(*at))
}

fn unflat(shape: &[usize], mut place: usize) -> Option<Vec<usize>> {
    let mut at = vec![0; shape.len()];
    for (axis, dim) in shape.iter().enumerate().rev() {
        at[axis] = place.checked_rem(*dim)?;
        place /= dim;
    }
    (place == 0).then_some(at)
}
