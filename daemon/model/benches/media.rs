//! What a picture and a sound cost before the encoders see them. `cargo bench -p hob-model --bench media`.

use criterion::{Criterion, criterion_group, criterion_main};
use hob_model::media::image::{ImageBudget, Picture, decode, patches};
use hob_model::media::mel::features;
use hob_model::media::sound::{RATE, Sound};
use std::path::Path;

/// A frame of a camera, 1920 × 1080: no two neighbours alike, so that nothing is cheap by chance.
fn frame() -> Picture {
    let (width, height) = (1920u32, 1080u32);
    let rgb = (0..width * height * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Picture::from_rgb(width, height, rgb).expect("the frame is full")
}

/// 30 seconds of a rising tone.
fn sound(rate: u32) -> Sound {
    let samples: Vec<f32> = (0..30 * rate).map(|at| (at as f32 / rate as f32 * 440.0).powf(1.2).sin() / 2.0).collect();
    Sound::from_samples(&samples, 1, rate).expect("it is a sound")
}

fn pictures(criterion: &mut Criterion) {
    let frame = frame();
    for budget in [ImageBudget::Tokens70, ImageBudget::Tokens280] {
        let name = format!("patches of 1920 x 1080, {} soft tokens", budget.soft_tokens());
        criterion.bench_function(&name, |bencher| bencher.iter(|| patches(&frame, budget)));
    }
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/media/photo.jpg");
    let photo = std::fs::read(photo).expect("the fixture is there");
    criterion.bench_function("decode a JPEG of 241 x 163", |bencher| bencher.iter(|| decode(&photo)));
}

fn sounds(criterion: &mut Criterion) {
    let heard = sound(RATE);
    criterion.bench_function("features of 30 s", |bencher| bencher.iter(|| features(&heard)));
    let samples = sound(RATE).samples().to_vec();
    criterion.bench_function("10 s of 48 kHz to 16 kHz", |bencher| {
        bencher.iter(|| Sound::from_samples(&samples, 1, 48_000));
    });
}

criterion_group!(media, pictures, sounds);
criterion_main!(media);
