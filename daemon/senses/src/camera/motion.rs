//! How much moves: frames are made very small and compared with what stood there before.

use image::imageops::FilterType;
use image::{ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Cells side by side and one above the other.
const GRID: (u32, u32) = (32, 18);

/// A cell that is so much brighter or darker than before has changed, in 255ths, once the light as a whole is taken out.
const CHANGED: f32 = 12.0;

/// How fast what stands still becomes what stood there: after ten frames, whatever it is.
const SETTLES: f32 = 0.25;

/// Pixels on a side of a frame, and bytes that its decoder may take.
const MOST_SIDE: u32 = 8_192;
const MOST_BYTES: u64 = 192 << 20;

/// Remembers what stood there.
#[derive(Debug, Default)]
pub struct Motion {
    before: Option<Vec<f32>>,
}

impl Motion {
    /// The share of the picture that changed, from 0 to 1. Of the first one nothing has.
    ///
    /// # Errors
    /// [`ImageError`] for what is no JPEG; it changes nothing.
    pub fn of(&mut self, jpeg: &[u8]) -> Result<f32, ImageError> {
        let cells = cells(jpeg)?;
        let Some(before) = &mut self.before else {
            self.before = Some(cells);
            return Ok(0.0);
        };
        // A cloud, or a lamp that is switched on, changes all of it alike; a large thing that moves, not most of it.
        let light = median(cells.iter().zip(&*before).map(|(now, before)| now - before).collect());
        let changed = cells.iter().zip(&*before).filter(|(now, before)| (**now - **before - light).abs() > CHANGED);
        let motion = f32::from(u16::try_from(changed.count()).unwrap_or(u16::MAX)) / count(&cells);
        for (before, now) in before.iter_mut().zip(&cells) {
            *before += SETTLES * (now - *before);
        }
        Ok(motion)
    }
}

fn median(mut changes: Vec<f32>) -> f32 {
    changes.sort_by(f32::total_cmp);
    changes.get(changes.len() / 2).copied().unwrap_or(0.0)
}

fn count(cells: &[f32]) -> f32 {
    f32::from(u16::try_from(cells.len()).unwrap_or(u16::MAX))
}

/// The mean brightness of each cell.
fn cells(jpeg: &[u8]) -> Result<Vec<f32>, ImageError> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
    limits.max_alloc = Some(MOST_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    reader.limits(limits);
    let small = reader.decode()?.thumbnail_exact(GRID.0, GRID.1).resize_exact(GRID.0, GRID.1, FilterType::Nearest);
    Ok(small.into_luma8().into_raw().into_iter().map(f32::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    /// A grey picture with a bright square, as JPEG.
    fn picture(light: u8, square: Option<u32>) -> Vec<u8> {
        let mut image = GrayImage::from_pixel(640, 360, Luma([light]));
        if let Some(left) = square {
            for (x, y) in (left..left + 100).flat_map(|x| (100..200).map(move |y| (x, y))) {
                image.put_pixel(x, y, Luma([255]));
            }
        }
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg).unwrap();
        bytes
    }

    #[test]
    fn what_moves_is_seen_and_what_only_gets_brighter_is_not() {
        let mut motion = Motion::default();
        assert_eq!(motion.of(&picture(60, Some(20))).unwrap(), 0.0);
        assert!(motion.of(&picture(60, Some(20))).unwrap() < 0.01);
        assert!(motion.of(&picture(75, Some(20))).unwrap() < 0.05, "a cloud goes away");
        let moved = motion.of(&picture(75, Some(300))).unwrap();
        assert!((0.05..0.3).contains(&moved), "{moved}");
        for _ in 0..40 {
            motion.of(&picture(75, Some(300))).unwrap();
        }
        assert!(motion.of(&picture(75, Some(300))).unwrap() < 0.01, "what stays there has settled");
    }

    #[test]
    fn what_is_no_picture_changes_nothing() {
        let mut motion = Motion::default();
        motion.of(&picture(60, None)).unwrap();
        let mut broken = picture(200, Some(20));
        broken.truncate(200);
        assert!(motion.of(&broken).is_err() && motion.of(b"no picture").is_err());
        assert!(motion.of(&picture(60, None)).unwrap() < 0.01);
    }
}
