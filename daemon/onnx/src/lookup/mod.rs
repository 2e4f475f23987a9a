//! A graph that does nothing but look rows up, answered from its file without ever loading it.
//!
//! The tables of `embed_tokens` are half of a small Gemma's bytes, and a token needs one row of each. So the graph is
//! read (see [`Graph`]), recognised, and its rows are read and dequantized here, to the same bits that ONNX Runtime
//! gives: at opening both are run on the first rows (see `probe`), since what is rounded where in half precision is ONNX
//! Runtime's choice, graph by graph. What is recognised: every output is one [`Table`] looked up by the token ids, perhaps multiplied by constants,
//! cast, and reshaped without changing the order; ids may be replaced by a rule first (placeholders of pictures and sound
//! take the row of padding). Any other graph is not refused but left to a [`Session`](crate::Session).

mod ids;
mod probe;
mod table;

use crate::Runtime;
use crate::graph::{Graph, Node, ReadGraphError, Weights, WeightsError};
use crate::port::{Port, Signature};
use crate::session::RunError;
use crate::tensor::{Element, Tensor};
use ids::Rule;
use std::path::Path;
use table::Table;

/// Why a graph is not answered from its file.
#[derive(Debug, thiserror::Error)]
pub enum OpenLookupError {
    /// It cannot be read.
    #[error(transparent)]
    Graph(#[from] ReadGraphError),
    /// Its weights cannot.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It does something else.
    #[error("{0}")]
    Unlike(String),
}

/// An opened graph of tables.
#[derive(Debug)]
pub struct Lookup {
    signature: Signature,
    looked_up: Vec<LookedUp>,
}

/// How one output comes about.
#[derive(Debug)]
struct LookedUp {
    table: Table,
    rule: Rule,
    steps: Vec<Step>,
    element: Element,
    rounding: Rounding,
    /// The dimensions behind batch and tokens. Their product is the table's width.
    inner: Vec<usize>,
}

/// What is rounded to half precision on the way out of a table of half precision. The CPU has no arithmetic of half
/// precision: ONNX Runtime works in single precision and leaves out roundings that it takes for needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rounding {
    /// Numbers as they leave the table.
    rows: bool,
    /// Products.
    products: bool,
}

/// What happens to each number on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Multiply(f32),
    Cast(Element),
}

impl Lookup {
    /// Opens the graph at `path`, looks whether it is one of tables, and runs it on a few rows to see that it gives the
    /// same.
    ///
    /// # Errors
    /// [`OpenLookupError`]; a [`Session`](crate::Session) may still be able to run it.
    pub fn open(runtime: &Runtime, path: &Path) -> Result<Self, OpenLookupError> {
        let graph = Graph::read(path)?;
        probe::agreed(runtime, &graph, Self::of(&graph)?)
    }

    /// Looks whether the graph at `path` is one of tables, without running anything.
    ///
    /// # Errors
    /// [`OpenLookupError`] when it is not.
    pub fn recognise(path: &Path) -> Result<(), OpenLookupError> {
        Self::of(&Graph::read(path)?).map(drop)
    }

    fn of(graph: &Graph) -> Result<Self, OpenLookupError> {
        let signature = graph.signature();
        let [ids] = signature.inputs.as_slice() else { return Err(unlike("it has not one input")) };
        let looked_up =
            signature.outputs.iter().map(|output| looked_up(graph, ids, output)).collect::<Result<_, _>>()?;
        Ok(Self { looked_up, signature })
    }

    /// What goes in and what comes out.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Looks up one sequence of ids: a tensor `[1, ids, …]` for each output.
    ///
    /// # Errors
    /// [`RunError::Failed`] for an id that a table does not have, or when the file cannot be read any more.
    pub fn run(&self, ids: &[i64]) -> Result<Vec<Tensor>, RunError> {
        self.looked_up.iter().map(|output| output.run(ids)).collect()
    }
}

impl LookedUp {
    fn run(&self, ids: &[i64]) -> Result<Tensor, RunError> {
        let mut numbers = vec![0.0; ids.len() * self.table.width()];
        let mut reader = self.table.reader();
        for (row, id) in numbers.chunks_exact_mut(self.table.width()).zip(ids) {
            reader.read(self.rule.of(*id), row).map_err(|error| RunError::Failed(error.to_string()))?;
            self.finish(row);
        }
        let shape: Vec<usize> = [1, ids.len()].into_iter().chain(self.inner.iter().copied()).collect();
        Ok(match self.element {
            Element::F16 => Tensor::f16(&shape, &numbers)?,
            Element::F32 | Element::I64 | Element::I32 | Element::Bool | Element::Other => {
                Tensor::f32(&shape, numbers)?
            }
        })
    }

