//! Products of activations with quantized matrices: what most of a decoding step is, and what stands between them.
//!
//! A matrix is kept in [panels](Form) of 16 rows, in the order in which they are multiplied ([`pack()`] makes them from the
//! layout of ONNX Runtime's `MatMulNBits`), so that a file of them can be mapped and used as it is. Activations are
//! [rounded](RoundedRow) to 8 bits a block at a time, as that operator does at accuracy level 4. [`Matrix::multiply`] takes
//! both, and some panels at a time, which is how threads share a product.
//!
//! Between two products a token has one row of some thousand numbers, and what is done to it costs less than handing it from
//! operator to operator: [`gated_gelu`], [`Residual`] and [`Norm::heads`] do at once what graphs write as many operators, and
//! [`Attention`] reads the keys and values of a token once for all heads that share them.
//!
//! Each set of [`Instructions`] gives the same bits: sums within a block are whole numbers, and everything else is added up in
//! one order with one rounding each. A row of numbers comes out the same whatever rows of numbers stand beside it. Nothing here
//! knows of graphs, files or threads; `hob-onnx` does.

#![expect(
    unsafe_code,
    reason = "vector instructions, and threads that write side by side, are what this crate is for; it does nothing else"
)]

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod exp;
mod form;
mod gelu;
mod heads;
mod instructions;
mod lanes;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod norm;
mod number;
mod pack;
mod portable;
mod rounded;
#[cfg(test)]
mod tests;

pub use attention::{Asking, Attention};
pub use columns::{Columns, Part};
pub use form::{Bits, Form, FormError, PANEL, Scales};
pub use gelu::gated_gelu;
pub use heads::Turn;
pub use instructions::Instructions;
pub use matrix::{Matrix, MatrixError};
pub use norm::{Norm, Residual};
pub use number::Number;
pub use pack::{PackError, Published, pack};
pub use rounded::RoundedRow;
