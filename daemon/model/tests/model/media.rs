//! Pictures and sounds through the encoders and into the decoder, on the miniature of Gemma 4 E2B that lies in the
//! repository, against what Transformers writes with the same rounded weights. `make test-parity` holds larger ones.

use crate::golden::greedy;
use crate::{fixture, runtime};
use hob_events::{Frame, GenerateFailure, Medium, MediumId, Message, Offer, Prompt, Thinking};
use hob_model::chat::{ChatFormat, Gemma4, Vocabulary};
use hob_model::media::image::ImageBudget;
use hob_model::media::sound;
use hob_model::{
    Decoder, Hearing, Interrupt, Keep, MediaSettings, ModelFolder, OrtDecoder, Rows, Senses, Shown, Slot, Spoken,
    Variant,
};
use hob_onnx::{PackedSettings, SessionSettings, Stop};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const CONTEXT: usize = 256;

/// How far a feature may be off in a variant, and a logit.
const VARIANTS: [(Variant, &str, f32, f32); 2] =
    [(Variant::Q4, "golden_media_q4", 1e-3, 1e-3), (Variant::Q4f16, "golden_media_q4f16", 0.03, 0.05)];

#[derive(Deserialize)]
struct Golden {
    width: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    budget: u32,
    prompt: Vec<u32>,
    messages: Vec<serde_json::Value>,
    media: Vec<Asked>,
    tokens: Vec<u32>,
    first: Vec<(usize, f32)>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    kind: String,
    file: String,
    second: Option<u64>,
    tokens: usize,
    start: usize,
    row: usize,
}

fn golden(name: &str) -> (Golden, Vec<f32>) {
    let folder = fixture("published");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let bytes = std::fs::read(folder.join(format!("{name}.f32"))).unwrap();
    let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (serde_json::from_str(&text).unwrap(), numbers)
}

/// Puts one of the golden's files on a shelf.
fn put(shelf: &TempDir, name: &str) -> MediumId {
    let bytes = std::fs::read(fixture("published").join("media").join(name)).unwrap();
    put_bytes(shelf.path(), &bytes)
}

fn put_bytes(shelf: &Path, bytes: &[u8]) -> MediumId {
    let id = MediumId(Sha256::digest(bytes).into());
    std::fs::write(shelf.join(id.to_string()), bytes).unwrap();
    id
}

fn senses(shelf: &TempDir, variant: Variant, budget: u32) -> Senses {
    let folder = ModelFolder::open(&fixture("published"), Some(variant)).unwrap();
    let image_tokens = ImageBudget::try_from(budget).unwrap();
    let settings = MediaSettings {
        folder: shelf.path().to_owned(),
        image_tokens,
        encoder_idle: Duration::from_secs(60),
        spoken: Spoken::default(),
    };
    // Places for packed weights are the decoder's alone.
    let packed = PackedSettings { folder: packed(shelf), most: 2, least_bytes: 0 };
    let session = SessionSettings { packed: Some(packed), ..SessionSettings::default() };
    Senses::new(&runtime(), &folder, &session, settings, true)
}

fn packed(shelf: &TempDir) -> std::path::PathBuf {
    shelf.path().join("packed")
}

/// The rows of a golden's medium.
fn rows(senses: &Senses, shelf: &TempDir, asked: &Asked) -> Rows {
    let id = put(shelf, &asked.file);
    let medium = match asked.kind.as_str() {
        "image" => Medium::Image { id },
        "audio" => Medium::Audio { id },
        _ => Medium::Video { frames: vec![Frame { at_ms: asked.second.unwrap() * 1000, id }] },
    };
    match senses.show(&medium).unwrap() {
        Shown::Picture(rows) | Shown::Sound(rows) => rows,
        Shown::Film(mut frames) => frames.remove(0).1,
        Shown::Document(text) => unreachable!("{text}"),
    }
}

/// A golden's prompt with the rows of its media in the place of their placeholders.
fn prompt(senses: &Senses, shelf: &TempDir, case: &Case) -> Vec<u32> {
    let mut prompt = case.prompt.clone();
    for asked in &case.media {
        let ids: Vec<u32> = rows(senses, shelf, asked).ids().collect();
        assert_eq!(ids.len(), asked.tokens, "{}", case.name);
        prompt.splice(asked.start..asked.start + asked.tokens, ids);
    }
    prompt
}

fn decoder(variant: Variant) -> OrtDecoder {
    let folder = ModelFolder::open(&fixture("published"), Some(variant)).unwrap();
    OrtDecoder::open(&runtime(), &folder, &SessionSettings::default(), 2, CONTEXT).unwrap()
}

