//! From the layout of `MatMulNBits` to panels.

use crate::form::{Form, LINE, PANEL};

/// Some rows of a matrix as `MatMulNBits` has them.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// Weights, the first of a byte in its low bits; blocks of a row one after the other, the last one filled up.
    pub numbers: &'a [u8],
    /// A scale for each block, little-endian.
    pub scales: &'a [u8],
    /// A zero point for each block, packed like weights, each row beginning with a byte of its own; empty for a form
    /// without.
    pub points: &'a [u8],
}

/// What is given does not have the size that the form says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rows} rows have {numbers}, {scales} and {points} bytes of weights, scales and zero points")]
pub struct PackError {
    rows: usize,
    numbers: usize,
    scales: usize,
    points: usize,
}

impl Form {
    /// Bytes of a row's weights, scales and zero points as `MatMulNBits` has them.
    #[must_use]
    pub fn published_row(&self) -> [usize; 3] {
        let bits = self.bits().count();
        let points = if self.points() { (self.blocks() * bits).div_ceil(8) } else { 0 };
        [self.blocks() * self.block() * bits / 8, self.blocks() * self.scales().bytes(), points]
    }
}

/// Writes the panels of some rows, the first of which begins a panel, into `out`. A panel that is not full is filled up
/// with rows that count for nothing.
///
/// # Errors
/// [`PackError`] where `out` has not room for exactly those panels, or the rows are not all there.
pub fn pack(form: &Form, published: Published<'_>, out: &mut [u8]) -> Result<(), PackError> {
    let [numbers, scales, points] = form.published_row();
    let rows = published.numbers.len() / numbers.max(1);
    let whole = |part: &[u8], row: usize| part.len() == rows * row;
    let fits = out.len() == rows.div_ceil(PANEL) * form.panel_bytes();
    if !fits
        || !whole(published.numbers, numbers)
        || !whole(published.scales, scales)
        || !whole(published.points, points)
    {
        let [numbers, scales, points] = [published.numbers, published.scales, published.points].map(<[u8]>::len);
        return Err(PackError { rows, numbers, scales, points });
    }
    for (place, panel) in out.chunks_exact_mut(form.panel_bytes()).enumerate() {
        panel.fill(0);
        let first = place * PANEL;
        for row in first..rows.min(first + PANEL) {
            let numbers = &published.numbers[row * numbers..][..numbers];
            let scales = &published.scales[row * scales..][..scales];
            let points = &published.points[row * points..][..points];
            put(form, Published { numbers, scales, points }, row - first, panel);
        }
    }
    Ok(())
}

/// Puts one row into its lane of a panel.
fn put(form: &Form, row: Published<'_>, lane: usize, panel: &mut [u8]) {
    let (bits, scale) = (form.bits().count(), form.scales().bytes());
    let (each, mask) = (8 / bits, u8::MAX >> (8 - bits));
    let numbers = row.numbers.chunks_exact(form.block() * bits / 8);
    let blocks = panel.chunks_exact_mut(form.block_bytes()).zip(numbers.zip(row.scales.chunks_exact(scale)));
    for (place, (block, (numbers, from))) in blocks.enumerate() {
        block[lane * scale..][..scale].copy_from_slice(from);
        if form.points() {
            block[form.points_at() + lane] = row.points[place / each] >> (place % each * bits) & mask;
        }
        let lines = block[form.lines_at()..].chunks_exact_mut(LINE);
        for (from, line) in numbers.as_chunks::<4>().0.iter().zip(lines) {
            line[lane * 4..][..4].copy_from_slice(&spread(u32::from_le_bytes(*from), bits).to_le_bytes());
        }
    }
}

/// Weights in a row, to the places that they have in a lane.
fn spread(word: u32, bits: usize) -> u32 {
    let mask = u32::from(u8::MAX >> (8 - bits));
    (0..32 / bits).fold(0, |lane, weight| {
        let number = word >> (weight * bits) & mask;
        lane | number << (weight % 4 * 8 + weight / 4 * bits)
    })
}
