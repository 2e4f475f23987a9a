//! Matrices for hob's own kernels, in place of ONNX Runtime's.
//!
//! ONNX Runtime's `MatMulNBits` packs its matrix for each process into memory of its own, and on no processor that hob was
//! measured on does it read that as fast as the memory gives it. Products that may round activations to 8 bits are
//! [found](find()) in a graph, and their matrices [written](write()) in panels to one file, which is mapped. Any other product
//! stays ONNX Runtime's.

mod find;
mod write;

pub(crate) use find::{Product, find, form_of};
pub(crate) use write::{WriteError, write};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Goes up whenever other operators are placed into a graph than before, or they round otherwise.
pub const PLACING: u32 = 2;

/// The products of a graph with quantized matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Products {
    /// Those that hob's own kernels carry out.
    pub own: usize,
    /// All of them.
    pub all: usize,
    /// Bytes of the file that those of hob are carried out from.
    pub bytes: u64,
}

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

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hob => "hob",
            Self::OnnxRuntime => "onnxruntime",
        })
    }
}
