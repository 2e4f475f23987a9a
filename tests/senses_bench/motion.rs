//! What it costs to see whether something moves: frames of 720p, as ffmpeg hands them over.

use crate::Row;
use hob_senses::camera::Motion;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;
use std::time::Instant;

/// Frames a second that are looked at, and how many are measured.
const FPS: f64 = 5.0;
const FRAMES: u32 = 50;

/// At most this share of one core.
const TARGET: f64 = 0.15;

pub(crate) fn looking() -> anyhow::Result<Row> {
    let frames: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect::<Result<_, _>>()?;
    let mut motion = Motion::default();
    let began = Instant::now();
    let mut moved = 0.0_f32;
    for frame in &frames {
        moved = moved.max(motion.of(frame)?);
    }
    let each = began.elapsed().as_secs_f64() / f64::from(FRAMES);
    anyhow::ensure!(moved > 0.0, "what moves was not seen");
    Ok(Row {
        what: "motion in 5 frames of 720p a second".to_owned(),
        measured: format!("{:.1} ms a frame", each * 1e3),
        beside: "one core".to_owned(),
        share: each * FPS,
        target: TARGET,
    })
}

/// A wall with texture, and a box that goes across it.
fn frame(number: u32) -> Result<Vec<u8>, image::ImageError> {
    let (width, height) = (1280, 720);
    let left = number * 20;
    let pixel = |x: u32, y: u32| {
        let inside = (left..left + 120).contains(&x) && (300..420).contains(&y);
        let texture = u8::try_from((x * 7 + y * 13) % 32).unwrap_or(0);
        if inside { Rgb([230, 40, 40]) } else { Rgb([90 + texture, 100 + texture, 110]) }
    };
    let mut bytes = Vec::new();
    RgbImage::from_fn(width, height, pixel).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg)?;
    Ok(bytes)
}
