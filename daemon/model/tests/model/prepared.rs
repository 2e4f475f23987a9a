//! Rewritten decoders against the published one: every rewriting alone and all together, token for token, cache for cache.

use crate::golden::exact;
use crate::published::{folder, prepared};
use crate::{fixture, runtime};
use hob_model::{Activations, Decoder, Interrupt, Keep, ModelFolder, Origin, OrtDecoder, PrepareSettings, Prepared};
use hob_model::{Extent, Gemma, ModelSettings, Needs, Slot, Variant};
use hob_onnx::{PackedSettings, Pass, SessionSettings};
use std::collections::BTreeSet;

const CONTEXT: usize = 128;

/// How many tokens are appended at a time: a prompt, a longer one than the window, steps, forced tokens.
const APPENDS: [usize; 6] = [17, 64, 1, 1, 8, 1];

/// The logits after each append, and all that the caches hold in the end.
struct Course {
    logits: Vec<Vec<f32>>,
    caches: Vec<u8>,
}

fn open(folder: &ModelFolder) -> OrtDecoder {
    let decoder = OrtDecoder::open(&runtime(), folder, &SessionSettings::default(), 2, CONTEXT).unwrap();
    assert_eq!(decoder.runs_prepared(), folder.prepared.is_some());
    decoder
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|place| u32::try_from(3 + place * 37 % 200).unwrap()).collect()
}

/// Runs all appends, each with the logits of so many of its last tokens.
fn course(decoder: &mut OrtDecoder, wanted: usize) -> Course {
    let all = tokens(APPENDS.iter().sum());
    decoder.truncate(Slot(0), 0).unwrap();
    let (mut rest, mut logits) = (all.as_slice(), Vec::new());
    for count in APPENDS {
        let (now, later) = rest.split_at(count);
        let keep = if wanted == 0 { Keep::Nothing } else { Keep::Last(wanted.min(count)) };
        let rows = decoder.forward(Slot(0), now, keep, &Interrupt::default()).unwrap();
        logits.extend(rows.rows().map(<[f32]>::to_vec));
        rest = later;
    }
    let mut caches = Vec::new();
    decoder.save(Slot(0), all.len(), &mut caches).unwrap();
    Course { logits, caches }
}

