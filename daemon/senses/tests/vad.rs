//! The detector of speech on sounds that are none, by the real graph and the real library. Speech itself is played to it by
//! `make test-senses`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use hob_onnx::Runtime;
use hob_senses::vad::Vad;
use hob_senses::{FRAME, RATE};
use std::f32::consts::TAU;
use std::path::Path;

const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/silero/silero_vad.onnx");

fn vad() -> Vad {
    let runtime = Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it");
    Vad::open(&runtime, Path::new(GRAPH)).expect("`make setup` fetches the detector of speech")
}

/// Two seconds of what `sample` gives at each moment.
fn sound(sample: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..RATE * 2).map(|place| sample(place as f32 / RATE as f32)).collect()
}

fn speech(vad: &mut Vad, sound: &[f32]) -> Vec<f32> {
    sound.chunks_exact(FRAME).map(|frame| vad.speech(frame).unwrap()).collect()
}

#[test]
fn silence_tones_alarms_and_noise_are_no_speech() {
    let noise = |time: f32| ((time * 12_345.678).sin() * 43_758.547).fract() * 0.3;
    let sounds: [(&str, Vec<f32>); 4] = [
        ("silence", sound(|_| 0.0)),
        ("a tone", sound(|time| (time * 440.0 * TAU).sin() * 0.5)),
        ("an alarm", sound(|time| if time % 0.5 < 0.25 { (time * 2_000.0 * TAU).sin() * 0.6 } else { 0.0 })),
        ("noise", sound(noise)),
    ];
    let mut vad = vad();
    for (name, sound) in sounds {
        vad.forget().unwrap();
        let most = speech(&mut vad, &sound).into_iter().fold(0.0, f32::max);
        assert!(most < 0.5, "{name}: {most}");
    }
}

#[test]
fn what_it_forgot_it_does_not_know_and_what_is_no_number_does_it_no_harm() {
    let mut vad = vad();
    let tone = sound(|time| (time * 300.0 * TAU).sin() * 0.2 * (time * 4.0 * TAU).sin());
    let first = speech(&mut vad, &tone);
    let broken = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30].repeat(FRAME / 4);
    assert!((0.0..=1.0).contains(&vad.speech(&broken).unwrap()));
    vad.forget().unwrap();
    assert_eq!(speech(&mut vad, &tone), first);
}
