//! An ONNX file read without ONNX Runtime: which operators there are, and where their weights lie.
//!
//! For what has to be known of a graph before it is loaded, or instead of loading it. Nothing here runs anything. A
//! file is untrusted: sizes and places that it names are checked against what is really there.

#[cfg(test)]
pub(crate) mod build;
pub(crate) mod proto;
mod weights;

pub use proto::Node;
pub use weights::{NumberKind, Weights, WeightsError};

use crate::port::{Dim, Port, Signature};
use crate::product::{Kernels, Product, Products, find, form_of};
use crate::tensor::Element;
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most operators, constants, settings and names. The largest published graph has some 30,000. A hostile file can
/// name one in two bytes, and each takes some three hundred in memory.
const MOST_PARTS: usize = 500_000;

/// Why a file could not be read as a graph.
#[derive(Debug, thiserror::Error)]
pub enum ReadGraphError {
    /// The system says no.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Too large to be a graph whose weights lie beside it.
    #[error(
        "{path} has {bytes} bytes, and hob reads at most {}: save its weights in a file beside it",
        Graph::MAX_BYTES
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is no ONNX file, or only the beginning of one.
    #[error("{path} is cut short or no ONNX graph ({reason}): fetch it again")]
    NotAGraph {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The operators and constants of one file.
#[derive(Debug, Clone)]
pub struct Graph {
    path: PathBuf,
    body: proto::GraphBody,
    ir_version: i64,
    opsets: Vec<proto::Opset>,
    /// Which node makes a value.
    makers: HashMap<String, usize>,
    constants: HashMap<String, usize>,
}

impl Graph {
    /// The most that a graph may take that is read whole. The largest published one has 0.9 MB, its weights beside it.
    pub const MAX_BYTES: u64 = 256 << 20;

    /// Reads a file. The weights beside it are not touched.
    ///
    /// # Errors
    /// [`ReadGraphError`] for a file that is none.
    pub fn read(path: &Path) -> Result<Self, ReadGraphError> {
        Self::parse(path, &Self::content(path)?)
    }

    /// What stands in a file that is no larger than a graph may be.
    pub(crate) fn content(path: &Path) -> Result<Vec<u8>, ReadGraphError> {
        let unreadable = |source| ReadGraphError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes > Self::MAX_BYTES {
            return Err(ReadGraphError::TooLarge { path: path.to_owned(), bytes });
        }
        let mut content = Vec::new();
        file.take(Self::MAX_BYTES).read_to_end(&mut content).map_err(unreadable)?;
        Ok(content)
    }

    /// Its operators in the order of the file.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.body.nodes.iter()
    }

    /// Its own constants in the order of the file.
    pub(crate) fn initializers(&self) -> &[proto::Constant] {
        &self.body.initializers
    }

    /// The numbers of one of the graph's own constants; none where there is none of that name, or of a kind that is not
    /// read here.
    pub(crate) fn initializer_weights(&self, name: &str) -> Result<Option<Weights>, WeightsError> {
        let known = |constant: &&proto::Constant| NumberKind::of(constant.element).is_some();
        self.constant(name).filter(known).map(|constant| Weights::new(constant, &self.path)).transpose()
    }

    /// Whether it goes in or comes out under that name. Older files list constants as inputs.
    pub(crate) fn is_port(&self, name: &str) -> bool {
        self.body.inputs.iter().chain(&self.body.outputs).any(|port| port.name == name)
    }

    /// The version of ONNX's own operators that it speaks of, the oldest should it name several; 0 where it names none.
    pub(crate) fn opset(&self) -> i64 {
        let own = |opset: &&proto::Opset| opset.domain.is_empty() || opset.domain == "ai.onnx";
        self.opsets.iter().filter(own).map(|opset| opset.version).min().unwrap_or(0)
    }

    /// Its operators, constants, inputs and outputs.
    pub(crate) fn into_body(self) -> proto::GraphBody {
        self.body
    }

    /// Reads what stands in the file `path`. The weights beside it are not touched.
    ///
    /// # Errors
    /// [`ReadGraphError`] for bytes that are no graph.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, ReadGraphError> {
        let refused = |reason: String| ReadGraphError::NotAGraph { path: path.to_owned(), reason };
        let parts = proto::count_parts(content).map_err(|error| refused(error.to_string()))?;
        if parts > MOST_PARTS {
            return Err(refused(format!("it has {parts} parts, and no model needs more than {MOST_PARTS}")));
        }
        let model = proto::Model::decode(content).map_err(|error| refused(error.to_string()))?;
        let body = model.graph.ok_or_else(|| refused("it holds no graph".to_owned()))?;
        let mut makers = HashMap::new();
        for (place, node) in body.nodes.iter().enumerate() {
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                if makers.insert(output.clone(), place).is_some() {
                    return Err(refused(format!("two nodes make '{output}'")));
                }
            }
        }
        let names = body.initializers.iter().enumerate();
        let constants = names.map(|(place, constant)| (constant.name.clone(), place)).collect();
        let (ir_version, opsets) = (model.ir_version, model.opsets);
        Ok(Self { path: path.to_owned(), body, ir_version, opsets, makers, constants })
    }

    /// Reads a graph that was rewritten from the one at `path`; its weights lie beside that one.
    ///
    /// # Errors
    /// [`ReadGraphError`] for bytes that are no graph.
    pub fn read_prepared(path: &Path, graph: &[u8]) -> Result<Self, ReadGraphError> {
        Self::parse(path, graph)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What goes in, without the constants that older files list as well, and what comes out.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let inputs = self.body.inputs.iter().filter(|input| !self.constants.contains_key(&input.name));
        Signature { inputs: inputs.map(port).collect(), outputs: self.body.outputs.iter().map(port).collect() }
    }

    /// The node that makes a value; none for inputs and constants.
    #[must_use]
    pub fn maker(&self, value: &str) -> Option<&Node> {
        self.body.nodes.get(*self.makers.get(value)?)
    }

    /// Bytes that its constants take in memory once ONNX Runtime's CPU provider has them: quantized matrices are packed
    /// anew, everything else is held as it is.
    ///
    /// The layout of the packed form was measured, not promised: with 8-bit activations (`accuracy_level` 4) a block
    /// keeps its numbers, and its scale and its sum in single precision.
    #[must_use]
    pub fn bytes_in_memory(&self, kernels: Kernels) -> u64 {
        let mut bytes = 0_u64;
        for constant in &self.body.initializers {
            bytes = bytes.saturating_add(constant.bytes());
        }
        for node in self.body.nodes.iter().filter(|node| node.is_contrib("MatMulNBits")) {
            let form = form_of(self, node).filter(|_| kernels == Kernels::Hob);
            let in_panels = form.map(|form| u64::try_from(form.bytes()).unwrap_or(u64::MAX));
            let (Some(packed), [_, numbers, scales, rest @ ..]) =
                (in_panels.or_else(|| packed_bytes(node)), node.inputs.as_slice())
            else {
                continue;
            };
            // Zero points lie in panels too.
            let points = rest.first().filter(|_| in_panels.is_some());
            for replaced in [numbers, scales].into_iter().chain(points) {
                bytes = bytes.saturating_sub(self.constant(replaced).map_or(0, proto::Constant::bytes));
            }
            bytes = bytes.saturating_add(packed);
        }
        bytes
    }

    /// Which products hob's own kernels would carry out, from a file of so many bytes.
    #[must_use]
    pub fn products(&self) -> Products {
        let found = find(self);
        let all = self.nodes().filter(|node| node.is_contrib("MatMulNBits")).count();
        let own = found.iter().map(|product| product.outputs.len()).sum();
        Products { own, all, bytes: found.last().map_or(0, Product::end) }
    }

    /// Holds every constant that is of a kind that is read here against the file that should have its numbers.
    ///
    /// # Errors
    /// [`WeightsError`], for the first that cannot be.
    pub fn check_weights(&self) -> Result<(), WeightsError> {
        let known = |constant: &&proto::Constant| NumberKind::of(constant.element).is_some();
        self.body
            .initializers
            .iter()
            .filter(known)
            .try_for_each(|constant| Weights::new(constant, &self.path).map(drop))
    }

    /// Bytes of all constants but these.
    pub(crate) fn bytes_besides(&self, tables: &[String]) -> u64 {
        let others = self.body.initializers.iter().filter(|constant| !tables.contains(&constant.name));
        others.fold(0, |bytes, constant| bytes.saturating_add(constant.bytes()))
    }

    /// The same graph as a file of its own, with only the first `rows` rows of the constants `tables`.
    ///
    /// # Errors
    /// [`WeightsError`] when the numbers of a constant cannot be read.
    pub(crate) fn with_rows(&self, tables: &[String], rows: usize) -> Result<Vec<u8>, WeightsError> {
        let mut body = self.body.clone();
        for constant in &mut body.initializers {
            let weights = Weights::new(constant, &self.path)?;
            let kept = if tables.contains(&constant.name) { rows.min(weights.rows()) } else { weights.rows() };
            let raw = weights.first_rows(kept)?;
            if let Some(dim) = constant.dims.first_mut() {
                *dim = i64::try_from(kept).unwrap_or(i64::MAX);
            }
            let (name, dims, element) = (constant.name.clone(), constant.dims.clone(), constant.element);
            *constant = proto::Constant { name, dims, element, raw, ..proto::Constant::default() };
        }
        let model = proto::Model { graph: Some(body), opsets: self.opsets.clone(), ir_version: self.ir_version };
        Ok(model.encode_to_vec())
    }

    /// The numbers of a constant, be it one of the graph's own or made by a `Constant` node; none for other values.
    ///
    /// # Errors
    /// [`WeightsError`] when the file says something about them that cannot be.
    pub fn weights(&self, value: &str) -> Result<Option<Weights>, WeightsError> {
        let made = || {
            let node = self.maker(value).filter(|node| node.operator == "Constant" && node.domain.is_empty())?;
            node.attributes.iter().find(|attribute| attribute.name == "value")?.tensor.as_ref()
        };
        self.constant(value).or_else(made).map(|constant| Weights::new(constant, &self.path)).transpose()
    }

    /// The files beside it that hold its numbers, each once, be they there or not. Places outside its folder are left
    /// out: nothing is read from there.
    #[must_use]
    pub fn data_files(&self) -> Vec<PathBuf> {
        let settings = self.body.nodes.iter().flat_map(|node| &node.attributes);
        let made = settings.filter_map(|attribute| attribute.tensor.as_ref());
        let places: BTreeSet<&Path> = self
            .body
            .initializers
            .iter()
            .chain(made)
            .filter_map(|constant| constant.about("location"))
            .filter_map(weights::within_folder)
            .collect();
        let folder = self.path.parent().unwrap_or(Path::new(""));
        places.into_iter().map(|place| folder.join(place)).collect()
    }

    fn constant(&self, name: &str) -> Option<&proto::Constant> {
        self.body.initializers.get(*self.constants.get(name)?)
    }
}

