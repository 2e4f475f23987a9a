//! Operators that make each token's row from that token's rows alone, and along which axis the rows stand afterwards.

use super::draft::CONTRIB;
use super::shapes::{axes, axis, cuts, fitted, order};
use super::world::World;
use crate::graph::Node;
use std::collections::HashMap;

/// For each value, the axis along which tokens stand; none where it has no rows for tokens.
pub(super) type Rows<'a> = HashMap<&'a str, Option<usize>>;

/// The axis of a node's outputs; nothing where a token's row might need those of others, or the operator is not known.
pub(super) fn carried(node: &Node, world: &World<'_>, rows: &Rows<'_>) -> Option<Option<usize>> {
    let of = |place: usize| node.input(place).and_then(|name| rows.get(name).copied().flatten());
    let shape = |place: usize| node.input(place).and_then(|name| world.shape(name));
    let only_first = || (1..node.inputs.len()).all(|place| of(place).is_none()).then(|| of(0));
    if node.domain == CONTRIB {
        return match node.operator.as_str() {
            "MatMulNBits" | "SimplifiedLayerNormalization" => only_first().filter(|axis| is_not_last(*axis, shape(0))),
            "FastGelu" | "Gelu" | "QuickGelu" => only_first(),
            // Each row is turned by its own position.
            "RotaryEmbedding" => {
                let along = match shape(0)?.len() {
                    3 => 1,
                    4 => 2,
                    _ => return None,
                };
                let tables = of(2).is_none() && of(3).is_none();
                (of(0) == Some(along) && of(1) == Some(1) && tables).then_some(Some(along))
            }
            // Queries of the last tokens, keys and values all there: the operator counts from the end.
            "GroupQueryAttention" => {
                let no_keys = [1, 2].into_iter().all(|place| shape(place).and_then(|shape| shape.get(1)) == Some(&0));
                let gives_none = node.output(1).is_none() && node.output(2).is_none();
                let nothing_else = node.inputs.iter().skip(7).all(String::is_empty);
                let turned = node.integer("do_rotary").unwrap_or(0) != 0;
                let rest = (1..node.inputs.len()).all(|place| of(place).is_none());
                (no_keys && gives_none && nothing_else && !turned && rest && of(0) == Some(1)).then_some(Some(1))
            }
            _ => None,
        };
    }
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return None;
    }
    match node.operator.as_str() {
        "Identity" | "Cast" | "Neg" | "Abs" | "Cos" | "Sin" | "Sqrt" | "Reciprocal" | "Exp" | "Erf" | "Tanh"
        | "Sigmoid" | "Gelu" | "Relu" => Some(of(0)),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Where" => together(node, world, rows),
        "SimplifiedLayerNormalization" | "LayerNormalization" | "RMSNormalization" => {
            let said = axis(node.integer("axis").unwrap_or(-1), shape(0)?.len())?;
            only_first().filter(|axis| axis.is_none_or(|axis| axis < said))
        }
        "Softmax" => {
            let said = axis(node.integer("axis").unwrap_or(-1), shape(0)?.len())?;
            Some(of(0)).filter(|axis| *axis != Some(said))
        }
        "ReduceMean" => {
            let summed = axes(node, world, shape(0)?.len())?;
            let kept = node.integer("keepdims").unwrap_or(1) == 1;
            only_first().filter(|axis| kept && axis.is_none_or(|axis| !summed.contains(&axis)))
        }
        // Rows times a matrix that all share.
        "MatMul" => {
            only_first().filter(|axis| is_not_last(*axis, shape(0)) && shape(1).is_some_and(|shape| shape.len() == 2))
        }
        "Transpose" => {
            let order = order(node, shape(0)?.len())?;
            Some(match of(0) {
                Some(axis) => Some(order.iter().position(|from| *from == axis)?),
                None => None,
            })
        }
        "Split" | "Gather" | "Slice" => {
            let rank = shape(0)?.len();
            let touched = match node.operator.as_str() {
                "Slice" => cuts(node, world, shape(0)?)?.iter().map(|cut| cut.axis).collect(),
                _ => vec![axis(node.integer("axis").unwrap_or(0), rank)?],
            };
            let gone = node.operator == "Gather" && shape(1)?.is_empty();
            (node.operator != "Gather" || shape(1)?.len() < 2).then_some(())?;
            let along = only_first()?;
            along.is_none_or(|axis| !touched.contains(&axis)).then_some(())?;
            Some(along.map(|axis| axis - usize::from(gone && touched.iter().any(|touched| *touched < axis))))
        }
        "Reshape" => reshaped(node, world, only_first()?),
        _ => None,
    }
}

fn is_not_last(axis: Option<usize>, shape: Option<&[usize]>) -> bool {
    axis.is_none_or(|axis| shape.is_some_and(|shape| axis + 1 < shape.len()))
}

/// Of values that are stretched to fit each other, those with tokens have them along the same axis counted from the end.
fn together(node: &Node, world: &World<'_>, rows: &Rows<'_>) -> Option<Option<usize>> {
    let rank = world.shape(node.output(0)?)?.len();
    let mut along = None;
    for input in node.inputs.iter().filter(|input| !input.is_empty()) {
        if let Some(axis) = rows.get(input.as_str()).copied().flatten() {
            let axis = axis + rank.checked_sub(world.shape(input)?.len())?;
            (*along.get_or_insert(axis) == axis).then_some(())?;
        }
    }
    // What has no tokens must be the same for all of them.
    let axis = along?;
    let same = |input: &String| -> Option<bool> {
        if rows.get(input.as_str()).copied().flatten().is_some() {
            return Some(true);
        }
        let shape = world.shape(input)?;
        let dim = (axis + shape.len()).checked_sub(rank).and_then(|axis| shape.get(axis));
        Some(dim.is_none_or(|dim| *dim == 1))
    };
    node.inputs.iter().filter(|input| !input.is_empty()).all(|input| same(input) == Some(true)).then_some(Some(axis))
}

/// A shape that is written in the graph, which keeps rows whole whatever their number.
fn reshaped(node: &Node, world: &World<'_>, along: Option<usize>) -> Option<Option<usize>> {
    let Some(along) = along else { return Some(None) };
    let target = world.draft.weights(node.input(1)?)?.integers()?;
    let shape = world.shape(node.input(0)?)?;
    let zeros_count = node.integer("allowzero") == Some(1);
    let after = |rows: usize| {
        let mut shape = shape.to_vec();
        shape[along] = rows;
        fitted(&shape, &target, zeros_count)
    };
    let (all, few) = (after(shape[along])?, after(1)?);
    let front: usize = shape[..along].iter().product();
    let place =
        (0..all.len()).find(|axis| all[*axis] == shape[along] && all[..*axis].iter().product::<usize>() == front)?;
    let mut wanted = all;
    wanted[place] = 1;
    (few == wanted).then_some(Some(place))
}
