//! A model folder from the settings to an answer, through the worker: everything but sense.

use crate::folder::copy_into;
use crate::{fixture, runtime};
use hob_events::{
    Allowed, GenerateFailure, GenerateOrder, Generated, Message, Priority, Prompt, StopReason, Thinking, TurnId,
    Writing,
};
use hob_model::{Gemma, LanguageModel, ModelSettings, ModelWorker, Report, Variant, WorkerSettings};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

fn order(turn: u64, said: &str) -> GenerateOrder {
    GenerateOrder {
        turn: TurnId(turn),
        prompt: Prompt {
            system: "You look after this house.".into(),
            offer: Arc::default(),
            messages: vec![Message::words(said)],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: 12,
        deadline_ms: 60_000,
    }
}

fn start(name: &str) -> (ModelWorker, Receiver<Report>) {
    let settings = ModelSettings { chunk_tokens: 16, ..ModelSettings::new(fixture(name)) };
    work(settings)
}

fn work(settings: ModelSettings) -> (ModelWorker, Receiver<Report>) {
    let (tell, reports) = channel();
    let open = move || Ok(Box::new(Gemma::open(&runtime(), &settings).unwrap()) as Box<dyn LanguageModel>);
    let queue = WorkerSettings { queue: 4, unload_after: None };
    let worker = ModelWorker::start(Box::new(open), queue, move |report| _ = tell.send(report)).unwrap();
    (worker, reports)
}

/// The words that were told, and the end.
fn answer(reports: &Receiver<Report>) -> (String, Result<Generated, GenerateFailure>) {
    let mut told = String::new();
    loop {
        match reports.recv().unwrap() {
            Report::Reading { .. } => {}
            Report::Text { delta, .. } => told.push_str(&delta),
            Report::Ended { result, .. } => return (told, result),
            Report::Swapped { result } => panic!("{result:?}"),
            Report::Dead { reason } => panic!("{reason}"),
        }
    }
}

#[test]
fn a_folder_answers_the_same_words_each_time_and_remembers_the_prompt() {
    for name in ["tiny", "tiny_f16"] {
        let (worker, reports) = start(name);
        worker.handle().submit(order(1, "lights off")).unwrap();
        let (told, first) = answer(&reports);
        let first = first.unwrap();
        assert!(!first.tokens.is_empty() && first.tokens.len() <= 12, "{first:?}");
        assert!(first.stop != StopReason::ToolCalls, "nothing was on offer");
        if let [Writing::Text { text }] = first.writing.as_slice() {
            // The budget can end in the middle of a character, which is not told then.
            assert!(text.starts_with(told.trim()), "{told:?} and {text:?}");
        }
        worker.handle().submit(order(2, "lights off")).unwrap();
        let again = answer(&reports).1.unwrap();
        // In half precision the last token of a prompt run alone can round otherwise.
        if name == "tiny" {
            assert_eq!(again.tokens, first.tokens);
        }
        assert_eq!(first.timings.cached_tokens, 0);
        assert_eq!(again.timings.cached_tokens, again.timings.prompt_tokens - 1);
        assert!(again.timings.prefill_ms > 0.0 && again.timings.first_token_ms >= again.timings.prefill_ms);
    }
}

#[test]
fn warming_up_runs_what_prompts_share() {
    let (worker, reports) = start("tiny");
    worker.handle().warm(order(0, "").prompt);
    // The queue is served first, so only a second order is sure to find the warm slot or the first one's.
    worker.handle().submit(order(1, "lights off")).unwrap();
    answer(&reports).1.unwrap();
    worker.handle().submit(order(2, "doors shut")).unwrap();
    let timings = answer(&reports).1.unwrap().timings;
    assert!(timings.cached_tokens > 10, "{timings:?}");
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_both_numbers() {
    let settings = ModelSettings { context_tokens: 8, ..ModelSettings::new(fixture("tiny")) };
    let (worker, reports) = work(settings);
    worker.handle().submit(order(1, "lights off")).unwrap();
    let refused = answer(&reports).1.unwrap_err();
    assert!(matches!(refused, GenerateFailure::TooLong { context: 8, tokens } if tokens > 8));
}

#[test]
fn every_variant_of_a_folder_opens() {
    for variant in [Variant::Fp32, Variant::Q4] {
        let settings = ModelSettings { variant: Some(variant), ..ModelSettings::new(fixture("tiny")) };
        Gemma::open(&runtime(), &settings).unwrap();
    }
}

#[test]
fn weights_that_are_no_numbers_end_each_turn_with_a_reason_and_the_worker_lives() {
    let folder = tempfile::tempdir().unwrap();
    copy_into(&fixture("tiny"), folder.path());
    let data = folder.path().join("onnx/decoder_model_merged.onnx_data");
    let numbers = std::fs::read(&data).unwrap().len() / 4;
    std::fs::write(&data, f32::NAN.to_le_bytes().repeat(numbers)).unwrap();
    let (worker, reports) = work(ModelSettings { variant: Some(Variant::Fp32), ..ModelSettings::new(folder.path()) });
    for turn in 1..=2 {
        worker.handle().submit(order(turn, "lights off")).unwrap();
        let (told, result) = answer(&reports);
        let Err(GenerateFailure::Model { message }) = result else { panic!("{result:?}") };
        assert!(told.is_empty() && message.starts_with("the model computed something that is no number"), "{message}");
    }
}

#[test]
fn weights_of_another_file_give_words_or_a_reason_and_never_end_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    copy_into(&fixture("tiny"), folder.path());
    let onnx = folder.path().join("onnx");
    // Long enough, so nothing but a checksum can tell.
    std::fs::copy(onnx.join("decoder_model_merged.onnx_data"), onnx.join("embed_tokens.onnx_data")).unwrap();
    let (worker, reports) = work(ModelSettings { variant: Some(Variant::Fp32), ..ModelSettings::new(folder.path()) });
    for turn in 1..=2 {
        worker.handle().submit(order(turn, "lights off")).unwrap();
        match answer(&reports).1 {
            Ok(generated) => assert!(!generated.tokens.is_empty() && generated.tokens.len() <= 12),
            Err(failure) => assert!(matches!(failure, GenerateFailure::Model { .. }), "{failure}"),
        }
    }
}
