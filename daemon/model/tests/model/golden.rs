//! The decoder against what the same weights say in Transformers, and against itself after cuts and copies.

use crate::folder::copy_into;
use crate::{fixture, runtime};
use hob_model::{
    Decoder, ForwardFailure, Interrupt, Interruption, Keep, ModelFolder, OrtDecoder, Prepared, Slot, Variant,
};
use hob_onnx::{Pass, SessionSettings};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

const CONTEXT: usize = 128;

/// The longest golden prompt of pocket has some 1,500 tokens.
const POCKET_CONTEXT: usize = 4096;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) prompt: Vec<u32>,
    pub(crate) tokens: Vec<u32>,
    /// The likeliest first tokens with their logits.
    pub(crate) first: Vec<(usize, f32)>,
}

fn cases() -> Vec<Case> {
    read(&fixture("tiny").join("golden.json"))
}

pub(crate) fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Golden>(&text).unwrap().cases
}

/// The decoder of a fixture, as published and prepared.
fn opened(name: &str, variant: Variant) -> [OrtDecoder; 2] {
    let mut folder = ModelFolder::open(&fixture(name), Some(variant)).unwrap();
    let open =
        |folder: &ModelFolder| OrtDecoder::open(&runtime(), folder, &SessionSettings::default(), 2, CONTEXT).unwrap();
    let published = open(&folder);
    folder.prepared = Some(Prepared::make(&folder.decoder, &exact()).unwrap());
    let prepared = open(&folder);
    assert!(prepared.runs_prepared() && !published.runs_prepared());
    [published, prepared]
}

/// Every rewriting that leaves activations as they are.
pub(crate) fn exact() -> BTreeSet<Pass> {
    Pass::ALL.into_iter().filter(|pass| *pass != Pass::Accuracy).collect()
}

/// The last row of logits after `tokens`.
fn last_row(decoder: &mut OrtDecoder, slot: Slot, tokens: &[u32]) -> Vec<f32> {
    let logits = decoder.forward(slot, tokens, Keep::Last(1), &Interrupt::default()).unwrap();
    logits.rows().next_back().unwrap().to_vec()
}

fn likeliest(row: &[f32]) -> u32 {
    let best = (0_u32..).zip(row).max_by(|one, other| one.1.total_cmp(other.1));
    best.unwrap().0
}

/// The greedy continuation of a prompt that is run in pieces of `chunk` tokens, and the logits of its first token.
pub(crate) fn greedy(
    decoder: &mut OrtDecoder,
    slot: Slot,
    prompt: &[u32],
    chunk: usize,
    count: usize,
) -> (Vec<u32>, Vec<f32>) {
    decoder.truncate(slot, 0).unwrap();
    let mut first = Vec::new();
    for piece in prompt.chunks(chunk) {
        first = last_row(decoder, slot, piece);
    }
    let mut tokens = vec![likeliest(&first)];
    while tokens.len() < count {
        let row = last_row(decoder, slot, &tokens[tokens.len() - 1..]);
        tokens.push(likeliest(&row));
    }
    (tokens, first)
}

#[test]
fn caches_that_went_over_a_disk_give_the_same_logits() {
    for (name, variant) in [("tiny", Variant::Fp32), ("tiny_f16", Variant::Q4f16)] {
        for (mut decoder, mut other) in opened(name, variant).into_iter().zip(opened(name, variant)) {
            let prompt = &cases()[0].prompt;
            let (front, rest) = prompt.split_at(prompt.len() - 3);
            last_row(&mut decoder, Slot(0), front);
            let mut saved = Vec::new();
            decoder.save(Slot(0), front.len(), &mut saved).unwrap();
            assert_eq!(saved.len(), front.len() * decoder.layout().bytes_per_token());
            other.load(Slot(1), front.len(), &mut saved.as_slice()).unwrap();
            assert_eq!(last_row(&mut other, Slot(1), rest), last_row(&mut decoder, Slot(0), rest), "{name}");
            let cut = &mut &saved[..saved.len() - 1];
            assert!(other.load(Slot(0), front.len(), cut).is_err() && other.len(Slot(0)) == 0);
        }
    }
}

#[test]
fn the_decoder_writes_what_transformers_writes_whatever_the_chunks() {
    assert!(cases().len() >= 50);
    for mut decoder in opened("tiny", Variant::Fp32) {
        for case in cases() {
            for chunk in [256, 7, 1] {
                assert_eq!(greedy(&mut decoder, Slot(0), &case.prompt, chunk, case.tokens.len()).0, case.tokens);
            }
            decoder.truncate(Slot(0), 0).unwrap();
            let row = last_row(&mut decoder, Slot(0), &case.prompt);
            for (id, logit) in case.first {
                assert!((row[id] - logit).abs() < 1e-3, "token {id}: {} and {logit}", row[id]);
            }
        }
    }
}

