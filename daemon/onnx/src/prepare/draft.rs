//! A graph that is being rewritten: its operators decoded, everything else as it was written.

use super::wire::{self, Field, fields, tag};
use crate::graph::proto::{Attribute, Constant, Entry, GraphBody, Kind, Node, Opset, TensorKind, Value};
use crate::graph::{Graph, ReadGraphError, Weights};
use crate::operators::DOMAIN;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The domain of the operators that ONNX Runtime adds.
pub(super) const CONTRIB: &str = "com.microsoft";

/// Since then `Softmax` and its like take the last axis unless another is named, and axes are inputs.
const OLDEST_OPSET: i64 = 13;

/// `AttributeProto.AttributeType`, as far as it is written here.
const FLOAT: i32 = 1;
const INTEGER: i32 = 2;

/// Kinds of settings that hold graphs of their own.
const GRAPHS: [i32; 2] = [5, 10];

/// Why a graph is not touched at all.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadGraphError),
    /// It can be read and is not of the kind that is rewritten here.
    #[error("it is left as published: {0}")]
    Foreign(String),
}

/// An operator, and how it was written.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) node: Node,
    /// None for one that was added here.
    written: Option<Written>,
}

#[derive(Debug, Clone)]
struct Written {
    bytes: Vec<u8>,
    node: Node,
}

/// A graph that is being rewritten.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// The published file; its weights lie beside it.
    path: PathBuf,
    bytes: Arc<[u8]>,
    /// The version of ONNX's own operators.
    pub(super) opset: i64,
    pub(super) parts: Vec<Part>,
    pub(super) inputs: Vec<Value>,
    pub(super) outputs: Vec<Value>,
    constants: HashMap<String, Constant>,
    added: BTreeMap<String, Constant>,
    /// Values whose noted shape does not hold any more.
    reshaped: HashSet<String>,
    marks: Vec<(&'static str, &'static str)>,
    makers: HashMap<String, usize>,
}

