//! A model that thinks before it answers.

use super::*;
use crate::chat::fixture::THINKING;

const THOUGHT: &str = "<|channel>thought\nit is dark.<channel|>";

fn thinker(decoder: ToyDecoder) -> Gemma {
    let vocabulary = vocabulary();
    let format = Gemma4::new(THINKING.to_owned(), "<bos>", vocabulary).unwrap();
    Gemma::new(Parts { format: Box::new(format), ..parts(decoder) })
}

fn thinking(tokens: u32) -> GenerateOrder {
    let order = order("lamp on");
    GenerateOrder { prompt: Prompt { thinking: Thinking::up_to(tokens).unwrap(), ..order.prompt }, ..order }
}

fn count(text: &str) -> u32 {
    u32::try_from(vocabulary().ids(text).len()).unwrap()
}

/// Thinks on and on, and says "done." when that is ended.
fn thinks_on() -> ToyDecoder {
    let vocabulary = vocabulary();
    let begin = vocabulary.id("<|channel>").unwrap();
    let (opening, closing) = (vocabulary.ids("<|channel>thought\n"), vocabulary.id("<channel|>").unwrap());
    let (hm, done) = (vocabulary.ids("hm")[0], vocabulary.ids("done.<turn|>"));
    ToyDecoder::new(2, vocabulary.len()).wishing(move |tokens| {
        let since = |id: u32| tokens.iter().rposition(|token| *token == id).map(|place| tokens.len() - place - 1);
        match (since(closing), since(begin)) {
            (Some(said), _) => done.get(said).copied().unwrap_or_default(),
            (None, Some(thought)) => opening.get(thought + 1).copied().unwrap_or(hm),
            (None, None) => begin,
        }
    })
}

#[test]
fn a_thought_stands_in_front_of_a_call_and_nobody_sees_it() {
    let written = format!("{THOUGHT}{LAMP}");
    let mut model = thinker(writes(&written));
    let mut told = Vec::new();
    let progress = model.generate(&thinking(64), &mut words(&mut told), &Interrupt::default());
    let Ok(Progress::Ended(generated)) = progress else { panic!("{progress:?}") };
    assert_eq!(generated.tokens, vocabulary().ids(&written));
    let [Writing::Call(call)] = generated.writing.as_slice() else { panic!("{:?}", generated.writing) };
    assert_eq!((call.args["device"].as_str(), told.concat()), (Some("lamp"), String::new()));
    assert!((call.confidence.kept - SURE).abs() < 0.01, "the thought says nothing of it: {:?}", call.confidence);
    assert_eq!(generated.timings.thought_tokens, count(THOUGHT));
    assert_eq!(generated.timings.generated_tokens, count(&written));
}

#[test]
fn what_follows_a_thought_is_held_to_the_offer_and_a_thought_holds_no_call() {
    // In its thought it wants to call; the call itself names something that is not there.
    let wish = "<|channel>thought\n<|tool_call>x<channel|><|tool_call>call:turn_on{device:<|\"|>oven<|\"|>}";
    let generated = generate(&mut thinker(writes(wish)), &thinking(64)).unwrap();
    let call = vocabulary().id("<|tool_call>").unwrap();
    let thought_end = vocabulary().id("<channel|>").unwrap();
    let end = generated.tokens.iter().position(|id| *id == thought_end).unwrap();
    assert!(!generated.tokens[..end].contains(&call));
    assert!(matches!(generated.writing.first(), Some(Writing::Call(call)) if call.args["device"] != "oven"));
}

#[test]
fn a_thought_that_does_not_end_is_ended_and_the_answer_follows() {
    for budget in [1, 5, 20] {
        let generated = generate(&mut thinker(thinks_on()), &thinking(budget)).unwrap();
        assert_eq!(generated.writing, [Writing::Text { text: "done.".to_owned() }], "{budget}");
        assert_eq!(generated.timings.thought_tokens, budget + 2, "the markers stand around it");
        assert_eq!(generated.stop, StopReason::EndOfTurn);
    }
}

