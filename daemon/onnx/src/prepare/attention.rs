//! Attention that is written out in products, recognised by what stands where: numbers of its outcome are followed back
//! to the shares, the scores, the queries, keys and values that they are made of.

use super::cells::{Cell, cell};
use super::draft::Draft;
use super::mask::{Sight, sight};
use super::shapes::{axis, broadcast};
use super::world::{Tokens, World};
use crate::graph::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Attention that one operator can do instead.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attention {
    /// The value `[1,S,H·D]` that it makes.
    pub(super) out: String,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) width: usize,
    /// What scores are multiplied with.
    pub(super) scale: f64,
    pub(super) query: Rows,
    /// Whether every new token asks, and not only those whose logits are wanted.
    pub(super) whole: bool,
    pub(super) keys: Kept,
    pub(super) values: Kept,
    pub(super) sight: Sight,
}

/// Queries, or new keys or values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) value: String,
    /// `[1,S,H,D]`, not `[1,S,H·D]`.
    pub(super) apart: bool,
}

/// Where keys or values `[1,KVH,T,D]` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// `past`, and `new` behind it.
    Grown {
        /// `[1,KVH,P,D]`.
        past: String,
        new: Rows,
    },
    /// As another operator gives them.
    Ready(String),
}

/// The numbers of tokens that attention is looked at with, and of those whose logits are wanted. In the first, no two
/// lengths are alike.
const LOOKS: [(Tokens, usize); 4] = [
    (Tokens { past: 13, new: 7 }, 3),
    (Tokens { past: 13, new: 7 }, 1),
    (Tokens { past: 0, new: 3 }, 2),
    (Tokens { past: 4, new: 1 }, 1),
];

/// What each mask lets be seen: layers share them.
pub(super) type Sights = BTreeMap<String, Result<Sight, String>>;

/// A graph, looked at with different numbers of tokens.
pub(super) fn looks(draft: &Draft) -> Vec<World<'_>> {
    LOOKS.into_iter().map(|(tokens, keep)| World::new(draft, tokens, keep)).collect()
}

/// Reads the attention around a `Softmax`.
///
/// # Errors
/// Why it is none that is known.
pub(super) fn read<'a>(
    draft: &'a Draft,
    looks: &[World<'a>],
    sights: &mut Sights,
    softmax: &Node,
) -> Result<Attention, String> {
    let softmax = softmax.output(0).and_then(|name| draft.maker(name)).ok_or("it has no outcome")?;
    let outline = Outline::read(draft, softmax)?;
    let first = looks.first().ok_or("nobody looks at it")?;
    let last = first.shape(outline.shares).and_then(|shape| shape.len().checked_sub(1));
    if last.is_none_or(|last| axis(softmax.integer("axis").unwrap_or(-1), last + 1) != Some(last)) {
        return Err("its shares are not taken among the tokens that are seen".to_owned());
    }
    let mut attention = outline.discover(first).ok_or("its queries, keys or values are not where they should be")?;
    for world in looks {
        let rows = world.shape(outline.out).and_then(|shape| shape.get(1).copied()).unwrap_or(0);
        let look = Look { outline: &outline, world, attention: &attention, rows };
        look.holds().ok_or("its numbers stand where they should not")?;
        attention.whole &= rows == world.tokens.new;
    }
    let mask = bare(first, outline.bias);
    attention.sight = sights.entry(mask.to_owned()).or_insert_with(|| sight(draft, mask)).clone()?;
    Ok(attention)
}

/// A mask without the dimensions that were put in front of it for one layer.
fn bare<'a>(world: &World<'a>, mask: &'a str) -> &'a str {
    let ends = |value: &str| world.shape(value).and_then(|shape| shape.last_chunk::<2>().copied());
    let mut mask = mask;
    while let Some(before) = world.draft.maker(mask).filter(|node| node.is("Unsqueeze")).and_then(|node| node.input(0))
    {
        if ends(before).is_none() || ends(before) != ends(mask) {
            break;
        }
        mask = before;
    }
    mask
}

impl Attention {
    /// Whether a value holds the keys or values that are grown, and nothing else.
    pub(super) fn grows(&self, draft: &Draft, kept: &Kept, value: &str) -> Option<()> {
        let value = draft.known(value)?;
        for (tokens, keep) in LOOKS {
            let world = World::keeping(draft, tokens, keep, value);
            (world.shape(value)? == [1, self.kv_heads, tokens.all(), self.width]).then_some(())?;
            for head in edges(self.kv_heads) {
                for token in tokens.edges() {
                    for place in edges(self.width) {
                        let (from, wanted) = kept.origin(tokens, token, head, place, self.width);
                        let Cell::At(found, at) = cell(&world, value, &[0, head, token, place])? else { return None };
                        (found == from && at == wanted).then_some(())?;
                    }
                }
            }
        }
        Some(())
    }
}

