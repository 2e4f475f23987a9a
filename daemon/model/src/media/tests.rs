//! Both front ends, held to what Transformers makes of the same bytes (`tests/fixtures/media`).

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "whole numbers of fixtures, all small"
)]

use super::image::{ImageBudget, decode, patches};
use super::mel::{BANDS, features};
use super::patches::resized_to;
use super::sound::{Sound, decode_wav};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/media");
    std::fs::read(folder.join(name)).expect("the fixture is there")
}

/// See "Pictures and sounds" in models/tools/README.md for what each field says.
#[derive(Deserialize)]
struct Goldens {
    sizes: Vec<[u32; 5]>,
    pictures: Vec<PictureCase>,
    sounds: Vec<SoundCase>,
}

#[derive(Deserialize)]
struct PictureCase {
    file: String,
    height: u32,
    width: u32,
    decoded_sum: u64,
    budget: u32,
    rows: usize,
    columns: usize,
    tokens: usize,
    sum: u64,
    sha256: String,
    first: Vec<u8>,
    last: Vec<u8>,
    step: usize,
    every: Vec<u8>,
}

#[derive(Deserialize)]
struct SoundCase {
    file: Option<String>,
    samples: usize,
    frames: usize,
    valid: usize,
    tokens: usize,
    #[serde(default)]
    sum: f64,
    #[serde(default)]
    first: Vec<f32>,
    #[serde(default)]
    last: Vec<f32>,
    #[serde(default)]
    step: usize,
    #[serde(default)]
    every: Vec<f32>,
}

fn goldens() -> Goldens {
    serde_json::from_slice(&fixture("front_ends.json")).expect("the goldens are well formed")
}

/// Patches as the bytes that they were scaled from, and their sum.
fn bytes_of(pixels: &[f32]) -> (Vec<u8>, u64) {
    let mut bytes = Vec::with_capacity(pixels.len());
    let mut sum = 0;
    for value in pixels {
        let byte = (value * 255.0 + 0.5) as u8;
        bytes.push(byte);
        sum += u64::from(byte);
    }
    (bytes, sum)
}

/// How far a picture may be from Transformers', in 255ths.
struct Bounds {
    /// Of a value.
    most: u8,
    /// Of all values together.
    mean: f64,
}

/// A PNG has one meaning, and the resizer is Pillow's but for halves.
const PNG: Bounds = Bounds { most: 1, mean: 0.001 };

/// JPEG decoders may differ in how they round. This one is brighter than libjpeg by a seventh of a step.
const JPEG: Bounds = Bounds { most: 3, mean: 0.2 };

fn check_picture(case: &PictureCase) -> Result<bool, String> {
    let picture = decode(&fixture(&case.file)).map_err(|error| error.to_string())?;
    let bounds = if case.file.ends_with(".png") { PNG } else { JPEG };
    assert_eq!((picture.width(), picture.height()), (case.width, case.height));
    let sum: u64 = picture.rgb().iter().map(|value| u64::from(*value)).sum();
    let read = sum.abs_diff(case.decoded_sum) as f64 / picture.rgb().len() as f64;
    let made = patches(&picture, ImageBudget::try_from(case.budget).unwrap()).map_err(|error| error.to_string())?;
    assert_eq!((made.count, made.soft_tokens), (case.rows * case.columns, case.tokens));
    let (rows, columns) = (0..case.rows as i64, 0..case.columns as i64);
    let positions: Vec<i64> = rows.flat_map(|row| columns.clone().flat_map(move |column| [column, row])).collect();
    assert_eq!(made.positions, positions);

    let (values, sum) = bytes_of(&made.pixels);
    let first = values.iter().take(16).map(|value| f32::from(*value) / 255.0);
    assert!(first.eq(made.pixels.iter().copied().take(16)), "values are bytes, scaled to 0 to 1");
    let every: Vec<u8> = values.iter().copied().step_by(case.step).collect();
    assert_eq!(every.len(), case.every.len());
    let last = &values[values.len() - case.last.len()..];
    let pairs = every.iter().zip(&case.every).chain(values.iter().zip(&case.first)).chain(last.iter().zip(&case.last));
    let most = pairs.map(|(ours, theirs)| ours.abs_diff(*theirs)).max().unwrap_or(0);
    let mean = (sum.abs_diff(case.sum) as f64 / values.len() as f64).max(read);
    if most > bounds.most || mean > bounds.mean {
        return Err(format!("off by {most} at most, by {mean} all together"));
    }
    Ok(format!("{:x}", Sha256::digest(&values)) == case.sha256)
}

fn check_pictures(least_same: usize, wanted: impl Fn(&PictureCase) -> bool) {
    let cases: Vec<PictureCase> = goldens().pictures.into_iter().filter(wanted).collect();
    let named = |case: &PictureCase| format!("{} at {}", case.file, case.budget);
    let same = cases.iter().map(|case| check_picture(case).unwrap_or_else(|why| panic!("{}: {why}", named(case))));
    let same = same.filter(|same| *same).count();
    // Where a value lies just between two bytes, floats and Pillow's whole numbers may part. Not many do.
    assert!(same >= least_same, "{same} of {} are the same bytes", cases.len());
}

#[test]
fn pictures_of_few_tokens_come_out_as_they_do_from_transformers() {
    check_pictures(4, |case| case.budget < 280);
}

#[test]
fn pictures_as_usual_come_out_as_they_do_from_transformers() {
    check_pictures(4, |case| case.budget == 280);
}

#[test]
fn pictures_of_many_tokens_come_out_as_they_do_from_transformers() {
    check_pictures(1, |case| case.budget > 280 && (case.file == "odd.png") == (case.budget == 560));
}

#[test]
fn sizes_are_those_of_transformers() {
    for [height, width, budget, rows, columns] in goldens().sizes {
        let budget = ImageBudget::try_from(budget).unwrap();
        let wanted = (columns * 16, rows * 16);
        assert_eq!(resized_to(width, height, budget), wanted, "{height} x {width} at {}", budget.soft_tokens());
    }
}

/// The sweep of the goldens that need no file.
fn sweep(samples: usize) -> Vec<f32> {
    let fold = |x: u64| if x < 32_768 { x as i64 } else { 65_535 - x as i64 };
    (0..samples as u64).map(|n| (fold((n * n / 97 + 31 * n) % 65_536) - 16_384) as f32 / 32_768.0).collect()
}

fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}

#[test]
fn sounds_come_out_as_they_do_from_transformers() {
    for case in goldens().sounds {
        let name = format!("{} samples of {}", case.samples, case.file.as_deref().unwrap_or("the sweep"));
        let sound = match &case.file {
            Some(file) => decode_wav(&fixture(file)),
            None => Sound::from_samples(&sweep(case.samples), 1, 16_000),
        };
        let sound = sound.unwrap_or_else(|error| panic!("{name}: {error}"));
        let frames = features(&sound);
        let valid = frames.valid.iter().filter(|valid| **valid).count();
        assert_eq!((frames.count(), valid, frames.soft_tokens()), (case.frames, case.valid, case.tokens), "{name}");
        if valid == 0 {
            continue;
        }
        let values = &frames.values[..valid * BANDS];
        let every: Vec<f32> = values.iter().copied().step_by(case.step).collect();
        let largest = difference(&every, &case.every)
            .max(difference(&values[..BANDS], &case.first))
            .max(difference(&values[values.len() - BANDS..], &case.last));
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        // The goldens have five decimals.
        assert!(largest < 1e-5, "{name}: off by {largest}");
        assert!((sum - case.sum).abs() < 0.05, "{name}: {sum} is not {}", case.sum);
    }
}
