//! Thoughts: asked for, opened, kept for the turn under way and left out of those before it.

use super::super::fixture::THINKING;
use super::*;

static THINKER: LazyLock<Gemma4> = LazyLock::new(|| Gemma4::new(THINKING.to_owned(), "<bos>", vocabulary()).unwrap());

const THOUGHT: &str = "<|channel>thought\nit is dark.<channel|>";

fn rendered(messages: Vec<Message>, thinking: Thinking) -> String {
    let prompt = Prompt { thinking, ..prompt(Offer::default(), messages) };
    shown(THINKER.vocabulary(), &THINKER.render(&prompt, &[]).unwrap())
}

#[test]
fn a_template_tells_whether_it_knows_thoughts() {
    assert!(THINKER.thinks() && !GEMMA.thinks());
    let messages = || vec![user("light on")];
    let asked = Prompt { thinking: Thinking::USUAL, ..prompt(Offer::default(), messages()) };
    assert_eq!(GEMMA.render(&asked, &[]).unwrap(), render(&*GEMMA, Offer::default(), messages()), "it leaves them out");
}

#[test]
fn a_thought_is_asked_for_at_the_head_of_the_system_turn() {
    insta::assert_snapshot!(rendered(vec![user("light on")], Thinking::USUAL), @r"
    <bos><|turn>system
    <|think|>
    you look after this house.<turn|>
    <|turn>user
    light on<turn|>
    <|turn>model
    ");
    assert!(!rendered(vec![user("light on")], Thinking::OFF).contains("think"));
}

#[test]
fn the_thoughts_of_the_turn_under_way_stay_and_those_of_earlier_ones_go() {
    let step = || {
        let call = written(&THINKER, &format!("{THOUGHT}{ON}"));
        vec![call, response("turn_on", json!({"ok": true}))]
    };
    let open = rendered(vec![user("big lamp on"), Message::Model { parts: step() }], Thinking::USUAL);
    insta::assert_snapshot!(open, @r#"
    <bos><|turn>system
    <|think|>
    you look after this house.<turn|>
    <|turn>user
    big lamp on<turn|>
    <|turn>model
    <|channel>thought
    it is dark.<channel|><|tool_call>call:turn_on{device:<|"|>big lamp<|"|>}<tool_call|><|tool_response>response:turn_on{ok:true}<tool_response|>
    "#);
    let mut parts = step();
    parts.push(written(&THINKER, &format!("{THOUGHT}done.<turn|>")));
    let later = rendered(vec![user("big lamp on"), Message::Model { parts }, user("thanks")], Thinking::USUAL);
    insta::assert_snapshot!(later.split_once("big lamp on<turn|>").unwrap().1, @r#"

    <|turn>model
    <|tool_call>call:turn_on{device:<|"|>big lamp<|"|>}<tool_call|><|tool_response>response:turn_on{ok:true}<tool_response|>done.<turn|>
    <|turn>user
    thanks<turn|>
    <|turn>model
    "#);
}

#[test]
fn behind_a_response_the_format_opens_the_thought() {
    let opening = |messages| shown(THINKER.vocabulary(), THINKER.thought_opening(&prompt(Offer::default(), messages)));
    let step = || vec![written(&THINKER, ON), response("turn_on", json!({"ok": true}))];
    assert_eq!(opening(vec![user("on"), Message::Model { parts: step() }]), "<|channel>thought\n");
    assert_eq!(opening(vec![user("on")]), "");
    let mut parts = step();
    parts.pop();
    assert_eq!(opening(vec![user("on"), Message::Model { parts }]), "");
}