impl Kept {
    /// Where the key or value of a token stands.
    fn origin(&self, tokens: Tokens, token: usize, head: usize, place: usize, width: usize) -> (&str, Vec<usize>) {
        match self {
            Self::Ready(value) => (value, vec![0, head, token, place]),
            Self::Grown { past, .. } if token < tokens.past => (past, vec![0, head, token, place]),
            Self::Grown { new, .. } => (&new.value, new.place(token - tokens.past, head, place, width)),
        }
    }
}

impl Tokens {
    /// The first and last past and new ones, and some between.
    fn edges(self) -> BTreeSet<usize> {
        let edges = edges(self.all()).into_iter().chain(edges(self.past)).chain([self.past]);
        edges.filter(|token| *token < self.all()).collect()
    }
}

/// The operators of one attention.
struct Outline<'a> {
    out: &'a str,
    mixing: Product<'a>,
    shares: &'a str,
    scored: &'a str,
    bias: &'a str,
    scoring: Product<'a>,
    scale: f64,
}

/// A `MatMul`.
#[derive(Clone, Copy)]
struct Product<'a> {
    left: &'a str,
    right: &'a str,
    out: &'a str,
}

impl<'a> Product<'a> {
    fn of(node: &'a Node) -> Option<Self> {
        node.is("MatMul").then_some(Self { left: node.input(0)?, right: node.input(1)?, out: node.output(0)? })
    }

    /// The places that the `term`th term of the sum for `at` is multiplied from.
    fn term(&self, world: &World<'_>, at: &[usize], term: usize) -> Option<[Vec<usize>; 2]> {
        let (left, right) = (world.shape(self.left)?, world.shape(self.right)?);
        let (batch, [row, column]) = at.split_last_chunk::<2>()?;
        let within = |shape: &[usize]| -> Option<Vec<usize>> {
            let (front, _) = shape.split_last_chunk::<2>()?;
            let (_, batch) = batch.split_at_checked(batch.len().checked_sub(front.len())?)?;
            Some(front.iter().zip(batch).map(|(dim, at)| if *dim == 1 { 0 } else { *at }).collect())
        };
        Some([[within(left)?, vec![*row, term]].concat(), [within(right)?, vec![term, *column]].concat()])
    }
}

impl<'a> Outline<'a> {
    fn read(draft: &'a Draft, softmax: &'a Node) -> Result<Self, &'static str> {
        let shares = softmax.output(0).ok_or("it has no outcome")?;
        let mixing = onward(draft, shares).1.filter(|(_, place)| *place == 0).and_then(|(node, _)| Product::of(node));
        let mixing = mixing.ok_or("its shares are not multiplied with values")?;
        let (out, _) = onward(draft, mixing.out);
        let sum = softmax.input(0).and_then(|name| draft.maker(name)).filter(|node| node.is("Add"));
        let sides = sum.and_then(|sum| Some((sum.input(0)?, sum.input(1)?)));
        let (one, other) = sides.ok_or("its scores have no mask")?;
        // Scores come from a product, a mask does not.
        let (scored, bias, (scoring, scale)) = match (scores(draft, one), scores(draft, other)) {
            (Some(product), None) => (one, other, product),
            (None, Some(product)) => (other, one, product),
            (Some(_), Some(_)) | (None, None) => return Err("its mask cannot be told from its scores"),
        };
        Ok(Self { out, mixing, shares, scored, bias, scoring, scale })
    }

    /// Follows one number of each kind back, to what all others then have to come from.
    fn discover(&self, world: &World<'a>) -> Option<Attention> {
        let (past, start) = (world.tokens.past, &[0, 0, 0]);
        let Cell::At(_, mixed) = cell(world, self.out, start)? else { return None };
        let kept = |product: Product<'a>, at: &dyn Fn(usize) -> Option<[Vec<usize>; 2]>| {
            let source = |token: usize| match cell(world, product.right, &at(token)?[1])? {
                Cell::At(from, _) => Some(from),
                Cell::Whole(_) | Cell::Real(_) => None,
            };
            let (old, new) = (source(0)?, source(past)?);
            Some(if old == new {
                Kept::Ready(old.to_owned())
            } else {
                Kept::Grown { past: old.to_owned(), new: Rows::of(world, new)? }
            })
        };
        let values = kept(self.mixing, &|token| self.mixing.term(world, &mixed, token))?;
        let [share, _] = self.mixing.term(world, &mixed, 0)?;
        let Cell::At(_, share) = cell(world, self.mixing.left, &share)? else { return None };
        let (front, _) = share.split_at_checked(share.len().checked_sub(1)?)?;
        let score = |token: usize| self.score(world, &[front, &[token]].concat());
        let keys = kept(self.scoring, &|token| self.scoring.term(world, &score(token)?, 0))?;
        let [query, _] = self.scoring.term(world, &score(0)?, 0)?;
        let Cell::At(query, _) = cell(world, self.scoring.left, &query)? else { return None };
        let old = match &keys {
            Kept::Grown { past, .. } => past,
            Kept::Ready(value) => value,
        };
        let [1, kv_heads, _, width] = world.shape(old)? else { return None };
        let (kv_heads, width) = (*kv_heads, *width);
        let all = *world.shape(self.out)?.get(2)?;
        let heads = all.checked_div(width)?;
        (kv_heads > 0 && heads * width == all && heads % kv_heads == 0).then_some(())?;
        Some(Attention {
            out: self.out.to_owned(),
            heads,
            kv_heads,
            width,
            scale: self.scale,
            query: Rows::of(world, query)?,
            whole: true,
            keys,
            values,
            sight: Sight::Whole,
        })
    }

    /// The place in the product of queries and keys that a score comes from.
    fn score(&self, world: &World<'a>, at: &[usize]) -> Option<Vec<usize>> {
        let Cell::At(from, at) = cell(world, self.scored, at)? else { return None };
        if from == self.scoring.out {
            return Some(at);
        }
        let (before, _) = scaled(world.draft, world.draft.maker(from)?)?;
        (world.shape(before)? == world.shape(from)?).then_some(())?;
        match cell(world, before, &at)? {
            Cell::At(from, at) if from == self.scoring.out => Some(at),
            Cell::At(..) | Cell::Whole(_) | Cell::Real(_) => None,
        }
    }
}

