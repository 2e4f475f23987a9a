//! A quantized matrix, and what is made of it.

use crate::columns::Part;
use crate::form::{Form, PANEL};
use crate::instructions::Instructions;
use crate::number::Number;
use crate::rounded::RoundedRow;
use std::ops::Range;

/// Bytes that are not those of such a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a matrix of {expected} bytes, and there are {found}")]
pub struct MatrixError {
    expected: usize,
    found: usize,
}

/// A quantized matrix in panels.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    form: Form,
    bytes: &'a [u8],
}

/// One panel of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel<'a> {
    pub(crate) form: &'a Form,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// A matrix whose panels are in `bytes`, as [`pack()`](crate::pack()) made them.
    ///
    /// # Errors
    /// [`MatrixError`] where they are more or fewer than it has.
    pub fn new(form: Form, bytes: &'a [u8]) -> Result<Self, MatrixError> {
        let (expected, found) = (form.bytes(), bytes.len());
        if expected == found { Ok(Self { form, bytes }) } else { Err(MatrixError { expected, found }) }
    }

    /// How it lies in memory.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Multiplies some panels with rows of activations that were rounded in blocks of the same length, and puts what comes
    /// out into its place. Rows beyond those that there is room for are passed over.
    ///
    /// # Panics
    /// Where a row has not the matrix's blocks.
    pub fn multiply<N: Number>(&self, rows: &[RoundedRow], part: &mut Part<'_, N>, instructions: Instructions) {
        let (blocks, block) = (self.form.blocks(), self.form.block());
        let fits = |row: &RoundedRow| row.scales.len() == blocks && row.numbers.len() == blocks * block;
        assert!(rows.iter().all(fits), "activations in other blocks than the matrix");
        let rows = &rows[..rows.len().min(part.rows())];
        let panels = part.panels();
        let mut put = |row, panel, values: &_| part.put(row, panel, values, instructions);
        self.products(rows, panels, instructions, &mut put);
    }

    /// Without a type that its caller chooses, so that it is compiled here, as this crate is: quick in every profile.
    fn products(
        &self,
        rows: &[RoundedRow],
        panels: Range<usize>,
        instructions: Instructions,
        put: &mut dyn FnMut(usize, usize, &[f32; PANEL]),
    ) {
        for place in panels {
            let panel = self.panel(place);
            let mut first = 0;
            while first < rows.len() {
                let left = (rows.len() - first).min(instructions.rows_at_once());
                let mut put = |row: usize, values: &[f32; PANEL]| put(first + row, place, values);
                first += match left {
                    8.. => tile::<8>(&panel, &rows[first..], instructions, &mut put),
                    4..8 => tile::<4>(&panel, &rows[first..], instructions, &mut put),
                    2..4 => tile::<2>(&panel, &rows[first..], instructions, &mut put),
                    _ => tile::<1>(&panel, &rows[first..], instructions, &mut put),
                };
            }
        }
    }

    fn panel(&self, place: usize) -> Panel<'_> {
        let form = &self.form;
        Panel { form, bytes: &self.bytes[place * form.panel_bytes()..][..form.panel_bytes()] }
    }
}

/// Multiplies a panel with the first of the rows, and tells how many they were.
fn tile<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: &[RoundedRow],
    instructions: Instructions,
    put: &mut dyn FnMut(usize, &[f32; PANEL]),
) -> usize {
    let some: [&RoundedRow; ROWS] = std::array::from_fn(|row| &rows[row]);
    let mut out = [[0.0; PANEL]; ROWS];
    instructions.multiply(panel, some, &mut out);
    for (row, values) in out.iter().enumerate() {
        put(row, values);
    }
    ROWS
}

impl Panel<'_> {
    /// What is taken off a block's sum for each one in the sum of its activations, where that is the same for all rows.
    pub(crate) fn middle(&self) -> i32 {
        self.form.bits().middle().into()
    }

    /// How many blocks there are, and lines to a block. What the vector instructions read without asking is made sure of
    /// here, once for a panel: that it has its blocks, of so many bits, and of each row so many numbers.
    pub(crate) fn shape<const BITS: usize, const ROWS: usize>(&self, rows: [&RoundedRow; ROWS]) -> (usize, usize) {
        let Self { form, bytes } = self;
        let blocks = form.blocks();
        assert!(form.bits().count() == BITS && bytes.len() == blocks * form.block_bytes());
        for row in rows {
            assert!(row.sums.len() == blocks && row.scales.len() == blocks);
            assert!(row.numbers.len() == blocks * form.block());
        }
        (blocks, form.lines_of_block())
    }
}