impl Node {
    /// A whole-number setting.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.integer)
    }

    /// The one whole number in a setting that is a constant.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<i64> {
        let tensor = self.attributes.iter().find(|attribute| attribute.name == name)?.tensor.as_ref()?;
        if tensor.location == proto::EXTERNAL {
            return None; // a node does not know its folder
        }
        match Weights::new(tensor, Path::new("")).ok()?.integers()?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Whether it is one of ONNX's own operators of that name.
    #[must_use]
    pub fn is(&self, operator: &str) -> bool {
        self.operator == operator && (self.domain.is_empty() || self.domain == "ai.onnx")
    }

    /// Whether it is one of ONNX Runtime's operators of that name.
    #[must_use]
    pub fn is_contrib(&self, operator: &str) -> bool {
        self.operator == operator && self.domain == "com.microsoft"
    }
}

/// What a `MatMulNBits` packs its matrix into; none where it is left as it is.
fn packed_bytes(node: &Node) -> Option<u64> {
    const SCALE_AND_SUM: u64 = 8;
    let number = |name: &str| u64::try_from(node.integer(name)?).ok().filter(|number| *number > 0);
    let (columns, depth) = (number("N")?, number("K")?);
    let (bits, block) = (number("bits").unwrap_or(4), number("block_size")?);
    let per_block = block.saturating_mul(bits) / 8 + SCALE_AND_SUM;
    let all = columns.saturating_mul(depth.div_ceil(block)).saturating_mul(per_block);
    (node.integer("accuracy_level") == Some(4)).then_some(all)
}

fn port(value: &proto::Value) -> Port {
    let tensor = value.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let dim = |dim: &proto::Dimension| {
        dim.length.and_then(|length| usize::try_from(length).ok()).map_or(Dim::Free, Dim::Fixed)
    };
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    Port {
        name: value.name.clone(),
        element: tensor.map(|tensor| Element::of_code(tensor.element.into())),
        dims: shape.map(|shape| shape.dims.iter().map(dim).collect()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
