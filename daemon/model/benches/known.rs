//! What it saves to know something already: a command recalled from the memo, against the same decoded with its prompt in
//! the KV slot; and the beginning of prompts taken up from memory or from disk, against reading it. With the shipped model
//! and its tools in a house of forty lamps. `cargo bench -p hob-model --bench known`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hob_events::{
    Allowed, Device, DeviceKind, Effects, GenerateOrder, Inventory, Message, Offer, PluginName, Priority, Prompt,
    Replies, Risk, Thinking, ToolName, ToolSpec, TurnId,
};
use hob_model::{Gemma, Interrupt, LanguageModel, MemoSettings, ModelSettings, PrefixSettings, Progress};
use hob_onnx::Runtime;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

fn offer() -> Offer {
    let shipped: Vec<Value> =
        serde_json::from_str(include_str!("../../../models/tools/pocket/tools.json")).expect("json");
    let spec = |tool: &Value| ToolSpec {
        name: ToolName::lossy(tool["name"].as_str().unwrap_or_default()),
        plugin: PluginName::lossy("home"),
        description: tool["description"].as_str().unwrap_or_default().to_owned(),
        schema: tool["schema"].clone(),
        effects: Effects::default(),
        risk: Risk::default(),
        replies: Replies::default(),
        deadline_ms: 1000,
    };
    let device = |number: usize| Device {
        name: format!("lamp number {number}"),
        aliases: Vec::new(),
        area: Some(format!("room {}", number % 8)),
        kind: DeviceKind::Light,
        risk: Risk::Low,
    };
    Offer {
        tools: shipped.iter().map(spec).collect(),
        inventory: Inventory { devices: (0..40).map(device).collect(), areas: Vec::new() },
    }
}

fn order() -> GenerateOrder {
    let offer = offer();
    let devices = offer.inventory.devices.iter().map(|device| format!("{} (light)\n", device.name));
    GenerateOrder {
        turn: TurnId(1),
        prompt: Prompt {
            system: format!("You look after this house by calling tools.\n\n{}", devices.collect::<String>()).into(),
            offer: Arc::new(offer),
            messages: vec![Message::words("turn on lamp number 7")],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: 256,
        deadline_ms: 60_000,
    }
}

fn open(memo: Option<MemoSettings>, prefixes: Option<PrefixSettings>) -> Gemma {
    let runtime = Runtime::find(None).expect("`make setup` fetches ONNX Runtime, HOB_ONNX_LIBRARY names another");
    let pocket = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/pocket");
    let settings = ModelSettings { memo, prefixes, ..ModelSettings::new(pocket) };
    Gemma::open(&runtime, &settings).expect("the shipped model opens")
}

fn generate(model: &mut Gemma, order: &GenerateOrder) -> bool {
    match model.generate(order, &mut |_| (), &Interrupt::default()).expect("it answers") {
        Progress::Ended(generated) => generated.timings.from_memo,
        Progress::Parked => false,
    }
}

fn warm(model: &mut Gemma, prompt: &Prompt) {
    model.warm(prompt, &Interrupt::default()).expect("it reads the beginning");
}

fn beginning(criterion: &mut Criterion) {
    let prompt = order().prompt;
    let mut group = criterion.benchmark_group("the beginning of a prompt");
    group.sample_size(10);
    // Each round with a model that has read nothing yet; opening it is not counted.
    let read = |bencher: &mut criterion::Bencher<'_>, prefixes: Option<PrefixSettings>| {
        bencher.iter_batched(
            || open(None, prefixes.clone()),
            |mut model| {
                warm(&mut model, &prompt);
                model
            },
            BatchSize::PerIteration,
        );
    };
    group.bench_function("read", |bencher| read(bencher, None));

    let folder = tempfile::tempdir().expect("a folder");
    let kept = PrefixSettings { folder: folder.path().join("kv"), files: 4, bytes: PrefixSettings::USUAL_BYTES };
    warm(&mut open(None, Some(kept.clone())), &prompt);
    group.bench_function("taken up from disk", |bencher| read(bencher, Some(kept.clone())));

    let mut model = open(None, None);
    warm(&mut model, &prompt);
    group.bench_function("in memory", |bencher| bencher.iter(|| warm(&mut model, &prompt)));
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let order = order();
    let mut group = criterion.benchmark_group("a known command");
    let mut model = open(None, None);
    group.bench_function("decoded, its prompt in the KV slot", |bencher| bencher.iter(|| generate(&mut model, &order)));

    let folder = tempfile::tempdir().expect("a folder");
    let memo = MemoSettings { folder: folder.path().join("memo"), entries: 8, bytes: MemoSettings::USUAL_BYTES };
    let mut model = open(Some(memo), None);
    generate(&mut model, &order);
    assert!(generate(&mut model, &order), "it is known by now");
    group.bench_function("recalled", |bencher| bencher.iter(|| generate(&mut model, &order)));
    group.finish();
}

criterion_group!(benches, all, beginning);
criterion_main!(benches);