impl Rows {
    fn of(world: &World<'_>, value: &str) -> Option<Self> {
        let rank = world.shape(value)?.len();
        (rank == 3 || rank == 4).then(|| Self { value: value.to_owned(), apart: rank == 4 })
    }

    fn shape(&self, rows: usize, heads: usize, width: usize) -> Vec<usize> {
        if self.apart { vec![1, rows, heads, width] } else { vec![1, rows, heads * width] }
    }

    fn place(&self, row: usize, head: usize, place: usize, width: usize) -> Vec<usize> {
        if self.apart { vec![0, row, head, place] } else { vec![0, row, head * width + place] }
    }
}

/// One attention, with so many tokens.
struct Look<'l, 'a> {
    outline: &'l Outline<'a>,
    world: &'l World<'a>,
    attention: &'l Attention,
    /// Tokens that ask: the last so many.
    rows: usize,
}

impl<'a> Look<'_, 'a> {
    /// Follows numbers of the outcome: those at every edge, where a wrong order would show.
    fn holds(&self) -> Option<()> {
        let Attention { heads, kv_heads, width, query, .. } = self.attention;
        let (Tokens { past, new }, outline) = (self.world.tokens, self.outline);
        let all = past + new;
        (self.rows > 0 && self.rows <= new).then_some(())?;
        let shape = |value: &str| self.world.shape(value).map(<[usize]>::to_vec);
        let is = |value: &str, wanted: &[usize]| (shape(value)? == wanted).then_some(());
        is(outline.out, &[1, self.rows, heads * width])?;
        is(&query.value, &query.shape(self.rows, *heads, *width))?;
        (shape(outline.scoring.left)?.last() == Some(width)).then_some(())?;
        (shape(outline.mixing.left)?.last() == Some(&all)).then_some(())?;
        (shape(outline.shares)?.last() == Some(&all) && shape(outline.scored)? == shape(outline.shares)?)
            .then_some(())?;
        let bias = shape(outline.bias)?;
        (broadcast(&shape(outline.scored)?, &bias)? == shape(outline.scored)?).then_some(())?;
        // One row for all tokens hides the same from each of them, and is not what a mask of the last one is.
        (bias.iter().rev().nth(1) == Some(&self.rows)).then_some(())?;
        for kept in [&self.attention.keys, &self.attention.values] {
            match kept {
                Kept::Ready(value) => is(value, &[1, *kv_heads, all, *width])?,
                Kept::Grown { past: old, new: rows } => {
                    is(old, &[1, *kv_heads, past, *width])?;
                    is(&rows.value, &rows.shape(new, *kv_heads, *width))?;
                }
            }
        }
        let each = heads / kv_heads;
        for head in edges(*heads).into_iter().chain([each - 1, each.min(heads - 1)]) {
            for row in edges(self.rows) {
                self.follow(head, row)?;
            }
        }
        Some(())
    }

    /// Follows the outcome of one head for one token.
    fn follow(&self, head: usize, row: usize) -> Option<()> {
        let Attention { heads, kv_heads, width, query, keys, values, .. } = self.attention;
        let (outline, tokens) = (self.outline, self.world.tokens);
        let kv_head = head / (heads / kv_heads);
        let tokens_seen = tokens.edges();
        let mut front: Option<Vec<usize>> = None;
        for place in edges(*width) {
            let mixed = self.at(outline.out, &[0, row, head * width + place], outline.mixing.out)?;
            for token in &tokens_seen {
                let [share, value] = outline.mixing.term(self.world, &mixed, *token)?;
                let share = self.at(outline.mixing.left, &share, outline.shares)?;
                let (found, [of, to]) = share.split_last_chunk::<2>()?;
                (*of == row && to == token).then_some(())?;
                (front.get_or_insert_with(|| found.to_vec()) == found).then_some(())?;
                self.is_kept(outline.mixing.right, &value, values, *token, kv_head, place)?;
            }
        }
        let front = front?;
        for token in &tokens_seen {
            let score = outline.score(self.world, &[front.as_slice(), &[row, *token]].concat())?;
            for place in edges(*width) {
                let [of, to] = outline.scoring.term(self.world, &score, place)?;
                (self.at(outline.scoring.left, &of, &query.value)? == query.place(row, head, place, *width))
                    .then_some(())?;
                self.is_kept(outline.scoring.right, &to, keys, *token, kv_head, place)?;
            }
        }
        Some(())
    }

    /// Whether a place of a value is that of a key or value.
    fn is_kept(
        &self,
        value: &'a str,
        at: &[usize],
        kept: &Kept,
        token: usize,
        head: usize,
        place: usize,
    ) -> Option<()> {
        let (from, wanted) = kept.origin(self.world.tokens, token, head, place, self.attention.width);
        (self.at(value, at, from)? == wanted).then_some(())
    }

    /// The place in `from` that a place of a value comes from.
    fn at(&self, value: &'a str, at: &[usize], from: &str) -> Option<Vec<usize>> {
        match cell(self.world, value, at)? {
            Cell::At(found, at) if found == from => Some(at),
            Cell::At(..) | Cell::Whole(_) | Cell::Real(_) => None,
        }
    }
}

