//! The product in plain words: what all others are held to, and what runs where there is none of them.

use crate::form::{LINE, PANEL, Scales};
use crate::matrix::Panel;
use crate::rounded::RoundedRow;
use half::f16;

pub(crate) fn multiply<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for (row, out) in rows.into_iter().zip(out) {
        for (lane, out) in out.iter_mut().enumerate() {
            *out = (0..panel.form.blocks()).fold(0.0, |sum, block| {
                let scale = scale(panel, block, lane) * row.scales[block];
                #[expect(clippy::cast_precision_loss, reason = "vector instructions round to the nearest as well")]
                let product = product(panel, row, block, lane) as f32;
                product.mul_add(scale, sum)
            });
        }
    }
}

/// The product of one block, a whole number.
fn product(panel: &Panel<'_>, row: &RoundedRow, block: usize, lane: usize) -> i32 {
    let form = panel.form;
    let bits = form.bits();
    let mask = u8::MAX >> (8 - bits.count());
    let bytes = of_block(panel, block);
    let lines = bytes[form.lines_at()..].chunks_exact(LINE);
    let numbers = row.numbers[block * form.block()..].chunks_exact(bits.depth_of_line());
    let mut sum = 0;
    for (line, numbers) in lines.zip(numbers) {
        for (weight, number) in numbers.iter().enumerate() {
            let byte = line[lane * 4 + weight % 4];
            sum += i32::from(byte >> (weight / 4 * bits.count()) & mask) * i32::from(*number);
        }
    }
    let point = if form.points() { bytes[form.points_at() + lane].into() } else { panel.middle() };
    sum - point * row.sums[block]
}

fn scale(panel: &Panel<'_>, block: usize, lane: usize) -> f32 {
    let scales = of_block(panel, block);
    match panel.form.scales() {
        Scales::Half => f16::from_le_bytes(scales.as_chunks().0[lane]).to_f32(),
        Scales::Single => f32::from_le_bytes(scales.as_chunks().0[lane]),
    }
}

fn of_block<'a>(panel: &Panel<'a>, block: usize) -> &'a [u8] {
    let bytes = panel.form.block_bytes();
    &panel.bytes[block * bytes..][..bytes]
}