/// Its 8-bit weights as Transformers is given them, and a graph whose products are in single precision, as there.
#[test]
fn the_shipped_model_writes_what_transformers_writes_on_at_least_fifty_prompts() {
    hold_pocket(false);
}

#[test]
fn the_shipped_model_prepared_writes_the_same() {
    hold_pocket(true);
}

fn hold_pocket(prepared: bool) {
    let copy = tempfile::tempdir().unwrap();
    copy_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/pocket"), copy.path());
    let graph = copy.path().join("onnx/decoder_model_merged_quantized.onnx");
    std::fs::copy(fixture("pocket_decoder_exact.onnx"), graph).unwrap();
    let mut folder = ModelFolder::open(copy.path(), Some(Variant::Quantized)).unwrap();
    if prepared {
        let prepared = Prepared::make(&folder.decoder, &exact()).unwrap();
        assert!(prepared.in_place(), "{:?}", prepared.outcomes());
        folder.prepared = Some(prepared);
    }
    let mut decoder = OrtDecoder::open(&runtime(), &folder, &SessionSettings::default(), 1, POCKET_CONTEXT).unwrap();
    let cases = read(&fixture("pocket_golden.json"));
    assert!(cases.len() >= 50, "{} prompts", cases.len());
    for (number, case) in cases.iter().enumerate() {
        let (written, _) = greedy(&mut decoder, Slot(0), &case.prompt, 256, case.tokens.len());
        assert_eq!(written, case.tokens, "prompt {number}");
    }
}

#[test]
fn a_cut_cache_and_a_copied_one_go_on_as_a_fresh_one_does() {
    // A run of another length sums in another order, and half precision shows it.
    for (name, variant, near) in [("tiny", Variant::Q4, 1e-3), ("tiny_f16", Variant::Q4f16, 0.2)] {
        for mut decoder in opened(name, variant) {
            let cases = cases();
            let (one, other) = (&cases[0].prompt, &cases[1].prompt);
            let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
            assert!(common > 2);
            let fresh = last_row(&mut decoder, Slot(0), other);

            decoder.truncate(Slot(0), 0).unwrap();
            last_row(&mut decoder, Slot(0), one);
            decoder.fork(Slot(0), Slot(1), common).unwrap();
            decoder.truncate(Slot(0), common).unwrap();
            for slot in [Slot(0), Slot(1)] {
                assert_eq!(decoder.len(slot), common);
                let row = last_row(&mut decoder, slot, &other[common..]);
                let gap = row.iter().zip(&fresh).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
                assert!(gap < near, "{name}, slot {slot:?}: {gap}");
            }
        }
    }
}

#[test]
fn as_many_rows_come_back_as_are_wanted() {
    for mut decoder in opened("tiny", Variant::Fp32) {
        let prompt = &cases()[0].prompt;
        let rows = |decoder: &mut OrtDecoder, keep| {
            decoder.truncate(Slot(1), 0).unwrap();
            let logits = decoder.forward(Slot(1), prompt, keep, &Interrupt::default()).unwrap();
            logits.rows().map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        let three = rows(&mut decoder, Keep::Last(3));
        assert_eq!((three.len(), rows(&mut decoder, Keep::Nothing).len()), (3, 0));
        let fewer = prompt.len() - 1;
        decoder.truncate(Slot(1), 0).unwrap();
        let before = last_row(&mut decoder, Slot(1), &prompt[..fewer]);
        let gap = before.iter().zip(&three[1]).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(gap < 1e-4, "the last but one row belongs to the last but one token: {gap}");
    }
}

#[test]
fn a_run_that_is_ended_leaves_the_slot_as_it_was() {
    for mut decoder in opened("tiny", Variant::Q4) {
        let prompt = &cases()[0].prompt;
        let (front, rest) = prompt.split_at(4);
        last_row(&mut decoder, Slot(0), front);
        let interrupt = Interrupt::default();
        interrupt.expire();
        let ended = decoder.forward(Slot(0), rest, Keep::Last(1), &interrupt);
        assert_eq!(ended, Err(ForwardFailure::Interrupted(Interruption::Deadline)));
        assert_eq!(decoder.len(Slot(0)), 4);
        let resumed = last_row(&mut decoder, Slot(0), rest);
        last_row(&mut decoder, Slot(1), front);
        assert_eq!(resumed, last_row(&mut decoder, Slot(1), rest));
    }
}

#[test]
fn a_full_slot_says_so() {
    for mut decoder in opened("tiny", Variant::Q4) {
        let too_many = vec![2; CONTEXT + 1];
        let full = decoder.forward(Slot(0), &too_many, Keep::Nothing, &Interrupt::default());
        assert_eq!(full, Err(ForwardFailure::Full { context: CONTEXT }));
    }
}
