//! From the end of speech to what can be done about it: encoded while it was said, against encoded afterwards.

use crate::{Row, root};
use anyhow::Context;
use hob_events::{Allowed, GenerateOrder, Medium, Message, Offer, Priority, Prompt, Thinking, TurnId};
use hob_model::media::image::ImageBudget;
use hob_model::media::sound;
use hob_model::{
    Gemma, Hearing, Interrupt, LanguageModel, MediaSettings, ModelSettings, Progress, Senses, Spoken, Variant,
};
use hob_onnx::{Runtime, Stop};
use hob_senses::FRAME;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Silence from the pause on until what was said is known to be at its end: the segmenter's 640 ms without its first 224.
const AFTER_PAUSE: Duration = Duration::from_millis(416);

/// Times that each is measured; the median counts.
const ROUNDS: usize = 5;

/// At most this share of encoding afterwards.
const TARGET: f64 = 0.5;

/// What follows the end of speech, in seconds.
struct After {
    encoding: f64,
    first_token: f64,
}

pub(crate) fn heard(runtime: &Runtime, folder: &Path) -> anyhow::Result<Row> {
    let spoken = Spoken::default();
    let shelf = tempfile::tempdir()?;
    let media = MediaSettings {
        folder: shelf.path().to_owned(),
        image_tokens: ImageBudget::Tokens70,
        encoder_idle: Duration::from_secs(600),
        spoken: spoken.clone(),
    };
    // The only one of the published size.
    let variant = Some(Variant::Q4);
    let settings =
        ModelSettings { variant, media: Some(media), context_tokens: 2048, ..ModelSettings::new(folder.to_owned()) };
    let mut model = Gemma::open(runtime, &settings)?;
    let senses = model.senses().context("the model has no ears")?.clone();
    let samples = command()?;
    // The first run opens the encoder.
    heard_afterwards(runtime, &senses, &spoken, &samples)?;
    let mut during = Vec::new();
    let mut afterwards = Vec::new();
    // Its decoder is another model's: only its encoder is of true size.
    let answers = !folder.ends_with("true-ears");
    for _ in 0..ROUNDS {
        let (encoding, id) = heard_meanwhile(runtime, &senses, &spoken, &samples)?;
        during.push(After { encoding, first_token: if answers { first_token(&mut model, id)? } else { 0.0 } });
        let (encoding, id) = heard_afterwards(runtime, &senses, &spoken, &samples)?;
        afterwards.push(After { encoding, first_token: if answers { first_token(&mut model, id)? } else { 0.0 } });
    }
    let (during, afterwards) = (median(during), median(afterwards));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let seconds = samples.len() / 16_000;
    let until = if answers { "the first token" } else { "the last row" };
    Ok(Row {
        what: format!("{name}: from the end of {seconds} s of speech to {until}"),
        measured: format!("{:.0} ms", (during.encoding + during.first_token) * 1e3),
        beside: format!(
            "{:.0} ms encoded afterwards, to the same",
            (afterwards.encoding + afterwards.first_token) * 1e3
        ),
        share: (during.encoding + during.first_token) / (afterwards.encoding + afterwards.first_token),
        target: TARGET,
    })
}

/// A spoken command, said twice: four seconds.
fn command() -> anyhow::Result<Vec<f32>> {
    let wav = root().join("tests/fixtures/speech/turn_on_the_ceiling_lamp.wav");
    let once = sound::decode_wav(&std::fs::read(wav)?)?;
    Ok([once.samples(), once.samples()].concat())
}

fn median(mut all: Vec<After>) -> After {
    all.sort_by(|one, other| (one.encoding + one.first_token).total_cmp(&(other.encoding + other.first_token)));
    all.swap_remove(ROUNDS / 2)
}

/// As the daemon hears: frame by frame, all of it at the pause, nothing at the end. What the pause has no time for counts.
fn heard_meanwhile(
    runtime: &Runtime,
    senses: &Senses,
    spoken: &Spoken,
    samples: &[f32],
) -> anyhow::Result<(f64, hob_events::MediumId)> {
    let (mut hearing, stop) = (Hearing::default(), Stop::new(runtime)?);
    for frame in samples.chunks(FRAME) {
        senses.hear(&mut hearing, frame, &stop)?;
    }
    let began = Instant::now();
    senses.settle(&mut hearing, &stop)?;
    let late = began.elapsed().saturating_sub(AFTER_PAUSE);
    let began = Instant::now();
    let id = spoken.keep(samples.get(..hearing.settled_samples()).unwrap_or(samples));
    senses.keep_settled(hearing, id);
    Ok(((late + began.elapsed()).as_secs_f64(), id))
}

/// All of it when it is over.
fn heard_afterwards(
    runtime: &Runtime,
    senses: &Senses,
    spoken: &Spoken,
    samples: &[f32],
) -> anyhow::Result<(f64, hob_events::MediumId)> {
    let stop = Stop::new(runtime)?;
    let began = Instant::now();
    let mut hearing = Hearing::default();
    hearing.push(samples);
    let id = spoken.keep(samples);
    senses.heard(hearing, id, &stop)?;
    Ok((began.elapsed().as_secs_f64(), id))
}

/// Seconds to the first token of what the model says to it.
fn first_token(model: &mut Gemma, id: hob_events::MediumId) -> anyhow::Result<f64> {
    let order = GenerateOrder {
        turn: TurnId(1),
        prompt: Prompt {
            system: "You look after this house by calling tools.".into(),
            offer: Arc::new(Offer::default()),
            messages: vec![Message::User { text: String::new(), media: vec![Medium::Speech { id }] }],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: 1,
        deadline_ms: 60_000,
    };
    match model.generate(&order, &mut |_| {}, &Interrupt::default())? {
        Progress::Ended(generated) => Ok(generated.timings.first_token_ms / 1e3),
        Progress::Parked => anyhow::bail!("nobody wanted room"),
    }
}
