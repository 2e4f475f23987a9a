//! What a microphone costs while nobody speaks: the detectors of speech and of the wake phrase over a minute of a quiet room.

use crate::{Row, root};
use hob_onnx::Runtime;
use hob_senses::resample::Framer;
use hob_senses::segment::{SegmentSettings, Segmenter};
use hob_senses::vad::Vad;
use hob_senses::wake::{Wake, WakeFiles};
use std::time::Instant;

/// Seconds of sound.
const SECONDS: usize = 60;

/// At most this share of one core.
const TARGET: f64 = 0.03;

/// Samples of both channels that a microphone gives at a time, at 48 kHz.
const CHUNK: usize = 640;

pub(crate) fn listening(runtime: &Runtime) -> anyhow::Result<Row> {
    let mut vad = Vad::open(runtime, &root().join(".cache/silero/silero_vad.onnx"))?;
    let wake = root().join(".cache/wake");
    let phrase = root().join("models/wake/hey_hob.onnx");
    let mut wake = Wake::open(runtime, &WakeFiles { phrase, ..WakeFiles::of(&wake) }, 0.9, None)?;
    let (mut framer, mut segmenter) = (Framer::new(48_000, 2)?, Segmenter::new(SegmentSettings::default()));
    let quiet = hum(SECONDS * 48_000);
    let began = Instant::now();
    let mut events = 0;
    for chunk in quiet.chunks(CHUNK) {
        for frame in framer.push(chunk)? {
            let speech = vad.speech(&frame)?;
            events +=
                segmenter.push(&frame, speech).len() + wake.push(&frame)?.iter().filter(|step| step.woken).count();
        }
    }
    let took = began.elapsed().as_secs_f64();
    anyhow::ensure!(events == 0, "a quiet room said something");
    Ok(Row {
        what: "an idle microphone, 48 kHz and two channels: resampling, speech, wake phrase".to_owned(),
        measured: format!("{took:.2} s"),
        beside: format!("{SECONDS} s of sound"),
        share: took / 60.0,
        target: TARGET,
    })
}

/// A quiet room: a hum of the mains, and noise far below it, both channels.
fn hum(frames: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut samples = Vec::with_capacity(frames * 2);
    for at in 0..frames {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 65_536.0 - 0.5;
        let phase = f32::from(u16::try_from(at % 960).unwrap_or(0)) / 960.0;
        let sample = 0.002 * (phase * std::f32::consts::TAU).sin() + 0.002 * noise;
        samples.extend([sample, sample]);
    }
    samples
}
