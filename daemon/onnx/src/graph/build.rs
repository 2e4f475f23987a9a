//! Small graphs for tests, written to disk with their weights beside them.

use super::proto::{
    Attribute, Constant, Dimension, EXTERNAL, Entry, GraphBody, Kind, Model, Node, Opset, Shape, TensorKind, Value,
};
use prost::Message;
use std::path::{Path, PathBuf};

/// A graph in the making, with one input of ids `[batch, tokens]`.
pub(crate) struct Built(GraphBody);

impl Built {
    pub(crate) fn new(ids: &str) -> Self {
        let inputs = vec![value(ids, 7, &[None, None])];
        Self(GraphBody { name: "built".to_owned(), inputs, ..GraphBody::default() })
    }

    pub(crate) fn constant(&mut self, constant: Constant) {
        self.0.initializers.push(constant);
    }

    pub(crate) fn node(&mut self, node: Node) {
        self.0.nodes.push(node);
    }

    /// An output of single precision `[batch, tokens, width]`.
    pub(crate) fn output(&mut self, name: &str, width: usize) {
        self.0.outputs.push(value(name, 1, &[None, None, Some(width)]));
    }

    /// Writes `graph.onnx`, the constants of more than one number into `graph.onnx_data`.
    pub(crate) fn write(mut self, folder: &Path) -> PathBuf {
        let mut data = Vec::new();
        for constant in self.0.initializers.iter_mut().filter(|constant| !constant.dims.is_empty()) {
            let entry = |key: &str, value: String| Entry { key: key.to_owned(), value };
            constant.external = vec![
                entry("location", "graph.onnx_data".to_owned()),
                entry("offset", data.len().to_string()),
                entry("length", constant.raw.len().to_string()),
            ];
            constant.location = EXTERNAL;
            data.append(&mut constant.raw);
        }
        let opset = |domain: &str, version| Opset { domain: domain.to_owned(), version };
        let opsets = vec![opset("", 20), opset("com.microsoft", 1)];
        let model = Model { ir_version: 10, opsets, graph: Some(self.0) };
        let path = folder.join("graph.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        std::fs::write(folder.join("graph.onnx_data"), data).unwrap();
        path
    }
}

fn value(name: &str, element: i32, dims: &[Option<usize>]) -> Value {
    let dim = |length: &Option<usize>| Dimension {
        length: length.map(|length| i64::try_from(length).unwrap()),
        name: length.is_none().then(|| "any".to_owned()),
    };
    let shape = Some(Shape { dims: dims.iter().map(dim).collect() });
    Value { name: name.to_owned(), kind: Some(Kind { tensor: Some(TensorKind { element, shape }) }) }
}

pub(crate) fn node(operator: &str, domain: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        outputs: vec![output.to_owned()],
        name: operator.to_owned(),
        operator: operator.to_owned(),
        domain: domain.to_owned(),
        attributes: Vec::new(),
    }
}

impl Node {
    /// With whole-number settings.
    pub(crate) fn with(mut self, settings: &[(&str, usize)]) -> Self {
        let attribute = |(name, number): &(&str, usize)| Attribute {
            name: (*name).to_owned(),
            integer: i64::try_from(*number).unwrap(),
            kind: 2,
            ..Attribute::default()
        };
        self.attributes = settings.iter().map(attribute).collect();
        self
    }
}

/// Constants of each kind.
pub(crate) mod constant {
    use super::Constant;

    fn raw(name: &str, dims: &[usize], element: i32, raw: Vec<u8>) -> Constant {
        let dims = dims.iter().map(|dim| i64::try_from(*dim).unwrap()).collect();
        Constant { name: name.to_owned(), dims, element, raw, ..Constant::default() }
    }

    pub(crate) fn bytes(name: &str, dims: &[usize], bytes: Vec<u8>) -> Constant {
        raw(name, dims, 2, bytes)
    }

    pub(crate) fn floats(name: &str, dims: &[usize], numbers: &[f32], half: bool) -> Constant {
        if half {
            let bytes = numbers.iter().flat_map(|number| half::f16::from_f32(*number).to_le_bytes()).collect();
            raw(name, dims, 10, bytes)
        } else {
            raw(name, dims, 1, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        }
    }

    /// One number.
    pub(crate) fn longs(name: &str, numbers: &[i64]) -> Constant {
        raw(name, &[], 7, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }
}
