//! What a grammar costs: preparing a tokenizer, compiling an offer, one mask. `cargo bench -p hob-model`.

use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use hob_events::{
    Allowed, Device, DeviceKind, Effects, Inventory, Offer, PluginName, Replies, Risk, ToolName, ToolSpec,
};
use hob_model::chat::{Markers, Vocabulary};
use hob_model::grammar::{Constraint, Grammars};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// Tokens of Gemma 4.
const GEMMA_TOKENS: usize = 262_144;

fn tiny() -> Arc<Vocabulary> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny");
    Arc::new(Vocabulary::open(&folder.join("tokenizer.json")).expect("the fixture has a tokenizer"))
}

/// A tokenizer as large as Gemma's: its control tokens, single bytes, and pieces of invented words.
fn large() -> Arc<Vocabulary> {
    let control = ["<pad>", "<eos>", "<bos>", "<unk>", "<|tool_call>", "<tool_call|>", "<|tool_response>"];
    let control =
        control.into_iter().chain(["<tool_response|>", "<|\"|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>"]);
    let added: Vec<Value> = (0u32..)
        .zip(control)
        .map(|(id, content)| {
            json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    let mut vocabulary: Map<String, Value> = added
        .iter()
        .map(|token| (token["content"].as_str().unwrap_or_default().to_owned(), token["id"].clone()))
        .collect();
    for byte in 0..=u8::MAX {
        vocabulary.insert(format!("<0x{byte:02X}>"), json!(vocabulary.len()));
    }
    let letters = [" ", "e", "t", "a", "o", "in", "sh", "r", "d", "lu", "c", "m", "E", "S", "9", "_", ",", "ß", "ж"];
    let mut seed = 0x2545_F491_4F6C_DD1D_usize;
    while vocabulary.len() < GEMMA_TOKENS {
        let mut piece = String::new();
        for _ in 0..2 + (seed >> 40) % 4 {
            seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            piece.push_str(letters[(seed >> 33) % letters.len()]);
        }
        let id = vocabulary.len();
        vocabulary.entry(piece).or_insert(json!(id));
    }
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "added_tokens": added,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "vocab": vocabulary, "merges": []},
    });
    let tokenizer = serde_json::from_value(tokenizer).expect("the tokenizer is well formed");
    Arc::new(Vocabulary::new(tokenizer).expect("its decoder is known"))
}

/// The shipped tools in a house of forty lamps.
fn offer() -> Offer {
    let shipped: Vec<Value> =
        serde_json::from_str(include_str!("../../../models/tools/pocket/tools.json")).expect("json");
    let spec = |tool: &Value| ToolSpec {
        name: ToolName::lossy(tool["name"].as_str().unwrap_or_default()),
        plugin: PluginName::lossy("home"),
        description: String::new(),
        schema: tool["schema"].clone(),
        effects: Effects::default(),
        risk: Risk::default(),
        replies: Replies::default(),
        deadline_ms: 1000,
    };
    let device = |number: usize| Device {
        name: format!("lamp number {number}"),
        aliases: vec![format!("light {number}")],
        area: Some(format!("room {}", number % 8)),
        kind: DeviceKind::Light,
        risk: Risk::Low,
    };
    Offer {
        tools: shipped.iter().map(spec).collect(),
        inventory: Inventory { devices: (0..40).map(device).collect(), areas: Vec::new() },
    }
}

fn grammars(vocabulary: &Arc<Vocabulary>) -> Grammars {
    let markers = Markers::find(vocabulary).expect("the markers are there");
    Grammars::new(Arc::clone(vocabulary), markers, vocabulary.len()).expect("the tokenizer serves")
}

/// The constraint after `text`.
fn at(grammars: &Grammars, vocabulary: &Vocabulary, text: &str) -> Constraint {
    let mut constraint = grammars.constraint(&offer(), Allowed::CallsOrText).expect("the offer compiles");
    vocabulary.ids(text).into_iter().for_each(|id| constraint.accept(id).expect("it is allowed"));
    constraint
}

fn measure(criterion: &mut Criterion, name: &str, vocabulary: &Arc<Vocabulary>) {
    let mut group = criterion.benchmark_group(name);
    // Preparing a large tokenizer takes seconds: no more rounds than samples.
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("prepare the tokenizer", |bencher| bencher.iter(|| grammars(vocabulary)));
    let made = grammars(vocabulary);
    let mut offer = offer();
    let mut renamed = 0;
    group.bench_function("compile an offer never seen", |bencher| {
        bencher.iter(|| {
            renamed += 1;
            offer.inventory.devices[0].name = format!("lamp renamed {renamed}");
            made.constraint(&offer, Allowed::CallsOrText)
        });
    });
    let steps = [
        ("mask at the start", ""),
        ("mask at a device's name", "<|tool_call>call:turn_on{device:<|\"|>"),
        ("mask in free words of a call", "<|tool_call>call:list_add{item:<|\"|>oat "),
        ("mask in an answer", "there is no "),
    ];
    for (step, text) in steps {
        group.bench_function(step, |bencher| {
            bencher.iter_batched(
                || at(&made, vocabulary, text),
                |mut constraint| constraint.allowed().map(|mask| mask.map(|mask| mask.count())),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    measure(criterion, "tiny", &tiny());
    measure(criterion, "262144 tokens", &large());
}

criterion_group!(benches, all);
criterion_main!(benches);
