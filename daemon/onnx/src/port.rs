//! What a graph says about one of its inputs or outputs.

use crate::tensor::Element;
use ort::value::{Outlet, ValueType};
use std::fmt;

/// One dimension of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Always so long.
    Fixed(usize),
    /// As long as the caller makes it.
    Free,
}

/// An input or an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique among inputs and among outputs.
    pub name: String,
    /// What it holds; `None` when it is no tensor.
    pub element: Option<Element>,
    /// Its dimensions, none for a scalar.
    pub dims: Vec<Dim>,
}

/// What goes into a graph and what comes out, each in the graph's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// What goes in.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
}

impl Port {
    pub(crate) fn new(outlet: &Outlet) -> Self {
        let name = outlet.name().to_owned();
        match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let dim = |dim: &i64| usize::try_from(*dim).map_or(Dim::Free, Dim::Fixed);
                Self { name, element: Some((*ty).into()), dims: shape.iter().map(dim).collect() }
            }
            ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_) => {
                Self { name, element: None, dims: Vec::new() }
            }
        }
    }

    /// The length of a dimension that the graph fixes.
    #[must_use]
    pub fn fixed(&self, axis: usize) -> Option<usize> {
        match self.dims.get(axis) {
            Some(Dim::Fixed(length)) => Some(*length),
            Some(Dim::Free) | None => None,
        }
    }
}

/// `name f32[1,?,64]`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = self.element.map_or_else(|| "?".to_owned(), |element| element.to_string());
        let dims = self.dims.iter().map(|dim| match dim {
            Dim::Fixed(length) => length.to_string(),
            Dim::Free => "?".to_owned(),
        });
        write!(f, "{} {element}[{}]", self.name, dims.collect::<Vec<_>>().join(","))
    }
}