    /// All that happens to a row after it was read.
    fn finish(&self, row: &mut [f32]) {
        let mut element = self.table.element();
        if self.rounding.rows {
            round(element, row);
        }
        for step in &self.steps {
            match step {
                Step::Multiply(factor) => {
                    row.iter_mut().for_each(|number| *number *= factor);
                    if self.rounding.products {
                        round(element, row);
                    }
                }
                Step::Cast(to) => {
                    element = *to;
                    round(element, row);
                }
            }
        }
    }
}

/// Rounds numbers to what `element` can hold.
fn round(element: Element, row: &mut [f32]) {
    if element == Element::F16 {
        row.iter_mut().for_each(|number| *number = half::f16::from_f32(*number).to_f32());
    }
}

/// The longest chain between a table and an output, or in a rule for ids. Published graphs have fewer than ten.
const LONGEST_CHAIN: usize = 64;

fn unlike(what: impl Into<String>) -> OpenLookupError {
    OpenLookupError::Unlike(what.into())
}

/// Goes back from an output to its table.
fn looked_up(graph: &Graph, ids: &Port, output: &Port) -> Result<LookedUp, OpenLookupError> {
    let mut steps = Vec::new();
    let mut value = output.name.clone();
    for _ in 0..LONGEST_CHAIN {
        let Some(node) = graph.maker(&value) else { return Err(unlike(format!("nothing makes '{value}'"))) };
        if node.is("Gather") || node.is_contrib("GatherBlockQuantized") {
            let table = Table::open(graph, node)?;
            let rule = Rule::read(graph, &ids.name, node.inputs.get(1).map_or("", String::as_str))?;
            steps.reverse();
            return whole(table, rule, steps, output);
        }
        value = one_step_back(graph, node, &mut steps)?;
    }
    Err(unlike(format!("the way to '{}' is too long", output.name)))
}

/// Notes what a node does to its numbers. Returns the value that it does it to.
fn one_step_back(graph: &Graph, node: &Node, steps: &mut Vec<Step>) -> Result<String, OpenLookupError> {
    let input = |place: usize| node.inputs.get(place).map_or("", String::as_str);
    let scalar = |name: &str| Ok::<_, WeightsError>(graph.weights(name)?.as_ref().and_then(Weights::scalar));
    if node.is("Reshape") || node.is("Identity") {
        return Ok(input(0).to_owned());
    }
    if node.is("Cast") {
        let to = node.integer("to").map(Element::of_code).filter(|to| matches!(to, Element::F32 | Element::F16));
        steps.push(Step::Cast(to.ok_or_else(|| unlike("a table is cast to something else than numbers"))?));
        return Ok(input(0).to_owned());
    }
    if node.is("Mul") {
        for (numbers, factor) in [(input(0), input(1)), (input(1), input(0))] {
            if let Some(factor) = scalar(factor)? {
                steps.push(Step::Multiply(factor));
                return Ok(numbers.to_owned());
            }
        }
    }
    Err(unlike(format!("'{}' ({}) does more than to look rows up", node.name, node.operator)))
}

/// Puts an output together when its shape is that of rows.
fn whole(table: Table, rule: Rule, steps: Vec<Step>, output: &Port) -> Result<LookedUp, OpenLookupError> {
    let inner: Vec<usize> = match output.dims.len() {
        3 => vec![table.width()],
        _ => (2..output.dims.len()).map_while(|axis| output.fixed(axis)).collect(),
    };
    let cast = |element, step: &Step| if let Step::Cast(to) = step { *to } else { element };
    let element = steps.iter().fold(table.element(), cast);
    let rows = inner.len() + 2 == output.dims.len() && inner.iter().product::<usize>() == table.width();
    if !rows || output.element != Some(element) {
        return Err(unlike(format!("the output '{output}' is not made of rows of {}", table.width())));
    }
    Ok(LookedUp { table, rule, steps, element, rounding: Rounding { rows: true, products: true }, inner })
}

#[cfg(test)]
mod tests;
