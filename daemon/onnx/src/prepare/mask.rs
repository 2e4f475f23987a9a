//! What a mask lets be seen. Exporters reckon masks in many ways, so it is asked place by place: near to everything that
//! the graph says a number about, and far behind it.

use super::cells::{Cell, cell};
use super::draft::Draft;
use super::world::{Tokens, World};
use crate::graph::NumberKind;
use std::collections::{BTreeSet, HashSet};

/// Which tokens a token sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Itself and all before it.
    Whole,
    /// Itself and those right before it, so many together.
    Window(usize),
}

impl Sight {
    fn sees(self, token: usize, other: usize) -> bool {
        match self {
            Self::Whole => other <= token,
            Self::Window(window) => other <= token && token - other < window,
        }
    }
}

/// What is added to the score of what must not be seen: half precision's least, or less.
const HIDDEN: f64 = -65504.0;

/// Longer than any context, and short enough to reckon with.
const FAR: usize = 1 << 21;

/// Different numbers that a graph may reckon a mask with. Published ones have four.
const MOST_NUMBERS: usize = 24;

/// What a mask `[…,S,T]` that is added to scores lets be seen.
pub(super) fn sight(draft: &Draft, bias: &str) -> Result<Sight, String> {
    let far = World::behind(draft, Tokens { past: FAR, new: 1 }, bias);
    let sight = first_sight(&far, bias)?;
    check(draft, bias, sight, true)?;
    Ok(sight)
}

/// Whether a mask hides nothing of what is seen anyway.
///
/// # Errors
/// Where it does, or where that cannot be told.
pub(super) fn adds_nothing_to(draft: &Draft, bias: &str, sight: Sight) -> Result<(), String> {
    check(draft, bias, sight, false)
}

/// Where the last token of a long sequence begins to see.
fn first_sight(world: &World<'_>, bias: &str) -> Result<Sight, String> {
    let token = world.tokens.past;
    let seen = |other| visible(world, bias, 0, other);
    if seen(0)? {
        return Ok(Sight::Whole);
    }
    let (mut hidden, mut visible) = (0, token);
    while visible - hidden > 1 {
        let middle = hidden + (visible - hidden) / 2;
        if seen(middle)? { visible = middle } else { hidden = middle }
    }
    Ok(Sight::Window(token - visible + 1))
}

/// Asks around every number that the mask is reckoned with. `hides` is whether it has to hide all else by itself.
fn check(draft: &Draft, bias: &str, sight: Sight, hides: bool) -> Result<(), String> {
    let mut numbers = numbers_behind(draft, bias)?;
    // Nothing is hidden by a longer one than that.
    if let Sight::Window(window) = sight
        && window <= FAR
    {
        numbers.insert(window);
    }
    let mut lengths: BTreeSet<(usize, usize)> = [(0, 1), (0, 2), (0, 7), (1, 1), (5, 3), (FAR, 1), (FAR, 5)].into();
    for number in &numbers {
        let before = number.saturating_sub(1);
        lengths.extend([(before, 1), (before, 3), (*number, 1), (number + 1, 2), (2 * number + 1, 3), (0, number + 2)]);
    }
    let wanted = |new: usize| BTreeSet::from([1, new.min(3)]);
    for (past, new, keep) in
        lengths.into_iter().flat_map(|(past, new)| wanted(new).into_iter().map(move |keep| (past, new, keep)))
    {
        let world = World::keeping(draft, Tokens { past, new }, keep, bias);
        let rows = world.shape(bias).and_then(|shape| shape.iter().rev().nth(1).copied()).ok_or_else(untold)?;
        // It can have rows for the wanted tokens alone. One that all tokens share hides the same from each of them.
        if rows != new && rows != keep {
            return Err("its mask has no row of its own for each token".to_owned());
        }
        for row in BTreeSet::from([0, 1, rows / 2, rows.saturating_sub(2), rows.saturating_sub(1)]) {
            let token = past + new - rows + row;
            let around = |place: usize| place.saturating_sub(2)..=place + 2;
            let near = numbers.iter().flat_map(|number| around(*number).chain(around(token.saturating_sub(*number))));
            let others: BTreeSet<usize> = near.chain(around(token)).chain(around(past + new)).chain(0..3).collect();
            for other in others.into_iter().filter(|other| row < rows && *other < past + new) {
                let sees = sight.sees(token, other);
                if (sees || hides) && visible(&world, bias, row, other)? != sees {
                    return Err(format!(
                        "its mask is another than that of {sight:?} at token {token} of {}",
                        past + new
                    ));
                }
            }
        }
    }
    Ok(())
}

fn untold() -> String {
    "what its mask hides cannot be told".to_owned()
}

fn visible(world: &World<'_>, bias: &str, row: usize, other: usize) -> Result<bool, String> {
    let shape = world.shape(bias).ok_or_else(untold)?;
    let Some((batch, [rows, columns])) = shape.split_last_chunk::<2>().map(|(batch, last)| (batch, *last)) else {
        return Err(untold());
    };
    // The same for all heads.
    if batch.iter().any(|dim| *dim != 1) || rows > world.tokens.new || columns != world.tokens.all() {
        return Err(untold());
    }
    let at = [vec![0; batch.len()], vec![row, other]].concat();
    let bias = world.draft.known(bias).ok_or_else(untold)?;
    match cell(world, bias, &at).as_ref().and_then(Cell::number) {
        Some(0.0) => Ok(true),
        Some(number) if number <= HIDDEN => Ok(false),
        Some(number) => Err(format!("its mask adds {number}")),
        None => Err(untold()),
    }
}

/// The numbers that a value is reckoned with, apart from the least and from those that mean "to the end".
fn numbers_behind(draft: &Draft, value: &str) -> Result<BTreeSet<usize>, String> {
    const TO_THE_END: i64 = 1 << 40;
    let mut numbers = BTreeSet::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut next: Vec<&str> = draft.known(value).into_iter().collect();
    while let Some(value) = next.pop() {
        if !seen.insert(value) {
            continue;
        }
        if let Some(weights) = draft.weights(value) {
            let whole = match weights.kind {
                NumberKind::F32 | NumberKind::F16 => weights.scalar().and_then(whole).into_iter().collect(),
                NumberKind::I64 | NumberKind::I32 | NumberKind::U8 | NumberKind::I8 | NumberKind::Bool => {
                    weights.integers().ok_or("its mask is reckoned with a table")?
                }
            };
            let told = whole.into_iter().filter(|number| (2..TO_THE_END).contains(number));
            numbers.extend(told.filter_map(|number| usize::try_from(number).ok()));
        }
        if let Some(node) = draft.maker(value) {
            next.extend(node.inputs.iter().map(String::as_str));
        }
    }
    if numbers.len() > MOST_NUMBERS {
        return Err("its mask is reckoned with too many numbers".to_owned());
    }
    Ok(numbers)
}

/// A number without a fraction.
fn whole(number: f32) -> Option<i64> {
    const EXACT: f32 = 16_777_216.0;
    #[expect(clippy::cast_possible_truncation, reason = "held within what single precision counts one by one")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}
