//! Products of activations with quantized matrices: what nearly all time of a decoding step goes into.
//!
//! A matrix is kept in [panels](Form) of 16 rows, in the order in which they are multiplied ([`pack`] makes them from the
//! layout of ONNX Runtime's `MatMulNBits`), so that a file of them can be mapped and used as it is. Activations are
//! [rounded](RoundedRow) to 8 bits a block at a time, as that operator does at accuracy level 4. [`Matrix::multiply`] takes
//! both, and some panels at a time, which is how threads share a product.
//!
//! Each set of [`Instructions`] gives the same bits: sums within a block are whole numbers, and blocks are added up in one
//! order with one rounding each. A row of activations comes out the same whatever rows stand beside it. Nothing here
//! knows of graphs, files or threads; `hob-onnx` does.

#![expect(
    unsafe_code,
    reason = "vector instructions, and threads that write side by side, are what this crate is for; it does nothing else"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod form;
mod instructions;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod portable;
mod rounded;
#[cfg(test)]
mod tests;

pub use form::{Bits, Form, FormError, PANEL, Scales};
pub use instructions::Instructions;
pub use columns::{Columns, Number, Part};
pub use matrix::{Matrix, MatrixError};
pub use pack::{PackError, Published, pack};
pub use rounded::RoundedRow;