impl Draft {
    /// Takes apart what stands in the file `path`.
    ///
    /// # Errors
    /// [`DraftError`]; nothing of such a file may be changed.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, DraftError> {
        let foreign = |reason: &str| DraftError::Foreign(reason.to_owned());
        // Counted and checked there.
        let graph = Graph::parse(path, bytes)?;
        let opset = graph.opset();
        let GraphBody { nodes, initializers, inputs, outputs, .. } = graph.into_body();
        let holds_graphs = |node: &Node| node.attributes.iter().any(|attribute| GRAPHS.contains(&attribute.kind));
        if nodes.iter().any(|node| node.domain == DOMAIN) {
            return Err(foreign("it has operators that call themselves hob's"));
        }
        if nodes.iter().any(holds_graphs) {
            return Err(foreign("it has operators with graphs of their own"));
        }
        let outer = fields(bytes).map_err(DraftError::Foreign)?;
        let graphs: Vec<&Field<'_>> = outer.iter().filter(|field| field.tag == tag::MODEL_GRAPH).collect();
        let [body] = graphs.as_slice() else { return Err(foreign("it is written in several pieces")) };
        if opset < OLDEST_OPSET {
            return Err(DraftError::Foreign(format!(
                "its operators are those of ONNX opset {opset}, and hob knows those from {OLDEST_OPSET} on"
            )));
        }
        let body = fields(body.content).map_err(DraftError::Foreign)?;
        let written = body.iter().filter(|field| field.tag == tag::NODE).map(|field| field.content.to_vec());
        let parts = nodes
            .into_iter()
            .zip(written)
            .map(|(node, bytes)| Part { written: Some(Written { bytes, node: node.clone() }), node });
        let parts: Vec<Part> = parts.collect();
        let names = initializers.iter().map(|constant| constant.name.clone());
        let constants: HashMap<String, Constant> = names.zip(initializers.clone()).collect();
        if constants.len() != initializers.len() {
            return Err(foreign("two constants have one name"));
        }
        // Older files list constants among the inputs.
        let inputs: Vec<Value> = inputs.into_iter().filter(|input| !constants.contains_key(&input.name)).collect();
        let mut draft = Self {
            path: path.to_owned(),
            bytes: bytes.into(),
            opset,
            parts,
            inputs,
            outputs,
            constants,
            added: BTreeMap::new(),
            reshaped: HashSet::new(),
            marks: Vec::new(),
            makers: HashMap::new(),
        };
        draft.settle()?;
        let given = draft.inputs.iter().map(|input| &input.name).chain(draft.constants.keys());
        if given.into_iter().any(|name| draft.makers.contains_key(name)) {
            return Err(foreign("a value has two origins"));
        }
        Ok(draft)
    }

    /// Brings operators into an order in which they can run, and learns who makes what.
    ///
    /// # Errors
    /// [`DraftError::Foreign`] where there is no such order.
    pub(super) fn settle(&mut self) -> Result<(), DraftError> {
        let makers = |parts: &[Part]| -> HashMap<String, usize> {
            let named = |(place, part): (usize, &Part)| {
                let outputs: Vec<_> = part.node.outputs.iter().filter(|name| !name.is_empty()).cloned().collect();
                outputs.into_iter().map(move |name| (name, place))
            };
            parts.iter().enumerate().flat_map(named).collect()
        };
        let made = makers(&self.parts);
        let needs = |part: &Part| -> BTreeSet<usize> {
            part.node.inputs.iter().filter_map(|input| made.get(input).copied()).collect()
        };
        let mut needed_by = vec![Vec::new(); self.parts.len()];
        let mut missing = vec![0_usize; self.parts.len()];
        for (place, part) in self.parts.iter().enumerate() {
            for need in needs(part) {
                needed_by[need].push(place);
                missing[place] += 1;
            }
        }
        // As near to the order of the file as can be.
        let mut ready: BTreeSet<usize> = (0..missing.len()).filter(|place| missing[*place] == 0).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(place) = ready.pop_first() {
            order.push(place);
            for after in &needed_by[place] {
                missing[*after] -= 1;
                if missing[*after] == 0 {
                    ready.insert(*after);
                }
            }
        }
        if order.len() != self.parts.len() {
            return Err(DraftError::Foreign("its operators wait for each other in a circle".to_owned()));
        }
        let mut parts: Vec<Option<Part>> = std::mem::take(&mut self.parts).into_iter().map(Some).collect();
        self.parts = order.into_iter().filter_map(|place| parts.get_mut(place)?.take()).collect();
        self.makers = makers(&self.parts);
        Ok(())
    }

    /// Operators in an order in which they can run.
    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> + ExactSizeIterator {
        self.parts.iter().map(|part| &part.node)
    }

    pub(super) fn node(&self, place: usize) -> Option<&Node> {
        Some(&self.parts.get(place)?.node)
    }

    /// Who makes a value, as of the last [`Draft::settle`].
    pub(super) fn maker(&self, value: &str) -> Option<&Node> {
        Some(&self.parts.get(self.place(value)?)?.node)
    }

    /// Where the maker of a value stands.
    pub(super) fn place(&self, value: &str) -> Option<usize> {
        self.makers.get(value).copied()
    }

    /// Who reads a value, with the place of the input.
    pub(super) fn readers<'a>(&'a self, value: &'a str) -> impl Iterator<Item = (&'a Node, usize)> {
        self.nodes().flat_map(move |node| {
            let inputs = node.inputs.iter().enumerate();
            inputs.filter(move |(_, input)| *input == value).map(move |(place, _)| (node, place))
        })
    }

    /// The only operator that reads a value, and where; none for one that comes out of the graph as well.
    pub(super) fn only_reader<'a>(&'a self, value: &'a str) -> Option<(&'a Node, usize)> {
        let mut readers = self.readers(value);
        let (first, more) = (readers.next()?, readers.next());
        (more.is_none() && !self.is_output(value)).then_some(first)
    }

    /// The same name, for as long as the draft.
    pub(super) fn known(&self, value: &str) -> Option<&str> {
        if let Some(node) = self.maker(value) {
            return node.outputs.iter().find(|output| *output == value).map(String::as_str);
        }
        self.input(value)
            .map(|input| input.name.as_str())
            .or(self.constant(value).map(|constant| constant.name.as_str()))
    }

    pub(super) fn is_output(&self, value: &str) -> bool {
        self.outputs.iter().any(|output| output.name == value)
    }

    pub(super) fn input(&self, name: &str) -> Option<&Value> {
        self.inputs.iter().find(|input| input.name == name)
    }

    pub(super) fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name).or_else(|| self.added.get(name))
    }

    /// The numbers of a constant, be it one of the graph's own or made by a `Constant` operator.
    pub(super) fn weights(&self, value: &str) -> Option<Weights> {
        let made = || {
            let node = self.maker(value).filter(|node| node.is("Constant"))?;
            node.attributes.iter().find(|attribute| attribute.name == "value")?.tensor.as_ref()
        };
        Weights::new(self.constant(value).or_else(made)?, &self.path).ok()
    }

    /// A name that nothing has yet.
    pub(super) fn fresh(&self, wanted: &str) -> String {
        let taken =
            |name: &str| self.makers.contains_key(name) || self.constant(name).is_some() || self.input(name).is_some();
        let tried =
            (1_usize..).map(|number| if number == 1 { wanted.to_owned() } else { format!("{wanted}_{number}") });
        tried.into_iter().find(|name| !taken(name)).unwrap_or_default()
    }

    pub(super) fn add_constant(&mut self, constant: Constant) -> String {
        let name = constant.name.clone();
        self.added.insert(name.clone(), constant);
        name
    }

    /// A list of whole numbers, the same one for the same numbers.
    pub(super) fn integers(&mut self, numbers: &[i64]) -> String {
        let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let name = format!("/hob/integers/[{}]", words.join(","));
        if self.added.contains_key(&name) {
            return name;
        }
        let dims = vec![i64::try_from(numbers.len()).unwrap_or(i64::MAX)];
        let raw = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.add_constant(Constant { name, dims, element: 7, raw, ..Constant::default() })
    }

    /// Takes out the operators that make some values, and puts others in.
    pub(super) fn put_in_place_of(&mut self, values: &HashSet<String>, nodes: Vec<Node>) {
        self.parts.retain(|part| !part.node.outputs.iter().any(|output| values.contains(output)));
        nodes.into_iter().for_each(|node| self.add(node));
    }

    /// Puts other operators in the place of some.
    pub(super) fn replace(&mut self, other: impl Fn(&Node) -> Option<Node>) {
        for part in &mut self.parts {
            if let Some(node) = other(&part.node) {
                *part = Part { node, written: None };
            }
        }
    }

    /// Adds an operator; it is in its place after [`Draft::settle`].
    pub(super) fn add(&mut self, node: Node) {
        self.parts.push(Part { node, written: None });
    }

    /// Removes the operator that makes a value; another takes its place.
    pub(super) fn remove_maker(&mut self, value: &str) {
        self.parts.retain(|part| !part.node.outputs.iter().any(|output| output == value));
    }

    /// Whether an operator makes this, be it in its place already or not.
    pub(super) fn makes(&self, value: &str) -> bool {
        self.nodes().any(|node| node.outputs.iter().any(|output| output == value))
    }

    /// A name for an operator that makes a value.
    pub(super) fn fresh_node(&self, value: &str) -> String {
        format!("/hob{}{value}", if value.starts_with('/') { "" } else { "/" })
    }

    /// The precision of a value, as a number of `TensorProto.DataType`, where the graph says it.
    pub(super) fn element(&self, value: &str) -> Option<i32> {
        let port = self.inputs.iter().chain(&self.outputs).find(|port| port.name == value);
        let cast = || self.maker(value).filter(|node| node.is("Cast"))?.integer("to");
        port.and_then(Value::element).or_else(|| cast().and_then(|to| i32::try_from(to).ok()))
    }

    /// The shape that the file notes for a value, should it note one, is left out.
    pub(super) fn forget_shape(&mut self, value: &str) {
        self.reshaped.insert(value.to_owned());
    }

    /// Leaves a mark for whoever reads the graph.
    pub(super) fn mark(&mut self, key: &'static str, value: &'static str) {
        self.marks.push((key, value));
    }

    /// Removes operators whose values nobody reads. Returns how many.
    ///
    /// # Errors
    /// As [`Draft::settle`].
    pub(super) fn remove_unread(&mut self) -> Result<usize, DraftError> {
        self.settle()?;
        let mut read: HashSet<String> = self.outputs.iter().map(|output| output.name.clone()).collect();
        let mut kept = Vec::with_capacity(self.parts.len());
        let before = self.parts.len();
        for part in std::mem::take(&mut self.parts).into_iter().rev() {
            if part.node.outputs.iter().any(|output| read.contains(output)) {
                read.extend(part.node.inputs.iter().cloned());
                kept.push(part);
            }
        }
        kept.reverse();
        self.parts = kept;
        self.settle()?;
        Ok(before - self.parts.len())
    }

    /// The file with all that was changed in it, everything else as it stood.
    ///
    /// # Errors
    /// [`DraftError`] as in reading.
    pub(super) fn written(&self) -> Result<Vec<u8>, DraftError> {
        let mut out = Vec::with_capacity(self.bytes.len());
        // A domain that operators here are from, and that the file may not name yet.
        let domains = [CONTRIB, DOMAIN].into_iter();
        let mut missing: BTreeSet<&str> =
            domains.filter(|domain| self.nodes().any(|node| node.domain == *domain)).collect();
        for field in fields(&self.bytes).map_err(DraftError::Foreign)? {
            if field.tag == tag::MODEL_GRAPH {
                wire::put(&mut out, field.tag, &self.body(field.content)?);
                continue;
            }
            // A mark that a published file brings along means nothing.
            let key = || Entry::decode(field.content).map(|entry| entry.key).unwrap_or_default();
            if field.tag == tag::MODEL_METADATA && key() == super::in_place::MARK.0 {
                continue;
            }
            if field.tag == tag::MODEL_OPSET
                && let Ok(opset) = Opset::decode(field.content)
            {
                missing.remove(opset.domain.as_str());
            }
            field.copy_to(&mut out);
        }
        for domain in missing {
            wire::put_message(&mut out, tag::MODEL_OPSET, &Opset { domain: domain.to_owned(), version: 1 });
        }
        for (key, value) in &self.marks {
            let entry = Entry { key: (*key).to_owned(), value: (*value).to_owned() };
            wire::put_message(&mut out, tag::MODEL_METADATA, &entry);
        }
        Ok(out)
    }

    fn body(&self, written: &[u8]) -> Result<Vec<u8>, DraftError> {
        let mut out = Vec::with_capacity(written.len());
        for part in &self.parts {
            wire::put(&mut out, tag::NODE, &part.bytes()?);
        }
        let read: HashSet<&str> = self.nodes().flat_map(|node| &node.inputs).map(String::as_str).collect();
        let read_or_out = |name: &str| read.contains(name) || self.is_output(name);
        for field in fields(written).map_err(DraftError::Foreign)? {
            let stays = match field.tag {
                tag::NODE => false,
                tag::INITIALIZER => {
                    name_of::<Constant>(field.content, |constant| constant.name).is_none_or(|name| read_or_out(&name))
                }
                // A constant among the inputs goes with the constant: left alone it would have to be given.
                tag::INPUT => name_of::<Value>(field.content, |value| value.name)
                    .is_none_or(|name| !self.constants.contains_key(&name) || read_or_out(&name)),
                tag::VALUE_INFO => name_of::<Value>(field.content, |value| value.name)
                    .is_none_or(|name| read_or_out(&name) && !self.reshaped.contains(&name)),
                _ => true,
            };
            if stays {
                field.copy_to(&mut out);
            }
        }
        for constant in self.added.values().filter(|constant| read.contains(constant.name.as_str())) {
            wire::put_message(&mut out, tag::INITIALIZER, constant);
        }
        Ok(out)
    }
}

