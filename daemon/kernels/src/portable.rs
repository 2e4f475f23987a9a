//! The product in plain words: what all others are held to, and what runs where there is none of them.

use crate::form::{PANEL, Scales};
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
    let (lines, bits) = (panel.form.lines_of_block(), panel.form.bits());
    let mask = u8::MAX >> (8 - bits.count());
    let depth = bits.depth_of_line();
    let lines = &panel.lines[block * lines..][..lines];
    let numbers = row.numbers[block * panel.form.block()..].chunks_exact(depth);
    let mut sum = 0;
    for (line, numbers) in lines.iter().zip(numbers) {
        for (weight, number) in numbers.iter().enumerate() {
            let byte = line[lane * 4 + weight % 4];
            sum += i32::from(byte >> (weight / 4 * bits.count()) & mask) * i32::from(*number);
        }
    }
    let point = panel.points.map_or(panel.middle(), |points| points[block][lane].into());
    sum - point * row.sums[block]
}

fn scale(panel: &Panel<'_>, block: usize, lane: usize) -> f32 {
    let place = block * PANEL + lane;
    match panel.form.scales() {
        Scales::Half => f16::from_le_bytes(panel.scales.as_chunks().0[place]).to_f32(),
        Scales::Single => f32::from_le_bytes(panel.scales.as_chunks().0[place]),
    }
}
