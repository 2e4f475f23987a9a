//! The messages of an ONNX file, as far as hob reads them.
//!
//! Field numbers are those of `onnx.proto3` in the ONNX project. Fields that are not named here are passed over in
//! reading.

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};

/// A whole file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphBody>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opsets: Vec<Opset>,
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
}

/// Which operators the file speaks of.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Opset {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

/// Operators in the order in which they can run, and the constants that they name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphBody {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializers: Vec<Constant>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) outputs: Vec<Value>,
}

/// One operator.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// What it reads: names of other nodes' outputs, constants or the graph's inputs; empty where one is left out.
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    /// What it makes.
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    /// Its own name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// `MatMul` and the like.
    #[prost(string, tag = "4")]
    pub operator: String,
    /// Empty for ONNX's own operators, `com.microsoft` for ONNX Runtime's.
    #[prost(string, tag = "7")]
    pub domain: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attributes: Vec<Attribute>,
}

/// A setting of one operator.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, tag = "2")]
    pub(crate) float: f32,
    #[prost(int64, tag = "3")]
    pub(crate) integer: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) text: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(crate) tensor: Option<Constant>,
    #[prost(int64, repeated, tag = "8")]
    pub(crate) integers: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(crate) kind: i32,
}

/// A constant: its numbers in the file, or a place in a file beside it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Constant {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) element: i32,
    #[prost(float, repeated, tag = "4")]
    pub(crate) floats: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) integers: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) longs: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) external: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub(crate) location: i32,
}

/// [`Constant::location`]: the numbers are in another file.
pub(crate) const EXTERNAL: i32 = 1;

/// A pair of words.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// An input or output of the graph.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) kind: Option<Kind>,
}

/// What a value is; only tensors are read.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kind {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor: Option<TensorKind>,
}

/// Element and shape of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorKind {
    #[prost(int32, tag = "1")]
    pub(crate) element: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
}

/// The dimensions of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dims: Vec<Dimension>,
}

/// One dimension: a length, or a name for one that the caller chooses.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(crate) length: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
}

impl Constant {
    /// What it says about the file that its numbers are in.
    pub(crate) fn about(&self, key: &str) -> Option<&str> {
        self.external.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// What its numbers take, by its own word; of any kind, also of those that are not read here.
    pub(crate) fn bytes(&self) -> u64 {
        let said = self.about("length").and_then(|length| length.parse().ok());
        let each = match self.element {
            2 | 3 | 9 => 1,
            4 | 5 | 10 | 16 => 2,
            7 | 11 | 13 => 8,
            _ => 4,
        };
        let numbers = self.dims.iter().fold(1_u64, |all, dim| all.saturating_mul(u64::try_from(*dim).unwrap_or(0)));
        said.unwrap_or_else(|| numbers.saturating_mul(each))
    }
}

/// How many operators, constants, settings, dimensions and names a file holds, without decoding it.
pub(crate) fn count_parts(model: &[u8]) -> Result<usize, DecodeError> {
    let mut parts = 0;
    Holder::Model.count(model, &mut parts)?;
    Ok(parts)
}

/// The messages that hold others: each part takes memory of its own once it is decoded.
#[derive(Clone, Copy)]
enum Holder {
    Model,
    Graph,
    Node,
    Attribute,
    Constant,
    Value,
    Kind,
    Tensor,
    Shape,
    /// Names and numbers alone.
    Leaf,
}

impl Holder {
    /// What stands in a field; none for those that are passed over.
    fn within(self, tag: u32) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) => Self::Constant,
            // Noted shapes are looked at in writing.
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Value, 2) => Self::Kind,
            (Self::Kind, 1) => Self::Tensor,
            (Self::Tensor, 2) => Self::Shape,
            (Self::Model, 8) | (Self::Constant, 13) | (Self::Shape, 1) => Self::Leaf,
            (
                Self::Model
                | Self::Graph
                | Self::Node
                | Self::Attribute
                | Self::Constant
                | Self::Value
                | Self::Kind
                | Self::Tensor
                | Self::Shape
                | Self::Leaf,
                _,
            ) => return None,
        })
    }

    fn count(self, message: &[u8], parts: &mut usize) -> Result<(), DecodeError> {
        for field in Fields(message) {
            let (tag, field) = field?;
            *parts += 1;
            if let Some(within) = self.within(tag) {
                within.count(field, parts)?;
            }
        }
        Ok(())
    }
}

/// The fields of a message that have a length, with their numbers. Others take no more in memory than eight times what
/// they take here.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut next = || -> Result<Option<(u32, &'a [u8])>, DecodeError> {
            while self.0.has_remaining() {
                let (tag, wire) = decode_key(&mut self.0)?;
                if wire != WireType::LengthDelimited {
                    skip_field(wire, tag, &mut self.0, DecodeContext::default())?;
                    continue;
                }
                let length = usize::try_from(decode_varint(&mut self.0)?).unwrap_or(usize::MAX);
                // What is cut short is for decoding to tell.
                let Some((field, rest)) = self.0.split_at_checked(length) else { return Ok(None) };
                self.0 = rest;
                return Ok(Some((tag, field)));
            }
            Ok(None)
        };
        let found = next();
        if found.is_err() {
            self.0 = &[];
        }
        found.transpose()
    }
}
