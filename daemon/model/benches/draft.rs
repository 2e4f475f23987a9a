//! What drafts are worth: decoding free text that says again what stands before it, and text that does not, with drafts and
//! without. With the shipped model, which says nothing worth reading outside its calls; what counts is what a step takes.
//! `cargo bench -p hob-model --bench draft`.

use criterion::{Criterion, criterion_group, criterion_main};
use hob_events::{Allowed, GenerateOrder, Generated, Message, Offer, Priority, Prompt, Thinking, TurnId};
use hob_model::{Gemma, Interrupt, LanguageModel, ModelSettings, Progress};
use hob_onnx::Runtime;
use std::path::Path;
use std::sync::Arc;

/// Words that the model goes on with in circles, and words that it answers without saying anything twice.
const TEXTS: [(&str, &str); 2] = [
    ("copy-like", "say milk, bread, eggs, milk, bread, eggs, milk, bread, eggs, milk, bread, eggs, milk, bread"),
    (
        "unlike",
        "what is the weather going to be like on the coast this weekend, and should the boat stay in the harbour?",
    ),
];

fn order(said: &str) -> GenerateOrder {
    GenerateOrder {
        turn: TurnId(1),
        prompt: Prompt {
            system: "You look after this house.".into(),
            offer: Arc::new(Offer::default()),
            messages: vec![Message::words(said)],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: 128,
        deadline_ms: 60_000,
    }
}

fn open(draft: bool) -> Gemma {
    let runtime = Runtime::find(None).expect("`make setup` fetches ONNX Runtime, HOB_ONNX_LIBRARY names another");
    let pocket = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/pocket");
    let settings = ModelSettings { draft, ..ModelSettings::new(pocket) };
    Gemma::open(&runtime, &settings).expect("the shipped model opens")
}

fn generate(model: &mut Gemma, order: &GenerateOrder) -> Option<Generated> {
    match model.generate(order, &mut |_| (), &Interrupt::default()).expect("it answers") {
        Progress::Ended(generated) => Some(generated),
        Progress::Parked => None,
    }
}

fn all(criterion: &mut Criterion) {
    for (name, said) in TEXTS {
        let order = order(said);
        let mut group = criterion.benchmark_group(name);
        for (how, draft) in [("plain", false), ("drafted", true)] {
            let mut model = open(draft);
            // What steps cost is measured as they come.
            let last = (0..8).filter_map(|_| generate(&mut model, &order)).last().map(|last| last.timings);
            tell(name, how, last.map_or((0, 0), |last| (last.generated_tokens, last.drafted_tokens)));
            group.bench_function(how, |bencher| bencher.iter(|| generate(&mut model, &order)));
        }
        group.finish();
    }
}

#[expect(clippy::print_stderr, reason = "how many tokens a figure is for belongs beside it")]
fn tell(name: &str, how: &str, (generated, drafted): (u32, u32)) {
    eprintln!("{name}, {how}: {generated} tokens, {drafted} of them drafted");
}

criterion_group!(benches, all);
criterion_main!(benches);
