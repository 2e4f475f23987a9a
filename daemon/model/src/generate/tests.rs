//! The loop with the real format and the real grammar over a decoder that writes what a test wants.

mod draft;
mod thought;

use crate::chat::{ChatFormat, Gemma4, Vocabulary};
use crate::draft::Drafting;
use crate::gemma::{Gemma, Parts};
use crate::grammar::Grammars;
use crate::interrupt::Interrupt;
use crate::language_model::{Glimpse, LanguageModel, Progress};
use crate::memo::{Identity, Memo, MemoSettings};
use crate::sampler::Sampling;
use crate::soft::Library;
use crate::toy::{NO_NUMBERS, SURE, ToyDecoder};
use hob_events::{
    Allowed, ConversationId, Device, DeviceKind, Effects, GenerateFailure, GenerateOrder, Generated, Inventory,
    Message, Offer, Part, PluginName, Priority, Prompt, Replies, Risk, StopReason, Thinking, ToolName, ToolSpec,
    TurnId, Writing,
};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny");

fn vocabulary() -> Arc<Vocabulary> {
    Arc::new(Vocabulary::open(&Path::new(TINY).join("tokenizer.json")).unwrap())
}

fn offer(devices: &[&str]) -> Offer {
    let device = |name: &&str| Device {
        name: (*name).to_owned(),
        aliases: Vec::new(),
        area: None,
        kind: DeviceKind::Light,
        risk: Risk::Low,
    };
    Offer {
        tools: vec![ToolSpec {
            name: ToolName::new("turn_on").unwrap(),
            plugin: PluginName::new("home").unwrap(),
            description: "Turns a device on.".to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"device": {"type": "string", "x-hob-device": ["light"]}},
                "required": ["device"],
            }),
            effects: Effects::default(),
            risk: Risk::Low,
            replies: Replies::default(),
            deadline_ms: 1000,
        }],
        inventory: Inventory { devices: devices.iter().map(device).collect(), areas: Vec::new() },
    }
}

fn order(said: &str) -> GenerateOrder {
    GenerateOrder {
        turn: TurnId(1),
        prompt: Prompt {
            system: "You look after it.".into(),
            offer: Arc::new(offer(&["lamp", "fan light"])),
            messages: vec![Message::words(said)],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: 64,
        deadline_ms: 1000,
    }
}

/// A decoder that writes `answer` after every prompt.
fn writes(answer: &str) -> ToyDecoder {
    let vocabulary = vocabulary();
    let answer = vocabulary.ids(answer);
    let beginning = vocabulary.ids("<|turn>model\n");
    ToyDecoder::new(2, vocabulary.len()).wishing(move |tokens| {
        let place = tokens.windows(beginning.len()).rposition(|window| window == beginning);
        let written = place.map_or(0, |place| tokens.len() - place - beginning.len());
        answer.get(written).copied().unwrap_or_default()
    })
}

fn model(decoder: ToyDecoder) -> Gemma {
    Gemma::new(parts(decoder))
}

fn parts(decoder: ToyDecoder) -> Parts<ToyDecoder> {
    let vocabulary = vocabulary();
    let format = Gemma4::open(Path::new(TINY), Arc::clone(&vocabulary)).unwrap();
    let grammars = Grammars::new(Arc::clone(&vocabulary), *format.markers().unwrap(), vocabulary.len()).unwrap();
    Parts {
        decoder,
        format: Box::new(format),
        vocabulary,
        grammars: Some(grammars),
        suppressed: Vec::new(),
        stops: Vec::new(),
        chunk_tokens: 16,
        sampling: Sampling::default(),
    }
}

fn generate(model: &mut Gemma, order: &GenerateOrder) -> Result<Generated, GenerateFailure> {
    match model.generate(order, &mut |_| (), &Interrupt::default())? {
        Progress::Ended(generated) => Ok(generated),
        Progress::Parked => panic!("nobody asked for room"),
    }
}

/// Watches for words alone.
fn words(told: &mut Vec<String>) -> impl FnMut(Glimpse<'_>) {
    |glimpse| match glimpse {
        Glimpse::Words(words) => told.push(words.to_owned()),
        Glimpse::Read { .. } => {}
    }
}

const LAMP: &str = "<|tool_call>call:turn_on{device:<|\"|>lamp<|\"|>}<tool_call|><|tool_response>";

#[test]
fn words_stream_and_end_with_the_turn() {
    let mut model = model(writes("it is on.<turn|>"));
    let (mut told, mut read) = (String::new(), Vec::new());
    let mut watch = |glimpse: Glimpse<'_>| match glimpse {
        Glimpse::Words(delta) => told.push_str(delta),
        Glimpse::Read { tokens, of } => read.push((tokens, of)),
    };
    let progress = model.generate(&order("is it on?"), &mut watch, &Interrupt::default());
    let Ok(Progress::Ended(generated)) = progress else { panic!("{progress:?}") };
    assert_eq!(generated.writing, [Writing::Text { text: "it is on.".to_owned() }]);
    assert_eq!((generated.stop, told.as_str()), (StopReason::EndOfTurn, "it is on."));
    assert_eq!(generated.tokens, vocabulary().ids("it is on.<turn|>"), "the stop is among the tokens");
    let prompt = usize::try_from(generated.timings.prompt_tokens).unwrap();
    let chunks: Vec<_> = (1..).map(|chunk| 16 * chunk).take_while(|read| *read < prompt).map(|n| (n, prompt)).collect();
    assert_eq!(read, chunks, "a prompt longer than a chunk is seen being read");
    assert!(!read.is_empty());
}

