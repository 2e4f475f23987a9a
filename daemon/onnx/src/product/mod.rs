//! Matrices for hob's own kernels, in place of ONNX Runtime's.
//!
//! ONNX Runtime's `MatMulNBits` packs its matrix for each process into memory of its own, and on no processor that hob was
//! measured on does it read that as fast as the memory gives it. Products that may round activations to 8 bits are
//! [found](find) in a graph, and their matrices [written](write) in panels to one file, which is mapped. Any other product
//! stays ONNX Runtime's.

mod find;
mod write;

pub(crate) use find::{Product, find};
pub(crate) use write::{WriteError, write};

use serde::Deserialize;

/// Whose kernels multiply with quantized matrices, where activations may be rounded to 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernels {
    /// Hob's own, from a file of weights that is mapped.
    #[default]
    Hob,
    /// ONNX Runtime's.
    OnnxRuntime,
}
