//! A small graph to try a provider with: what every provider is made for, and the product of rounded weights in which a
//! language model spends its time.

use crate::graph::proto::{
    Attribute, Constant, Dimension, GraphBody, Kind, Model, Node, Opset, Shape, TensorKind, Value,
};
use prost::Message;

/// Rows of the input.
pub(super) const ROWS: usize = 4;
/// Numbers in a row of the input and of either output.
pub(super) const WIDTH: usize = 64;
/// Numbers in a row in between.
const INNER: usize = 128;
/// Weights that share a scale in a rounded matrix.
const BLOCK: usize = 32;

/// ONNX's numbers for kinds of elements and attributes.
const FLOAT: i32 = 1;
const BYTE: i32 = 2;
const INTEGER_ATTRIBUTE: i32 = 2;

/// The graph, as a file holds it: input `x`, outputs `y` and `q`, each of `ROWS` rows of `WIDTH` numbers.
pub(super) fn graph() -> Vec<u8> {
    let nodes = vec![
        node("MatMul", &["x", "w1"], "product"),
        node("Add", &["product", "b1"], "sum"),
        node("Relu", &["sum"], "inner"),
        node("MatMul", &["inner", "w2"], "back"),
        node("Add", &["back", "x"], "residual"),
        node("Softmax", &["residual"], "y"),
        rounded_product(),
    ];
    let initializers = vec![
        floats("w1", &[WIDTH, INNER], 0.2),
        floats("b1", &[INNER], 0.1),
        floats("w2", &[INNER, WIDTH], 0.2),
        // Two weights of four bits in a byte.
        constant("packed", &[WIDTH, WIDTH / BLOCK, BLOCK / 2], BYTE, bytes(WIDTH * WIDTH / 2)),
        floats("scales", &[WIDTH * WIDTH / BLOCK], 0.05),
    ];
    let body = GraphBody {
        nodes,
        name: "sample".to_owned(),
        initializers,
        inputs: vec![rows("x")],
        outputs: vec![rows("y"), rows("q")],
    };
    let opset = |domain: &str, version| Opset { domain: domain.to_owned(), version };
    Model { ir_version: 10, opsets: vec![opset("", 20), opset("com.microsoft", 1)], graph: Some(body) }.encode_to_vec()
}

/// What goes in.
pub(super) fn input() -> Vec<f32> {
    numbers(ROWS * WIDTH, 1.0).collect()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        outputs: vec![output.to_owned()],
        name: output.to_owned(),
        operator: operator.to_owned(),
        domain: String::new(),
        attributes: Vec::new(),
    }
}

fn rounded_product() -> Node {
    let attribute = |name: &str, number: usize| Attribute {
        name: name.to_owned(),
        integer: signed(number),
        kind: INTEGER_ATTRIBUTE,
        ..Attribute::default()
    };
    Node {
        domain: "com.microsoft".to_owned(),
        attributes: vec![
            attribute("K", WIDTH),
            attribute("N", WIDTH),
            attribute("bits", 4),
            attribute("block_size", BLOCK),
        ],
        ..node("MatMulNBits", &["x", "packed", "scales"], "q")
    }
}

fn rows(name: &str) -> Value {
    let dims = [ROWS, WIDTH].map(|length| Dimension { length: Some(signed(length)), name: None });
    let shape = Some(Shape { dims: dims.to_vec() });
    Value { name: name.to_owned(), kind: Some(Kind { tensor: Some(TensorKind { element: FLOAT, shape }) }) }
}

fn floats(name: &str, dims: &[usize], scale: f32) -> Constant {
    let raw = numbers(dims.iter().product(), scale).flat_map(f32::to_le_bytes).collect();
    constant(name, dims, FLOAT, raw)
}

fn constant(name: &str, dims: &[usize], element: i32, raw: Vec<u8>) -> Constant {
    let dims = dims.iter().map(|dim| signed(*dim)).collect();
    Constant { name: name.to_owned(), dims, element, raw, ..Constant::default() }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Numbers between `-scale` and `scale` that look drawn and are the same each time.
fn numbers(count: usize, scale: f32) -> impl Iterator<Item = f32> {
    bytes(count).into_iter().map(move |byte| (f32::from(byte) / 127.5 - 1.0) * scale)
}

fn bytes(count: usize) -> Vec<u8> {
    // A linear congruence (Numerical Recipes' constants); its upper bits are the ones that look drawn.
    let mut state = 20_261_124_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}