#[test]
fn a_model_that_computes_no_numbers_ends_the_turn_with_a_reason_and_goes_on() {
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let [a, end] = ["a", "<turn|>"].map(|token| vocabulary().ids(token)[0]);
    // It breaks in the third step of the first turn, and is well again afterwards.
    let broken = ToyDecoder::new(2, vocabulary().len()).wishing(move |_| {
        match counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 | 3 => a,
            2 => NO_NUMBERS,
            4.. => end,
        }
    });
    let mut model = model(broken);
    let failed = generate(&mut model, &order("is it on?")).unwrap_err();
    insta::assert_snapshot!(failed, @"the model failed: the model computed something that is no number: its files are damaged (hob model verify tells), or the provider computes wrongly (hob doctor tells)");
    let next = generate(&mut model, &order("is it on?")).unwrap();
    assert_eq!(
        (next.tokens, next.timings.cached_tokens),
        (vec![a, end], 0),
        "nothing goes on from what was computed so"
    );
}

#[test]
fn a_call_is_written_with_what_is_forced_run_at_once() {
    let mut model = model(writes(LAMP));
    let generated = generate(&mut model, &order("lamp on")).unwrap();
    assert_eq!((generated.tokens, generated.stop), (vocabulary().ids(LAMP), StopReason::ToolCalls));
    let [Writing::Call(call)] = generated.writing.as_slice() else { panic!("{:?}", generated.writing) };
    assert_eq!((call.tool.as_str(), call.args["device"].as_str()), ("turn_on", Some("lamp")));
    assert!(generated.timings.forced_tokens > 3, "{:?}", generated.timings);
    assert!((call.confidence.kept - SURE).abs() < 0.01, "{:?}", call.confidence);
}

#[test]
fn a_call_that_the_model_did_not_mean_is_unsure() {
    // It wants to name something that is not there; the grammar leaves it the lamp.
    let mut model = model(writes("<|tool_call>call:turn_on{device:<|\"|>oven<|\"|>}<tool_call|><|tool_response>"));
    let generated = generate(&mut model, &order("oven on")).unwrap();
    let [Writing::Call(call), ..] = generated.writing.as_slice() else { panic!("{:?}", generated.writing) };
    assert!(call.confidence.least() < 0.05, "{:?}", call.confidence);

    // And where a single device is on offer, its name is forced, and still not meant.
    let single = Prompt { offer: Arc::new(offer(&["lamp"])), ..order("oven on").prompt };
    let generated = generate(&mut model, &GenerateOrder { prompt: single, ..order("oven on") }).unwrap();
    let [Writing::Call(call), ..] = generated.writing.as_slice() else { panic!("{:?}", generated.writing) };
    assert!(call.confidence.least() < 0.05, "{:?}", call.confidence);
}

#[test]
fn what_prompts_share_is_run_once() {
    let mut model = model(writes(LAMP));
    let warm = order("").prompt;
    model.warm(&warm, &Interrupt::default()).unwrap();
    let first = generate(&mut model, &order("lamp on")).unwrap().timings;
    assert!(first.cached_tokens > first.prompt_tokens / 2, "{first:?}");
    let again = generate(&mut model, &order("lamp on")).unwrap().timings;
    assert_eq!(again.cached_tokens, again.prompt_tokens - 1, "the last token is run for its logits");
}