fn off(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn what_is_seen_and_heard_is_what_transformers_sees_and_hears() {
    let stop = Stop::new(&runtime()).unwrap();
    for (variant, name, near, near_logit) in VARIANTS {
        let (golden, features) = golden(name);
        let mut decoder = decoder(variant);
        for case in &golden.cases {
            let shelf = tempfile::tempdir().unwrap();
            let senses = senses(&shelf, variant, case.budget);
            for asked in &case.media {
                let expected = &features[asked.row * golden.width..(asked.row + asked.tokens) * golden.width];
                let found = senses.take_in(&rows(&senses, &shelf, asked), &stop).unwrap();
                let off = off(&found, expected);
                // A JPEG is decoded a little otherwise by every library: by 3 of 255 here and there.
                let near = if asked.file.ends_with(".jpg") { 0.3 } else { near };
                assert!(off < near, "{variant}, {}, {}: {off}", case.name, asked.file);
            }
            assert!(!packed(&shelf).exists());
            let decoded = case.media.iter().any(|asked| asked.file.ends_with(".jpg"));
            let near_logit = if decoded { 0.1 } else { near_logit };
            decoder.see_with(&senses);
            let prompt = prompt(&senses, &shelf, case);
            for chunk in [CONTEXT, 7] {
                let (written, row) = greedy(&mut decoder, Slot(0), &prompt, chunk, case.tokens.len());
                assert_eq!(written, case.tokens, "{variant}, {}, in pieces of {chunk}", case.name);
                for (id, logit) in &case.first {
                    assert!((row[*id] - logit).abs() < near_logit, "{variant}, token {id}: {} and {logit}", row[*id]);
                }
            }
        }
    }
}

#[test]
fn a_prompt_with_media_has_the_ids_of_googles_processor() {
    let shelf = tempfile::tempdir().unwrap();
    let folder = fixture("published");
    let vocabulary = Arc::new(Vocabulary::open(&folder.join("tokenizer.json")).unwrap());
    let format = Gemma4::open(&folder, vocabulary).unwrap();
    let (golden, _) = golden("golden_media_q4");
    for case in golden.cases.iter().filter(|case| case.media.len() == 1) {
        let said = &case.messages[0]["content"][1]["text"];
        let text = said.as_str().unwrap();
        let senses = senses(&shelf, Variant::Q4, case.budget);
        let id = put(&shelf, &case.media[0].file);
        let medium = if case.media[0].kind == "image" { Medium::Image { id } } else { Medium::Audio { id } };
        let shown = senses.show(&medium).unwrap();
        let messages = vec![Message::User { text: text.to_owned(), media: vec![medium] }];
        let rendered =
            Prompt { system: "".into(), offer: Arc::new(Offer::default()), messages, thinking: Thinking::OFF };
        let ids = format.render(&rendered, &[shown]).unwrap();
        assert_eq!(ids, prompt(&senses, &shelf, case), "{}", case.name);
    }
}

#[test]
fn two_pictures_with_the_same_placeholders_are_told_apart_in_a_slot() {
    let shelf = tempfile::tempdir().unwrap();
    let senses = senses(&shelf, Variant::Q4, 70);
    let [odd, turned] = ["odd.png", "turned.jpg"].map(|name| {
        let Shown::Picture(rows) = senses.show(&Medium::Image { id: put(&shelf, name) }).unwrap() else {
            unreachable!()
        };
        rows.ids().collect::<Vec<u32>>()
    });
    assert_eq!(odd.len(), turned.len());
    assert!(odd.iter().all(|id| !turned.contains(id)));
    let mut decoder = decoder(Variant::Q4);
    decoder.see_with(&senses);
    let row = |decoder: &mut OrtDecoder, slot, ids: &[u32]| {
        decoder.truncate(slot, 0).unwrap();
        let logits = decoder.forward(slot, ids, Keep::Last(1), &Interrupt::default()).unwrap();
        logits.rows().next_back().unwrap().to_vec()
    };
    let one = row(&mut decoder, Slot(0), &[&[2], &odd[..], &[107]].concat());
    let other = row(&mut decoder, Slot(1), &[&[2], &turned[..], &[107]].concat());
    assert!(off(&one, &other) > 1e-3);
}

#[test]
fn a_sound_that_arrives_bit_by_bit_is_heard_as_the_whole() {
    let shelf = tempfile::tempdir().unwrap();
    let senses = senses(&shelf, Variant::Q4, 70);
    let stop = Stop::new(&runtime()).unwrap();
    // Three seconds, twice a saw and once a noise of sorts.
    let saw = |n: u32| n * 331 % 20_000;
    let noise = |n: u32| (n * n / 97 + 31 * n) % 20_000;
    let samples: Vec<i16> = (0..48_000_u32)
        .map(|n| if n % 32_000 < 16_000 { saw(n) } else { noise(n) })
        .map(|height| i16::try_from(height).unwrap() - 10_000)
        .collect();
    let spoken = wav(&samples);
    let id = put_bytes(shelf.path(), &spoken);
    let samples = sound::decode_wav(&spoken).unwrap().samples().to_vec();
    let mut hearing = Hearing::default();
    let mut settled = Vec::new();
    for piece in samples.chunks(4_801) {
        settled.push(senses.hear(&mut hearing, piece, &stop).unwrap());
    }
    assert!(settled.is_sorted() && settled.iter().any(|rows| (25..75).contains(rows)), "{settled:?}");
    let grown = senses.heard(hearing, id, &stop).unwrap();

    let Shown::Sound(rows) = senses.show(&Medium::Audio { id }).unwrap() else { unreachable!() };
    assert_eq!(rows.ids().count(), 75);
    assert_eq!(senses.take_in(&rows, &stop).unwrap(), grown, "it was kept under its name");
    let fresh = self::senses(&shelf, Variant::Q4, 70);
    let Shown::Sound(rows) = fresh.show(&Medium::Audio { id }).unwrap() else { unreachable!() };
    let whole = fresh.take_in(&rows, &stop).unwrap();
    assert!(off(&grown, &whole) < 1e-5, "{}", off(&grown, &whole));
}

/// The end is where its speaker paused: nothing is encoded then, and the prompt shows what was encoded before.
#[test]
fn a_sound_that_ends_at_a_pause_has_the_rows_that_were_settled_there() {
    let shelf = tempfile::tempdir().unwrap();
    let spoken = Spoken::default();
    let settings = MediaSettings {
        folder: shelf.path().to_owned(),
        image_tokens: ImageBudget::Tokens70,
        encoder_idle: Duration::from_secs(60),
        spoken: spoken.clone(),
    };
    let folder = ModelFolder::open(&fixture("published"), Some(Variant::Q4)).unwrap();
    let senses = Senses::new(&runtime(), &folder, &SessionSettings::default(), settings, false);
    let stop = Stop::new(&runtime()).unwrap();
    let samples: Vec<f32> = (0..20_001_u16).map(|n| f32::from(n % 97) / 97.0 - 0.5).collect();
    let mut hearing = Hearing::default();
    senses.hear(&mut hearing, &samples, &stop).unwrap();
    let settled = senses.settle(&mut hearing, &stop).unwrap();
    assert_eq!(settled, 31, "40 ms each, all but what is not whole");
    let id = spoken.keep(&samples[..hearing.settled_samples()]);
    senses.keep_settled(hearing, id);

    let Shown::Sound(rows) = senses.show(&Medium::Speech { id }).unwrap() else { unreachable!() };
    assert_eq!(rows.ids().count(), settled);
    let kept = senses.take_in(&rows, &stop).unwrap();
    let mut again = Hearing::default();
    senses.hear(&mut again, &samples, &stop).unwrap();
    let whole = senses.heard(again, id, &stop).unwrap();
    assert!(off(&kept, &whole[..kept.len()]) < 1e-5);
}

/// 16 kHz, one channel, 16 bits.
fn wav(samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let size = u32::try_from(data.len()).unwrap();
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + size).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1_u16, 1].map(u16::to_le_bytes).concat());
    wav.extend([16_000_u32, 32_000].map(u32::to_le_bytes).concat());
    wav.extend([2_u16, 16].map(u16::to_le_bytes).concat());
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(data);
    wav
}

#[test]
fn a_folder_without_an_encoder_says_which_file_is_missing() {
    let shelf = tempfile::tempdir().unwrap();
    let folder = ModelFolder::open(&fixture("tiny"), Some(Variant::Fp32)).unwrap();
    let settings = MediaSettings {
        folder: shelf.path().to_owned(),
        image_tokens: ImageBudget::Tokens70,
        encoder_idle: Duration::from_secs(60),
        spoken: Spoken::default(),
    };
    let senses = Senses::new(&runtime(), &folder, &SessionSettings::default(), settings, true);
    let failure = senses.show(&Medium::Image { id: MediumId([0; 32]) }).unwrap_err();
    let GenerateFailure::Medium { message } = failure else { unreachable!("{failure}") };
    assert!(message.contains("takes in no pictures") && message.contains("vision_encoder.onnx"), "{message}");
}
