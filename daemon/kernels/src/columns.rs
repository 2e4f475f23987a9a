//! Where products go, shared out among threads.

use crate::form::{Form, PANEL};
use crate::instructions::Instructions;
use crate::number::Number;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The products of some rows of activations with a matrix, from which threads take panels until none is left. A thread
/// that was put aside keeps nobody waiting but for the panels that it has.
pub struct Columns<'a, N> {
    start: *mut N,
    rows: usize,
    width: usize,
    panels: usize,
    at_once: usize,
    taken: AtomicUsize,
    lent: PhantomData<&'a mut [N]>,
}

// SAFETY: each panel is given out once, and a thread writes to those that it was given; see `take`.
unsafe impl<N: Number> Sync for Columns<'_, N> {}

impl<'a, N: Number> Columns<'a, N> {
    /// `out` has a row of the matrix's outputs for each row of activations; of anything beyond whole rows nothing is
    /// written. `at_once` panels are taken at a time.
    #[must_use]
    pub fn new(form: &Form, out: &'a mut [N], at_once: usize) -> Self {
        Self {
            rows: out.len() / form.rows(),
            start: out.as_mut_ptr(),
            width: form.rows(),
            panels: form.panels(),
            at_once: at_once.clamp(1, form.panels()),
            taken: AtomicUsize::new(0),
            lent: PhantomData,
        }
    }

    /// Takes the next panels; none when all are taken.
    pub fn take(&self) -> Option<Part<'_, N>> {
        let first = self.taken.fetch_add(self.at_once, Ordering::Relaxed);
        (first < self.panels).then(|| Part { columns: self, panels: first..self.panels.min(first + self.at_once) })
    }
}

impl<N> fmt::Debug for Columns<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns").field("rows", &self.rows).field("width", &self.width).finish_non_exhaustive()
    }
}

/// Panels that one thread was given.
#[derive(Debug)]
pub struct Part<'a, N> {
    columns: &'a Columns<'a, N>,
    panels: Range<usize>,
}

impl<N: Number> Part<'_, N> {
    /// Which they are.
    #[must_use]
    pub fn panels(&self) -> Range<usize> {
        self.panels.clone()
    }

    /// Rows of activations.
    pub(crate) fn rows(&self) -> usize {
        self.columns.rows
    }

    /// Puts what came out for one row of activations and one panel into its place.
    pub(crate) fn put(&mut self, row: usize, panel: usize, values: &[f32; PANEL], instructions: Instructions) {
        let Columns { start, rows, width, .. } = *self.columns;
        assert!(row < rows && self.panels.contains(&panel), "row {row} of panel {panel} was not given out");
        let column = panel * PANEL;
        let count = PANEL.min(width - column);
        // SAFETY: `start` is the first of at least `rows` × `width` numbers, lent to the columns alone; the row is one of
        // those, and the columns one panel's, which is this part's alone since `taken` only grows.
        let place = unsafe { std::slice::from_raw_parts_mut(start.add(row * width + column), count) };
        N::round(&values[..count], place, instructions);
    }
}
