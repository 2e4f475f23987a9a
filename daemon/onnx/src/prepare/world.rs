//! A graph looked at with numbers for its free dimensions: which shape every value has, for one sequence of so many past
//! and so many new tokens.

use super::draft::Draft;
use super::names::{KEEP, MASK, PAST, POSITIONS};
use super::shapes::{self, MOST_DIMS};
use crate::graph::proto::Value;
use crate::graph::{Node, Weights};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};

/// How many tokens there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) past: usize,
    pub(super) new: usize,
}

impl Tokens {
    pub(super) fn all(self) -> usize {
        self.past.saturating_add(self.new)
    }
}

/// What an input of the graph is in one sequence without padding, as hob runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Ones, for each token.
    Mask,
    /// How many tokens stand before each new one.
    Positions,
    /// How many logits are wanted.
    Keep,
    /// Numbers.
    Data,
}

/// Steps from value to value, one within another. Published graphs need some twenty; a hostile one could need any number.
const DEEPEST: usize = 128;

/// Steps altogether. The largest published graph needs less than a million.
const MOST_STEPS: usize = 20_000_000;

pub(super) struct World<'a> {
    pub(super) draft: &'a Draft,
    pub(super) tokens: Tokens,
    /// For how many tokens logits are wanted.
    pub(super) keep: usize,
    shapes: HashMap<&'a str, Vec<usize>>,
    weights: RefCell<HashMap<&'a str, Option<Weights>>>,
    /// Values that follow from how many tokens there are alone.
    counted: HashSet<&'a str>,
    lists: RefCell<HashMap<String, Vec<i64>>>,
    depth: Cell<usize>,
    steps: Cell<usize>,
}

impl<'a> World<'a> {
    /// The whole graph.
    pub(super) fn new(draft: &'a Draft, tokens: Tokens, keep: usize) -> Self {
        Self::of(draft, tokens, keep, draft.nodes())
    }

    /// Only what a value is made from.
    pub(super) fn behind(draft: &'a Draft, tokens: Tokens, value: &str) -> Self {
        Self::keeping(draft, tokens, 1, value)
    }

    /// As [`World::behind`], with logits wanted for the last `keep` tokens.
    pub(super) fn keeping(draft: &'a Draft, tokens: Tokens, keep: usize, value: &str) -> Self {
        let mut places = BTreeSet::new();
        let mut next: Vec<usize> = draft.place(value).into_iter().collect();
        while let Some(place) = next.pop() {
            if places.insert(place) {
                let inputs = draft.node(place).map(|node| node.inputs.as_slice()).unwrap_or_default();
                next.extend(inputs.iter().filter_map(|input| draft.place(input)));
            }
        }
        let mut world = Self::of(draft, tokens, keep, places.into_iter().filter_map(|place| draft.node(place)));
        if let Some(value) = draft.known(value) {
            world.learn_constant(value);
        }
        world
    }

    fn of(draft: &'a Draft, tokens: Tokens, keep: usize, nodes: impl Iterator<Item = &'a Node>) -> Self {
        let mut world = Self {
            draft,
            tokens,
            keep,
            shapes: HashMap::new(),
            weights: RefCell::default(),
            counted: HashSet::new(),
            lists: RefCell::default(),
            depth: Cell::new(0),
            steps: Cell::new(0),
        };
        for input in &draft.inputs {
            if let Some(shape) = given(input, tokens) {
                world.learn(&input.name, shape);
            }
        }
        // Operators stand in an order in which they can run.
        for node in nodes {
            for name in &node.inputs {
                world.learn_constant(name);
            }
            let counts = |name: &String| {
                let given = world.role(name).is_some_and(|role| role != Role::Data);
                name.is_empty() || given || world.counted.contains(name.as_str()) || draft.constant(name).is_some()
            };
            if node.is("Shape") || node.inputs.iter().all(counts) {
                world.counted.extend(node.outputs.iter().map(String::as_str));
            }
            let made = shapes::made(node, &world);
            for (name, shape) in node.outputs.iter().zip(made) {
                if let Some(shape) = shape.filter(|_| !name.is_empty()) {
                    world.learn(name, shape);
                }
            }
        }
        world
    }

    fn learn_constant(&mut self, name: &'a str) {
        if self.draft.constant(name).is_some() && !self.shapes.contains_key(name) {
            let constant = self.draft.constant(name).filter(|constant| constant.dims.len() <= MOST_DIMS);
            let dims = constant.map(|constant| constant.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect());
            if let Some(Some(dims)) = dims {
                self.learn(name, dims);
            }
        }
    }

    /// A value with more dimensions than any has no shape.
    fn learn(&mut self, name: &'a str, shape: Vec<usize>) {
        if shape.len() <= MOST_DIMS {
            self.shapes.insert(name, shape);
        }
    }

    /// The shape of a value, where it can be told.
    pub(super) fn shape(&self, value: &str) -> Option<&[usize]> {
        self.shapes.get(value).map(Vec::as_slice)
    }

    /// The numbers of a constant.
    pub(super) fn weights(&self, value: &'a str) -> Option<Weights> {
        self.weights.borrow_mut().entry(value).or_insert_with(|| self.draft.weights(value)).clone()
    }

    /// Whether a value follows from how many tokens there are alone.
    pub(super) fn is_counted(&self, value: &str) -> bool {
        self.counted.contains(value)
    }

    /// The whole numbers that a value holds, reckoned once.
    pub(super) fn list_of(&self, value: &str, reckon: impl FnOnce() -> Option<Vec<i64>>) -> Option<Vec<i64>> {
        if let Some(known) = self.lists.borrow().get(value) {
            return Some(known.clone());
        }
        // What is too deep from here may be near enough from elsewhere.
        let list = reckon()?;
        self.lists.borrow_mut().insert(value.to_owned(), list.clone());
        Some(list)
    }

    /// Takes one step further, unless it is one too many.
    pub(super) fn step<T>(&self, further: impl FnOnce() -> Option<T>) -> Option<T> {
        let (depth, steps) = (self.depth.get(), self.steps.get());
        if depth >= DEEPEST || steps >= MOST_STEPS {
            return None;
        }
        self.steps.set(steps + 1);
        self.depth.set(depth + 1);
        let found = further();
        self.depth.set(depth);
        found
    }

    pub(super) fn role(&self, input: &str) -> Option<Role> {
        self.draft.input(input).map(|_| match input {
            MASK => Role::Mask,
            POSITIONS => Role::Positions,
            KEEP => Role::Keep,
            _ => Role::Data,
        })
    }
}

/// The shape of an input of the published layout. A free dimension is the batch, then tokens.
fn given(input: &Value, tokens: Tokens) -> Option<Vec<usize>> {
    let dims = &input.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?.dims;
    (dims.len() <= MOST_DIMS).then_some(())?;
    let dim = |(axis, dim): (usize, &crate::graph::proto::Dimension)| match (dim.length, axis) {
        (Some(length), _) => usize::try_from(length).ok(),
        (None, 0) => Some(1),
        (None, 2) if input.name.starts_with(PAST) => Some(tokens.past),
        (None, 1) if input.name == MASK => Some(tokens.all()),
        (None, 1) if !input.name.starts_with(PAST) => Some(tokens.new),
        (None, _) => None,
    };
    dims.iter().enumerate().map(dim).collect()
}