fn largest(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// The largest differences of a logit, and of a number in a cache.
fn gap(one: &Course, other: &Course, variant: Variant) -> (f32, f32) {
    assert_eq!((one.logits.len(), one.caches.len()), (other.logits.len(), other.caches.len()));
    let logits = one.logits.iter().flatten().copied().zip(other.logits.iter().flatten().copied());
    let numbers = |course: &Course| -> Vec<f32> {
        match variant {
            Variant::Q4f16 => {
                course.caches.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
            }
            Variant::Q4 | Variant::Q2f16 | Variant::Quantized | Variant::Fp16 | Variant::Fp32 => {
                course.caches.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
        }
    };
    (largest(logits), largest(numbers(one).into_iter().zip(numbers(other))))
}

fn passes(of: &[Pass]) -> BTreeSet<Pass> {
    of.iter().copied().collect()
}

#[test]
fn every_rewriting_alone_and_all_together_give_the_same_logits_and_caches() {
    for (variant, near) in [(Variant::Q4, 1e-5), (Variant::Q4f16, 0.03)] {
        let published = course(&mut open(&folder(variant)), 1);
        let gap_of = |of: &[Pass]| gap(&course(&mut open(&prepared(variant, &passes(of))), 1), &published, variant);
        // The same operators on the same numbers: not a bit differs.
        assert_eq!(gap_of(&[Pass::Unmask]), (0.0, 0.0));
        // Sums are made in another order.
        let fused = gap_of(&[Pass::Fuse, Pass::Share]);
        assert!(fused.0 <= near && fused.1 <= near, "{fused:?}");
        for more in [&[Pass::Cut][..], &[Pass::InPlace], &[Pass::Unmask, Pass::Cut, Pass::InPlace]] {
            let all = [&[Pass::Fuse, Pass::Share], more].concat();
            let gap = gap_of(&all);
            assert!(gap.0 <= near && gap.1 <= near, "{all:?}: {gap:?}");
        }
    }
}

#[test]
fn the_cut_and_caches_in_place_change_not_a_bit() {
    // Half precision is rounded where ONNX Runtime puts its casts, and a cut moves them.
    for (variant, in_caches, in_logits) in [(Variant::Q4, 0.0, 1e-5), (Variant::Q4f16, 0.03, 0.03)] {
        let fused = [Pass::Fuse, Pass::Share, Pass::Unmask];
        let with = |more: &[Pass]| open(&prepared(variant, &passes(&[&fused[..], more].concat())));
        let (mut plain, mut cut, mut in_place) = (with(&[]), with(&[Pass::Cut]), with(&[Pass::InPlace]));
        for wanted in [1, 5, 0] {
            let [plain, cut, in_place] = [&mut plain, &mut cut, &mut in_place].map(|decoder| course(decoder, wanted));
            let (cut, in_place) = (gap(&cut, &plain, variant), gap(&in_place, &plain, variant));
            assert_eq!(in_place, (0.0, 0.0), "{variant}, {wanted} wanted");
            // One row is summed by another kernel than many.
            assert!(cut.0 <= in_logits && cut.1 <= in_caches, "{variant}, {wanted} wanted: {cut:?}");
        }
    }
}

#[test]
fn what_was_cut_back_or_copied_goes_on_in_place_as_if_it_had_never_been_longer() {
    for variant in [Variant::Q4, Variant::Q4f16] {
        let mut decoder = open(&prepared(variant, &exact()));
        let (all, interrupt) = (tokens(40), Interrupt::default());
        let (front, rest) = all.split_at(25);
        let run = |decoder: &mut OrtDecoder, slot, tokens: &[u32]| {
            let logits = decoder.forward(slot, tokens, Keep::Last(1), &interrupt).unwrap();
            logits.rows().next_back().unwrap().to_vec()
        };
        run(&mut decoder, Slot(0), front);
        let straight = run(&mut decoder, Slot(0), rest);
        decoder.fork(Slot(0), Slot(1), 25).unwrap();
        decoder.truncate(Slot(0), 25).unwrap();
        // Something else stands behind the cut in the meantime.
        run(&mut decoder, Slot(0), &[9, 8, 7]);
        decoder.truncate(Slot(0), 25).unwrap();
        for slot in [Slot(0), Slot(1)] {
            assert_eq!(decoder.len(slot), 25);
            assert_eq!(run(&mut decoder, slot, rest), straight, "{variant}, {slot:?}");
        }
    }
}

#[test]
fn a_prepared_graph_is_found_again_and_made_anew_when_it_is_stale_or_spoilt() {
    let cache = tempfile::tempdir().unwrap();
    let settings = |activations| PrepareSettings { folder: cache.path().join("graphs"), activations };
    let open = |activations| Prepared::open(&folder(Variant::Q4), &settings(activations)).unwrap();
    let files = || std::fs::read_dir(cache.path().join("graphs")).unwrap().map(|entry| entry.unwrap().path());
    let (made, origin) = open(Activations::Int8);
    assert_eq!((origin, open(Activations::Int8)), (Origin::Made, (made.clone(), Origin::Kept)));
    let (other, origin) = open(Activations::AsPublished);
    assert!(origin == Origin::Made && other.graph() != made.graph() && files().count() == 2);
    for path in files() {
        let mut content = std::fs::read(&path).unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        std::fs::write(&path, content).unwrap();
    }
    assert_eq!(open(Activations::Int8), (made.clone(), Origin::Made));
    let copy = tempfile::tempdir().unwrap();
    crate::folder::copy_into(&fixture("published"), copy.path());
    let graph = copy.path().join("onnx/decoder_model_merged_q4.onnx");
    // A graph with one more remark is another graph.
    let mut content = std::fs::read(&graph).unwrap();
    content.extend(*b"\x32\x02hi");
    std::fs::write(&graph, content).unwrap();
    let changed = ModelFolder::open(copy.path(), Some(Variant::Q4)).unwrap();
    let (remade, origin) = Prepared::open(&changed, &settings(Activations::Int8)).unwrap();
    assert!(origin == Origin::Made && remade.graph() != made.graph());
    // Its data file can hold what a rewriting asks for.
    assert_eq!(Prepared::open(&changed, &settings(Activations::Int8)).unwrap().1, Origin::Kept);
    let data = std::fs::File::options().write(true).open(graph.with_extension("onnx_data")).unwrap();
    data.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(Prepared::open(&changed, &settings(Activations::Int8)).unwrap().1, Origin::Made);
    assert!(made.graph().len() < 400_000, "the weights stay where they are");
}

#[test]
fn what_is_grown_in_place_is_reckoned_once() {
    let extent = Extent { context_tokens: 1024, slots: 2, chunk_tokens: 64 };
    let kv = |folder: &ModelFolder| Needs::read(folder).unwrap().budget(extent).kv;
    let (published, prepared) = (kv(&folder(Variant::Q4)), kv(&prepared(Variant::Q4, &exact())));
    assert_eq!((published, prepared), (published, published / 3 * 2));
}

#[test]
fn what_became_of_each_rewriting_is_told() {
    let told = |passes: &BTreeSet<Pass>| {
        let folder = prepared(Variant::Q4, passes);
        let outcomes = folder.prepared.unwrap().outcomes().iter().map(ToString::to_string).collect::<Vec<_>>();
        outcomes.join("\n")
    };
    insta::assert_snapshot!(told(&Pass::ALL.into()), @"
    attention in one operator: 1
    keys and values shared without a copy: 5
    masks left out: 4
    prefill cut to the wanted tokens: 1 (150 operators run for the wanted tokens alone)
    caches grown in place: 10
    8-bit activations: 72
    ");
    insta::assert_snapshot!(told(&passes(&[Pass::Cut, Pass::InPlace])), @"
    prefill cut to the wanted tokens: 0; 1 left as published: the end of the graph: /model/attn_bias/Less may need all tokens (Less)
    caches grown in place: all or none; 4 left as published: past_key_values.3.key: something else looks at it; past_key_values.3.value: something else looks at it; past_key_values.4.key: no attention operator grows it; past_key_values.4.value: no attention operator grows it
    ");
}

#[test]
fn what_is_reckoned_beforehand_is_what_is_opened() {
    let cache = tempfile::tempdir().unwrap();
    let prepare = PrepareSettings { folder: cache.path().join("graphs"), activations: Activations::default() };
    let packed = PackedSettings { folder: cache.path().join("packed"), most: 1, least_bytes: 0 };
    let settings = ModelSettings {
        variant: Some(Variant::Q4),
        context_tokens: 1 << 40,
        slots: 3,
        prepare: Some(prepare),
        session: SessionSettings { packed: Some(packed), ..SessionSettings::default() },
        ..ModelSettings::new(fixture("published"))
    };
    let mut folder = folder(Variant::Q4);
    let most = folder.config.max_positions().unwrap();
    let unprepared = settings.needs(&runtime(), &folder).unwrap();
    settings.prepare(&runtime(), &mut folder);
    let (needs, extent) = (settings.needs(&runtime(), &folder).unwrap(), settings.extent(&folder));
    assert_eq!(extent, Extent { context_tokens: most, slots: 3, chunk_tokens: 256 }, "never beyond the model's own");
    let slot = u64::try_from(most * needs.layout().bytes_per_token()).unwrap();
    let (before, after) = (unprepared.budget(extent), needs.budget(extent));
    assert_eq!((before.kv, after.kv), (4 * slot, 3 * slot), "no slot is copied as it grows");
    assert_eq!(before.work, 3 * after.work);

    assert_eq!(settings.held(&runtime(), &folder).unwrap(), after, "nothing is packed yet");
    Gemma::open(&runtime(), &ModelSettings { context_tokens: CONTEXT, ..settings.clone() }).unwrap();
    let held = settings.held(&runtime(), &folder).unwrap();
    assert_eq!((held.weights, held.kv), (0, after.kv), "pages of a file are free all along");
}