fn name_of<T: Message + Default>(content: &[u8], name: impl Fn(T) -> String) -> Option<String> {
    T::decode(content).ok().map(name)
}

impl Part {
    /// As it was written but for what has changed.
    fn bytes(&self) -> Result<Vec<u8>, DraftError> {
        let Some(Written { bytes, node }) = &self.written else { return Ok(self.node.encode_to_vec()) };
        if *node == self.node {
            return Ok(bytes.clone());
        }
        let mut out = Vec::with_capacity(bytes.len());
        for name in &self.node.inputs {
            wire::put(&mut out, tag::NODE_INPUT, name.as_bytes());
        }
        for name in &self.node.outputs {
            wire::put(&mut out, tag::NODE_OUTPUT, name.as_bytes());
        }
        let changed: Vec<&Attribute> =
            self.node.attributes.iter().filter(|attribute| !node.attributes.contains(attribute)).collect();
        for field in fields(bytes).map_err(DraftError::Foreign)? {
            let stays = match field.tag {
                tag::NODE_INPUT | tag::NODE_OUTPUT => false,
                tag::NODE_ATTRIBUTE => name_of::<Attribute>(field.content, |attribute| attribute.name)
                    .is_none_or(|name| changed.iter().all(|attribute| attribute.name != name)),
                _ => true,
            };
            if stays {
                field.copy_to(&mut out);
            }
        }
        for attribute in changed {
            wire::put_message(&mut out, tag::NODE_ATTRIBUTE, attribute);
        }
        Ok(out)
    }
}

