//! What happens to a token id before it is looked up.

use super::{LONGEST_CHAIN, OpenLookupError, unlike};
use crate::graph::{Graph, Node};

/// A small expression over one id. Truth is 1 and 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// The id itself.
    Id,
    /// Always the same.
    Constant(i64),
    /// The second if the first is true, else the third.
    Where(Box<[Rule; 3]>),
    /// Two of them, compared or joined.
    Two(Operator, Box<[Rule; 2]>),
    /// Not.
    Not(Box<Rule>),
}

/// What joins two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
}

impl Operator {
    const ALL: [(&str, Self); 10] = [
        ("Equal", Self::Equal),
        ("Or", Self::Or),
        ("And", Self::And),
        ("Less", Self::Less),
        ("LessOrEqual", Self::LessOrEqual),
        ("Greater", Self::Greater),
        ("GreaterOrEqual", Self::GreaterOrEqual),
        ("Add", Self::Add),
        ("Sub", Self::Subtract),
        ("Mul", Self::Multiply),
    ];

    fn of(node: &Node) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| node.is(name)).map(|(_, operator)| operator)
    }

    fn apply(self, left: i64, right: i64) -> i64 {
        match self {
            Self::Equal => (left == right).into(),
            Self::Or => (left != 0 || right != 0).into(),
            Self::And => (left != 0 && right != 0).into(),
            Self::Less => (left < right).into(),
            Self::LessOrEqual => (left <= right).into(),
            Self::Greater => (left > right).into(),
            Self::GreaterOrEqual => (left >= right).into(),
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
        }
    }
}

impl Rule {
    /// Reads how `value` comes from the input `ids`, for each id by itself.
    pub(super) fn read(graph: &Graph, ids: &str, value: &str) -> Result<Self, OpenLookupError> {
        // Hostile graphs may refer to themselves, or to one value so often that the rule would have no end.
        let mut nodes_left = LONGEST_CHAIN;
        Reading { graph, ids }.value(value, &mut nodes_left)
    }

    /// The ids that it names.
    pub(super) fn constants(&self) -> Vec<i64> {
        match self {
            Self::Id => Vec::new(),
            Self::Constant(value) => vec![*value],
            Self::Where(parts) => parts.iter().flat_map(Self::constants).collect(),
            Self::Two(_, parts) => parts.iter().flat_map(Self::constants).collect(),
            Self::Not(part) => part.constants(),
        }
    }

    /// What is looked up for an id.
    pub(super) fn of(&self, id: i64) -> i64 {
        match self {
            Self::Id => id,
            Self::Constant(value) => *value,
            Self::Where(parts) => {
                let [condition, yes, no] = &**parts;
                if condition.of(id) != 0 { yes.of(id) } else { no.of(id) }
            }
            Self::Two(operator, parts) => {
                let [left, right] = &**parts;
                operator.apply(left.of(id), right.of(id))
            }
            Self::Not(part) => i64::from(part.of(id) == 0),
        }
    }
}

struct Reading<'a> {
    graph: &'a Graph,
    ids: &'a str,
}

impl Reading<'_> {
    fn value(&self, name: &str, nodes_left: &mut usize) -> Result<Rule, OpenLookupError> {
        *nodes_left = nodes_left.checked_sub(1).ok_or_else(|| unlike("the rule for ids is too long"))?;
        if name == self.ids {
            return Ok(Rule::Id);
        }
        if let Some(constant) = self.graph.weights(name)? {
            return match constant.integers().as_deref() {
                Some([one]) => Ok(Rule::Constant(*one)),
                Some(_) | None => Err(unlike(format!("'{name}' is not one whole number"))),
            };
        }
        let node = self.graph.maker(name).ok_or_else(|| unlike(format!("nothing makes '{name}'")))?;
        let mut input = |place: usize| self.value(node.inputs.get(place).map_or("", String::as_str), nodes_left);
        if let Some(operator) = Operator::of(node) {
            return Ok(Rule::Two(operator, Box::new([input(0)?, input(1)?])));
        }
        // One number for every id is the same number, however it is spread.
        if node.is("Expand") || node.is("Identity") || (node.is("Cast") && whole_numbers(node)) {
            return input(0);
        }
        if node.is("Cast") && node.integer("to") == Some(TRUTH) {
            return Ok(Rule::Not(Box::new(Rule::Not(Box::new(input(0)?)))));
        }
        if node.is("ConstantOfShape") {
            return Ok(Rule::Constant(node.constant("value").unwrap_or(0)));
        }
        if node.is("Where") {
            return Ok(Rule::Where(Box::new([input(0)?, input(1)?, input(2)?])));
        }
        if node.is("Not") {
            return Ok(Rule::Not(Box::new(input(0)?)));
        }
        Err(unlike(format!("ids go through '{}' ({})", node.name, node.operator)))
    }
}

/// Truth values, by the numbers of `TensorProto.DataType`.
const TRUTH: i64 = 9;

/// Whether a cast keeps ids and truth values what they are: to 32 or 64 bits.
fn whole_numbers(node: &Node) -> bool {
    matches!(node.integer("to"), Some(6 | 7))
}
