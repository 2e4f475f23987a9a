//! A frame on a terminal: two pixels to a character, one above the other.

use image::{ImageError, ImageFormat, Pixel};
use std::fmt::Write;

/// A JPEG as lines of coloured half blocks, so many characters wide.
///
/// # Errors
/// [`ImageError`] for what is no JPEG.
pub fn drawn(jpeg: &[u8], columns: u32) -> Result<String, ImageError> {
    let picture = image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg)?;
    let height = picture.height().saturating_mul(columns) / picture.width().max(1);
    let small = picture.thumbnail_exact(columns, height.next_multiple_of(2).max(2)).into_rgb8();
    let mut text = String::new();
    let rows: Vec<_> = small.rows().collect();
    for pair in rows.chunks_exact(2) {
        let [upper, lower] = pair else { continue };
        for (upper, lower) in upper.clone().zip(lower.clone()) {
            let ([r, g, b], [lr, lg, lb]) = (upper.to_rgb().0, lower.to_rgb().0);
            // Writing to a string cannot fail.
            write!(text, "\u{1b}[38;2;{r};{g};{b};48;2;{lr};{lg};{lb}m▀").ok();
        }
        text.push_str("\u{1b}[0m\n");
    }
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    #[test]
    fn a_picture_is_drawn_in_its_shape() {
        let mut jpeg = Vec::new();
        RgbImage::from_pixel(64, 32, [200, 10, 10].into())
            .write_to(&mut std::io::Cursor::new(&mut jpeg), ImageFormat::Jpeg)
            .unwrap();
        let text = drawn(&jpeg, 16).unwrap();
        assert_eq!((text.lines().count(), text.matches('▀').count()), (4, 64));
    }
}
