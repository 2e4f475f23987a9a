//! What was decoded once is not decoded again, and what could come out otherwise is.

use super::*;
use hob_events::ModelTimings;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// Models that share one memo, and how often their decoders ran.
struct Bench {
    folder: TempDir,
    runs: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), runs: Arc::default() }
    }

    /// A decoder that is counted.
    fn writes(&self, answer: &str) -> ToyDecoder {
        let runs = Arc::clone(&self.runs);
        writes(answer).before(move |_, _| _ = runs.fetch_add(1, Ordering::Relaxed))
    }

    /// As after a restart: all that is left is the folder.
    fn model(&self, parts: Parts<ToyDecoder>) -> Gemma {
        let settings = MemoSettings { folder: self.folder.path().join("memo"), entries: 9, bytes: 10_000 };
        Gemma::assemble(parts, Memo::open(settings, &Identity::of_nothing()), Arc::new(Library::none()))
    }

    /// Generates, and says whether the decoder ran for it.
    fn ran(&self, model: &mut Gemma, order: &GenerateOrder) -> (bool, Generated) {
        let before = self.runs.load(Ordering::Relaxed);
        let generated = generate(model, order).unwrap();
        let ran = self.runs.load(Ordering::Relaxed) > before;
        assert_eq!(ran, !generated.timings.from_memo, "it says so");
        (ran, generated)
    }
}

#[test]
fn the_same_order_gives_the_same_without_a_run_over_a_restart_too() {
    for answer in [LAMP, "it is on.<turn|>"] {
        let bench = Bench::new();
        let mut model = bench.model(parts(bench.writes(answer)));
        let (ran, first) = bench.ran(&mut model, &order("lamp?"));
        assert!(ran);
        // Its decoder would say something else by now.
        let mut restarted = bench.model(parts(bench.writes("no.<turn|>")));
        for model in [&mut model, &mut restarted] {
            let (ran, again) = bench.ran(model, &GenerateOrder { turn: TurnId(2), ..order("lamp?") });
            assert!(!ran);
            let timings = ModelTimings { from_memo: true, ..ModelTimings::default() };
            assert_eq!(again, Generated { timings, ..first.clone() });
        }
    }
}

#[test]
fn the_words_are_told_once_as_they_were_the_first_time() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    let told = |model: &mut Gemma| {
        let mut told = Vec::new();
        model.generate(&order("on?"), &mut words(&mut told), &Interrupt::default()).unwrap();
        told
    };
    assert_eq!(told(&mut model).concat(), "it is on.");
    assert_eq!(told(&mut model), ["it is on."]);
}

#[test]
fn the_clerk_finds_what_the_model_kept() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    let recall = model.recall().unwrap();
    assert_eq!(recall(&order("on?")), None);
    let (_, first) = bench.ran(&mut model, &order("on?"));
    let recalled = recall(&order("on?")).unwrap();
    assert_eq!((recalled.generated.writing, recalled.words.as_str()), (first.writing, "it is on."));
    assert_eq!(recall(&order("off?")), None);
    assert!(self::model(writes("")).recall().is_none(), "without a memo there is no one to ask");
}