/// The first two, the middle and the last of so many.
fn edges(length: usize) -> BTreeSet<usize> {
    let all = [0, 1, (length / 2).saturating_sub(1), length / 2, length.saturating_sub(1)];
    all.into_iter().filter(|place| *place < length).collect()
}

const MOVES: [&str; 6] = ["Reshape", "Transpose", "Unsqueeze", "Squeeze", "Expand", "Identity"];

fn moves(node: &Node) -> bool {
    MOVES.iter().any(|operator| node.is(operator))
}

/// What a value is called after everything that only moves its numbers, and who reads it then, at which place. None when
/// more than one does.
fn onward<'a>(draft: &'a Draft, value: &'a str) -> (&'a str, Option<(&'a Node, usize)>) {
    let mut value = value;
    loop {
        let mut readers = draft.readers(value);
        let reader = readers.next().filter(|_| !draft.is_output(value));
        let Some((node, place)) = reader.filter(|_| readers.next().is_none()) else { return (value, None) };
        match node.output(0).filter(|_| moves(node) && place == 0) {
            Some(moved) => value = moved,
            None => return (value, Some((node, place))),
        }
    }
}

/// The product that scores come from, and what they are multiplied with on the way.
fn scores<'a>(draft: &'a Draft, scored: &str) -> Option<(Product<'a>, f64)> {
    let (mut value, mut scale) = (scored, 1.0);
    let mut node = draft.maker(value)?;
    loop {
        if let Some(product) = Product::of(node) {
            return Some((product, scale));
        }
        if let Some((before, factor)) = scaled(draft, node).filter(|_| scale == 1.0) {
            (value, scale) = (before, factor);
        } else {
            value = node.input(0).filter(|_| moves(node))?;
        }
        node = draft.maker(value)?;
    }
}

/// What a node multiplies with a number that is not one, and that number.
fn scaled<'a>(draft: &'a Draft, node: &'a Node) -> Option<(&'a str, f64)> {
    let number = |name: &str| draft.weights(name)?.scalar().map(f64::from);
    let (one, other) = (node.input(0)?, node.input(1)?);
    if node.is("Mul") {
        return number(other).map(|factor| (one, factor)).or_else(|| number(one).map(|factor| (other, factor)));
    }
    node.is("Div").then_some(())?;
    number(other).filter(|divisor| *divisor != 0.0).map(|divisor| (one, 1.0 / divisor))
}
