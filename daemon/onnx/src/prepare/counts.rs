//! How many tokens there are, as `GroupQueryAttention` wants to be told.

use super::cells::cell_integer;
use super::draft::{CONTRIB, Draft, operator};
use super::names::MASK;
use super::world::{Tokens, World};

/// `to` of a `Cast` to 32-bit integers.
const INT32: i64 = 6;

/// `Shape` takes one dimension since then.
const OLDEST_OPSET: i64 = 15;

/// Values that say how many tokens there are.
pub(super) struct Counts {
    /// The place of the last token `[1]`.
    pub(super) last: String,
    /// How many there are: a single number.
    pub(super) all: String,
}

impl Counts {
    /// Those that the graph has, else new ones.
    pub(super) fn of(draft: &mut Draft) -> Result<Self, String> {
        let told = draft.nodes().filter(|node| node.is_contrib("GroupQueryAttention")).find_map(|node| {
            let (last, all) = (node.input(5)?, node.input(6)?);
            are_right(draft, last, all).then(|| Self { last: last.to_owned(), all: all.to_owned() })
        });
        told.map_or_else(|| Self::made(draft), Ok)
    }

    fn made(draft: &mut Draft) -> Result<Self, String> {
        if draft.opset < OLDEST_OPSET || draft.input(MASK).is_none() {
            return Err("how many tokens there are is not told".to_owned());
        }
        let [sum, before, last, shape, single, all] =
            ["sum", "before", "last", "shape", "single", "all"].map(|part| draft.fresh(&format!("/hob/tokens/{part}")));
        let (axis, one) = (draft.integers(&[1]), draft.integers(&[1]));
        let mut reduce = operator("", "ReduceSum", &sum, &[MASK, &axis], &[&sum]);
        reduce.set_integer("keepdims", 0);
        let mut to_last = operator("", "Cast", &last, &[&before], &[&last]);
        to_last.set_integer("to", INT32);
        let mut count = operator("", "Shape", &shape, &[MASK], &[&shape]);
        count.set_integer("start", 1);
        count.set_integer("end", 2);
        let mut to_all = operator("", "Cast", &all, &[&single], &[&all]);
        to_all.set_integer("to", INT32);
        let nodes = [
            reduce,
            operator("", "Sub", &before, &[&sum, &one], &[&before]),
            to_last,
            count,
            operator("", "Squeeze", &single, &[&shape], &[&single]),
            to_all,
        ];
        for node in nodes {
            draft.add(node);
        }
        draft.settle().map_err(|error| error.to_string())?;
        Ok(Self { last, all })
    }
}

/// Whether two values say how many tokens there are, in one sequence without padding.
pub(super) fn are_right(draft: &Draft, last: &str, all: &str) -> bool {
    let looks = [Tokens { past: 0, new: 1 }, Tokens { past: 5, new: 3 }, Tokens { past: 1 << 20, new: 2 }];
    looks.into_iter().all(|tokens| {
        let count = i64::try_from(tokens.all()).unwrap_or(i64::MAX);
        let world = World::behind(draft, tokens, last);
        let right_last = world.shape(last) == Some(&[1]) && cell_integer(&world, last, &[0]) == Some(count - 1);
        let world = World::behind(draft, tokens, all);
        let at: &[usize] = match world.shape(all) {
            Some([]) => &[],
            Some([1]) => &[0],
            Some(_) | None => return false,
        };
        right_last && cell_integer(&world, all, at) == Some(count)
    })
}

/// Whether an operator is attention that is told how many tokens there are as it should be.
pub(super) fn is_told(draft: &Draft, node: &crate::graph::Node) -> bool {
    let told = || Some(are_right(draft, node.input(5)?, node.input(6)?));
    node.operator == "GroupQueryAttention" && node.domain == CONTRIB && told().unwrap_or(false)
}