#[test]
fn a_parked_generation_goes_on_where_it_stopped() {
    let alone = generate(&mut model(writes(LAMP)), &order("lamp on")).unwrap();
    // Room is asked for before every single run, prefill included.
    let mut model = model(writes(LAMP).before(|_, interrupt| interrupt.park(true)));
    let sensor = GenerateOrder { turn: TurnId(2), ..order("too warm") };
    let interrupt = Interrupt::default();
    let mut parked = 0;
    let generated = loop {
        interrupt.park(false);
        match model.generate(&order("lamp on"), &mut |_| (), &interrupt).unwrap() {
            Progress::Ended(generated) => break generated,
            Progress::Parked => parked += 1,
        }
        if parked == 2 {
            // Someone else uses the other slot meanwhile.
            let hurried = Interrupt::default();
            hurried.cancel();
            assert_eq!(model.generate(&sensor, &mut |_| (), &hurried), Err(GenerateFailure::Cancelled));
        }
    };
    assert!(parked > 5, "{parked}");
    assert_eq!((generated.tokens, generated.writing), (alone.tokens, alone.writing));
    assert_eq!(generated.timings.cached_tokens, 0, "what it ran itself was not there before");
}

#[test]
fn what_is_read_again_after_a_pause_is_no_step_of_decoding() {
    const PAUSE: usize = 20;
    let long = "it is on and on and on and on and on and on and on and on and on.<turn|>";
    let steps = |pause: bool| {
        let decoder = writes(long).slots_of(1).before(move |run, interrupt| interrupt.park(pause && run == PAUSE));
        let mut model = model(decoder);
        model.drafting = Drafting::new(false);
        let (interrupt, hurried) = (Interrupt::default(), Interrupt::default());
        hurried.cancel();
        let mut pauses = 0;
        let generated = loop {
            match model.generate(&order("is it on?"), &mut |_| (), &interrupt).unwrap() {
                Progress::Ended(generated) => break generated,
                Progress::Parked => pauses += 1,
            }
            interrupt.park(false);
            // Someone else uses the slot meanwhile, so that prompt and answer are read again.
            let sensor = GenerateOrder { turn: TurnId(2), ..order("too warm") };
            assert_eq!(model.generate(&sensor, &mut |_| (), &hurried), Err(GenerateFailure::Cancelled));
        };
        assert_eq!(generated.tokens, vocabulary().ids(long));
        (pauses, model.drafting.plain_steps())
    };
    let ((never, all), (once, others)) = (steps(false), steps(true));
    assert_eq!((never, once), (0, 1));
    assert_eq!(others, all - 1, "the step that began with reading is not among them");
}

#[test]
fn an_end_from_outside_reaches_in_between_chunks() {
    let decoder = writes(LAMP).before(|run, interrupt| {
        if run == 2 {
            interrupt.expire();
        }
    });
    let ended = generate(&mut model(decoder), &order("lamp on"));
    assert_eq!(ended, Err(GenerateFailure::Deadline { limit_ms: 1000 }));
}

#[test]
fn the_budget_and_the_context_end_a_generation() {
    let long = "it is on and on and on and on and on and on and on.<turn|>";
    let short = GenerateOrder { max_tokens: 3, ..order("well?") };
    let generated = generate(&mut model(writes(long)), &short).unwrap();
    assert_eq!((generated.stop, generated.tokens.len()), (StopReason::Length, 3));

    let prompt = generated.timings.prompt_tokens;
    let context = usize::try_from(prompt).unwrap() + 5;
    let generated = generate(&mut model(writes(long).context_of(context)), &order("well?")).unwrap();
    assert_eq!((generated.stop, generated.tokens.len()), (StopReason::Length, 5));

    let full = generate(&mut model(writes(long).context_of(context - 5)), &order("well?"));
    assert_eq!(full, Err(GenerateFailure::TooLong { tokens: context - 5, context: context - 5 }));
}

#[test]
fn a_conversation_goes_on_from_its_own_tokens() {
    let mut model = model(writes("it is on.<turn|>"));
    let conversation = Some(ConversationId::new("evening").unwrap());
    let first = GenerateOrder { conversation, ..order("is it on?") };
    let generated = generate(&mut model, &first).unwrap();
    let mut next = first;
    let part =
        Part::Written { writing: generated.writing, tokens: generated.tokens.clone(), tokenizer: generated.tokenizer };
    next.prompt.messages.push(Message::Model { parts: vec![part] });
    next.prompt.messages.push(Message::words("and now?"));
    let timings = generate(&mut model, &next).unwrap().timings;
    let before = generated.timings.prompt_tokens + generated.timings.generated_tokens;
    assert_eq!(timings.cached_tokens, before - 1, "only the stop itself had not been run");
}

mod memo;