/// One operator, written from scratch.
pub(super) fn operator(domain: &str, operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Node {
        inputs: owned(inputs),
        outputs: owned(outputs),
        name: name.to_owned(),
        operator: operator.to_owned(),
        domain: domain.to_owned(),
        attributes: Vec::new(),
    }
}

impl Node {
    /// With a whole-number setting, in place of one of that name.
    pub(super) fn set_integer(&mut self, name: &str, integer: i64) {
        self.attributes.retain(|attribute| attribute.name != name);
        let name = name.to_owned();
        self.attributes.push(Attribute { name, integer, kind: INTEGER, ..Attribute::default() });
    }

    /// With a setting that is a number.
    pub(crate) fn set_float(&mut self, name: &str, float: f32) {
        self.attributes.retain(|attribute| attribute.name != name);
        let name = name.to_owned();
        self.attributes.push(Attribute { name, float, kind: FLOAT, ..Attribute::default() });
    }

    /// The number in a setting; none where it is not there.
    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.float)
    }

    /// A setting that is words.
    pub(super) fn text(&self, name: &str) -> Option<&[u8]> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.text.as_slice())
    }

    /// The whole numbers in a setting; none where it is not there.
    pub(super) fn integers(&self, name: &str) -> Option<&[i64]> {
        let found = self.attributes.iter().find(|attribute| attribute.name == name)?;
        Some(&found.integers)
    }

    /// An input, none where it is left out.
    pub(super) fn input(&self, place: usize) -> Option<&str> {
        self.inputs.get(place).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// An output, none where it is left out.
    pub(super) fn output(&self, place: usize) -> Option<&str> {
        self.outputs.get(place).map(String::as_str).filter(|name| !name.is_empty())
    }
}

impl Value {
    /// What it holds, as a number of `TensorProto.DataType`.
    pub(super) fn element(&self) -> Option<i32> {
        let Kind { tensor } = self.kind.as_ref()?;
        tensor.as_ref().map(|TensorKind { element, .. }| *element)
    }
}