#[test]
fn a_thought_takes_nothing_from_the_answer() {
    let order = GenerateOrder { max_tokens: count("done.<turn|>"), ..thinking(40) };
    let generated = generate(&mut thinker(thinks_on()), &order).unwrap();
    assert_eq!((generated.stop, generated.timings.thought_tokens), (StopReason::EndOfTurn, 42));
}

#[test]
fn a_thought_is_ended_before_it_takes_the_answers_room_in_the_context() {
    let prompt = generate(&mut thinker(thinks_on()), &thinking(1)).unwrap().timings.prompt_tokens;
    // The markers stand around a thought, and 64 ids are left for what follows it.
    let with_room_for = |thought: u32| {
        let context = usize::try_from(prompt + 64 + 2 + thought).unwrap();
        generate(&mut thinker(thinks_on().context_of(context)), &thinking(512))
    };
    for thought in [0, 1, 5, 100] {
        let generated = with_room_for(thought).unwrap();
        assert_eq!(generated.writing, [Writing::Text { text: "done.".to_owned() }], "{thought}");
        assert_eq!((generated.stop, generated.timings.thought_tokens), (StopReason::EndOfTurn, thought + 2));
    }
    // An answer that may be no longer needs no more.
    let context = usize::try_from(prompt + 2 + count("done.<turn|>")).unwrap();
    let short = GenerateOrder { max_tokens: count("done.<turn|>"), ..thinking(512) };
    let generated = generate(&mut thinker(thinks_on().context_of(context)), &short).unwrap();
    assert_eq!((generated.stop, generated.timings.thought_tokens), (StopReason::EndOfTurn, 2));
}

#[test]
fn a_prompt_that_leaves_no_room_for_thought_and_answer_is_too_long() {
    let prompt = generate(&mut thinker(thinks_on()), &thinking(1)).unwrap().timings.prompt_tokens;
    let (tokens, context) = (usize::try_from(prompt).unwrap(), usize::try_from(prompt).unwrap() + 64 + 1);
    let refused = generate(&mut thinker(thinks_on().context_of(context)), &thinking(64)).unwrap_err();
    assert_eq!(refused, GenerateFailure::TooLong { tokens, context });
}

#[test]
fn without_thinking_none_can_be_opened_and_a_model_that_has_none_answers_at_once() {
    let thought_begin = vocabulary().id("<|channel>").unwrap();
    let off = generate(&mut thinker(thinks_on()), &GenerateOrder { max_tokens: 6, ..order("lamp on") }).unwrap();
    assert!(!off.tokens.contains(&thought_begin));
    let generated = generate(&mut model(writes("it is on.<turn|>")), &thinking(64)).unwrap();
    assert_eq!((generated.timings.thought_tokens, generated.tokens), (0, vocabulary().ids("it is on.<turn|>")));
    // It may think, and need not.
    let generated = generate(&mut thinker(writes(LAMP)), &thinking(64)).unwrap();
    assert_eq!((generated.timings.thought_tokens, generated.tokens), (0, vocabulary().ids(LAMP)));
}

#[test]
fn behind_a_response_the_thought_is_opened_for_it_and_the_next_step_begins_with_it() {
    let mut order = thinking(64);
    let tool = ToolName::new("turn_on").unwrap();
    let tokens = vocabulary().ids(LAMP);
    let tokenizer = vocabulary().tokenizer_id();
    let parts = vec![
        Part::Written { writing: Vec::new(), tokens, tokenizer },
        Part::Response { tool, value: json!({"ok": true}) },
    ];
    order.prompt.messages.push(Message::Model { parts });
    let opening = vocabulary().ids("<|channel>thought\n");
    let generated = generate(&mut thinker(thinks_on()), &order).unwrap();
    assert!(generated.tokens.starts_with(&opening), "{:?}", generated.tokens);
    assert_eq!(generated.writing, [Writing::Text { text: "done.".to_owned() }]);
}
