//! Bicubic resizing, byte for byte as Pillow's.
//!
//! Pillow makes rows first, rounds them to bytes, and makes columns of those: the order shows, since a byte cannot
//! overshoot. The library makes columns first, and weighs bytes more coarsely than Pillow. So it is asked for one direction
//! at a time, in floats, a band of the picture at a time: all of it in floats would be four times as large.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeError, ResizeOptions, Resizer};

/// Rows or columns that are in floats at a time.
const BAND: u32 = 32;

/// Red, green and blue.
type Dot = [u8; 3];

/// Brings a picture of the width and height `from` to those of `to`.
///
/// # Errors
/// What the library says when it will not; none is known.
pub(super) fn resized(dots: &[Dot], from: (u32, u32), to: (u32, u32)) -> Result<Vec<Dot>, ResizeError> {
    let rows = wider(dots, from, to.0)?;
    higher(&rows, (to.0, from.1), to.1)
}

/// Every row brought to another width.
fn wider(dots: &[Dot], (from, height): (u32, u32), width: u32) -> Result<Vec<Dot>, ResizeError> {
    let mut made = Vec::with_capacity(width as usize * height as usize);
    let mut resizer = Resizer::new();
    for top in (0..height).step_by(BAND as usize) {
        let rows = BAND.min(height - top);
        let start = top as usize * from as usize;
        let band: Vec<F32x3> = dots[start..start + rows as usize * from as usize].iter().map(in_floats).collect();
        let band = in_one_direction(&mut resizer, &band, (from, rows), (width, rows))?;
        made.extend(band.pixels().iter().map(in_bytes));
    }
    Ok(made)
}

/// Every column brought to another height.
fn higher(dots: &[Dot], (width, from): (u32, u32), height: u32) -> Result<Vec<Dot>, ResizeError> {
    let mut made = vec![[0; 3]; width as usize * height as usize];
    let mut resizer = Resizer::new();
    for left in (0..width).step_by(BAND as usize) {
        let columns = BAND.min(width - left);
        let within = left as usize..(left + columns) as usize;
        let rows = dots.chunks_exact(width as usize);
        let band: Vec<F32x3> = rows.flat_map(|row| row[within.clone()].iter().map(in_floats)).collect();
        let band = in_one_direction(&mut resizer, &band, (columns, from), (columns, height))?;
        let rows = made.chunks_exact_mut(width as usize).zip(band.pixels().chunks_exact(columns as usize));
        for (row, band) in rows {
            row[within.clone()].iter_mut().zip(band).for_each(|(place, pixel)| *place = in_bytes(pixel));
        }
    }
    Ok(made)
}

fn in_one_direction(
    resizer: &mut Resizer,
    band: &[F32x3],
    from: (u32, u32),
    to: (u32, u32),
) -> Result<TypedImage<'static, F32x3>, ResizeError> {
    // What Pillow calls bicubic: a = -0.5, and wider where it makes smaller.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let mut made = TypedImage::new(to.0, to.1);
    let Ok(band) = TypedImageRef::new(from.0, from.1, band) else {
        // Fewer pixels than the sides say: nothing to resize, and nothing here makes such a band.
        return Ok(made);
    };
    resizer.resize_typed(&band, &mut made, &options)?;
    Ok(made)
}

fn in_floats(dot: &Dot) -> F32x3 {
    F32x3::new(dot.map(f32::from))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte before")]
fn in_bytes(pixel: &F32x3) -> Dot {
    // Halves go up, as Pillow rounds.
    pixel.0.map(|value| (value + 0.5).clamp(0.0, 255.0) as u8)
}