#[test]
fn whatever_could_change_the_answer_makes_it_decode_again() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    let known = order("on?");
    assert!(bench.ran(&mut model, &known).0);

    let prompt = |change: &dyn Fn(&mut Prompt)| {
        let mut changed = known.clone();
        change(&mut changed.prompt);
        changed
    };
    let text = |text: &str| Message::words(text);
    let other_tool = |offer: &mut Offer| offer.tools.iter_mut().for_each(|tool| tool.schema["required"] = json!([]));
    let others = [
        ("words", prompt(&|prompt| prompt.messages = vec![text("off?")])),
        ("what was said before", prompt(&|prompt| prompt.messages.insert(0, text("hm")))),
        ("instructions", prompt(&|prompt| prompt.system = "You look away.".into())),
        ("devices", prompt(&|prompt| prompt.offer = Arc::new(offer(&["lamp"])))),
        ("tools", prompt(&|prompt| other_tool(Arc::make_mut(&mut prompt.offer)))),
        ("what may be written", GenerateOrder { allowed: Allowed::CallsOrEnd, ..known.clone() }),
        ("room", GenerateOrder { max_tokens: 65, ..known.clone() }),
    ];
    for (what, other) in &others {
        let (ran, generated) = bench.ran(&mut model, other);
        assert!(ran, "other {what}");
        // Without words to write it goes on to its limit, and that is not kept.
        assert_eq!(bench.ran(&mut model, other).0, generated.stop == StopReason::Length, "{what}, again");
    }
    // Who asks, when and how urgently changes nothing.
    let same = GenerateOrder { turn: TurnId(9), priority: Priority::Sensor, deadline_ms: 5, ..known.clone() };
    assert!(!bench.ran(&mut model, &same).0);

    let limits: [fn(&mut Parts<ToyDecoder>); 3] = [
        |parts| parts.stops = vocabulary().ids("z"),
        |parts| parts.suppressed = vocabulary().ids("z"),
        |parts| parts.grammars = None,
    ];
    for limit in limits {
        let mut parts = parts(bench.writes("it is on.<turn|>"));
        limit(&mut parts);
        assert!(bench.ran(&mut bench.model(parts), &known).0);
    }
}

#[test]
fn neither_conversations_nor_chance_are_kept_or_answered() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    let talk = GenerateOrder { conversation: Some(ConversationId::new("evening").unwrap()), ..order("on?") };
    assert!(bench.ran(&mut model, &talk).0 && bench.ran(&mut model, &talk).0);
    assert!(bench.ran(&mut model, &order("on?")).0, "nor did the conversation leave anything");
    assert!(bench.ran(&mut model, &talk).0, "nor does it find anything");

    let mut bold = parts(bench.writes("it is on.<turn|>"));
    bold.sampling.temperature = 0.1;
    let mut bold = bench.model(bold);
    assert!(bench.ran(&mut bold, &order("on?")).0 && bench.ran(&mut bold, &order("on?")).0);
}

#[test]
fn what_did_not_come_to_its_own_end_is_not_kept() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    let short = GenerateOrder { max_tokens: 2, ..order("on?") };
    assert_eq!(bench.ran(&mut model, &short).1.stop, StopReason::Length);
    assert!(bench.ran(&mut model, &short).0);

    // Ended from outside in the middle.
    for end in [Interrupt::cancel, Interrupt::expire] {
        let decoder = writes("it is on.<turn|>").before(move |run, interrupt| {
            if run == 5 {
                end(interrupt);
            }
        });
        let mut ended = bench.model(parts(decoder));
        assert!(generate(&mut ended, &order("off?")).is_err());
    }
    assert!(bench.ran(&mut model, &order("off?")).0);
}

#[test]
fn what_made_room_is_kept_as_if_it_had_not() {
    let bench = Bench::new();
    let mut parks = bench.model(parts(writes(LAMP).before(|_, interrupt| interrupt.park(true))));
    let interrupt = Interrupt::default();
    let generated = loop {
        interrupt.park(false);
        match parks.generate(&order("on"), &mut |_| (), &interrupt).unwrap() {
            Progress::Ended(generated) => break generated,
            Progress::Parked => {}
        }
    };
    let mut model = bench.model(parts(bench.writes(LAMP)));
    let (ran, again) = bench.ran(&mut model, &order("on"));
    assert_eq!((ran, again.writing), (false, generated.writing));
}

#[test]
fn a_torn_file_is_decoded_again_and_mended() {
    let bench = Bench::new();
    let mut model = bench.model(parts(bench.writes("it is on.<turn|>")));
    assert!(bench.ran(&mut model, &order("on?")).0);
    let files: Vec<_> =
        std::fs::read_dir(bench.folder.path().join("memo")).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    std::fs::write(file, "torn").unwrap();
    assert!(bench.ran(&mut model, &order("on?")).0);
    assert!(!bench.ran(&mut model, &order("on?")).0);
}
