//! Conversations in which something is seen or heard.

mod house;

use hob_agent::{Agent, Decisions, Effect, Input, KeptConversation, Step};
use hob_events::{
    AuditEntry, AuditKind, Command, ConversationId, Event, EventKind, GenerateFailure, Medium, MediumId, Message,
    Record, SenseName, Source, Status, Trust, TurnId, UnixMs,
};
use house::*;
use serde_json::json;

fn picture() -> Medium {
    Medium::Image { id: MediumId([7; 32]) }
}

fn showing(id: &str) -> Command {
    Command { media: vec![picture()], ..in_conversation(id, "talk") }
}

fn unshown(at: u64, turn: u64) -> Step {
    let failure = GenerateFailure::Medium { message: "the picture is not there any more".to_owned() };
    Step { at: UnixMs(at), input: Input::Generated { turn: TurnId(turn), result: Err(failure) } }
}

/// For each message of the generation's prompt, how much is seen with it.
fn seen(decisions: &Decisions) -> Option<Vec<usize>> {
    decisions.effects.iter().find_map(|effect| {
        let Effect::Generate(order) = effect else { return None };
        Some(order.prompt.messages.iter().map(|message| message.media().len()).collect())
    })
}

fn decision(decisions: &Decisions) -> Option<&str> {
    decisions.records.iter().find_map(|record| {
        let Record::Audit(AuditEntry { kind: AuditKind::Gated { decision, .. }, .. }) = record else { return None };
        Some(decision.as_str())
    })
}

fn kept(decisions: &Decisions) -> Option<KeptConversation> {
    decisions.records.iter().find_map(|record| {
        let Record::Conversation { id, messages, lowest, at } = record else { return None };
        Some(KeptConversation { id: id.clone(), messages: messages.clone(), lowest: Some(*lowest), at: *at })
    })
}

/// Says a number of things in the conversation, each answered with words. The first turn's number is `from`.
fn chat(agent: &mut Agent, turns: std::ops::Range<u64>) -> Decisions {
    let mut last = Decisions::default();
    for turn in turns {
        agent.step(happened(turn * 10 + 1, in_conversation(&format!("chat-{turn}"), "talk")));
        last = agent.step(generated(turn * 10 + 2, turn, vec![words("hello")]));
    }
    last
}

#[test]
fn a_medium_that_is_lost_goes_with_its_turn_and_the_conversation_goes_on() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, showing("a")));
    agent.step(generated(2, 0, vec![words("a cat")]));
    chat(&mut agent, 1..2);
    assert_eq!(seen(&agent.step(happened(21, in_conversation("b", "talk")))), Some(vec![1, 0, 0, 0, 0]));
    assert_eq!(seen(&agent.step(unshown(22, 2))), Some(vec![0, 0, 0]));
    assert!(lines(&agent.step(generated(23, 2, vec![words("hello")]))).contains("finish b Succeeded"));
    assert_eq!(seen(&agent.step(happened(31, in_conversation("c", "talk")))), Some(vec![0; 5]));
}

#[test]
fn a_medium_that_cannot_be_shown_fails_its_own_turn_and_no_other() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, showing("a")));
    agent.step(generated(2, 0, vec![words("a cat")]));
    agent.step(happened(11, showing("b")));
    // The one to blame might be the older.
    assert_eq!(seen(&agent.step(unshown(12, 1))), Some(vec![1]));
    let failed = agent.step(unshown(13, 1));
    assert!(lines(&failed).contains("finish b Failed [medium]"), "{}", lines(&failed));
    assert_eq!(seen(&agent.step(happened(21, in_conversation("c", "talk")))), Some(vec![1, 0, 0, 0]));
}

#[test]
fn a_picture_that_was_never_shown_lowers_no_trust() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, showing("a")));
    let failed = agent.step(unshown(2, 0));
    assert_eq!(kept(&failed).map(|kept| kept.lowest), Some(Some(Trust::Person)));
}

#[test]
fn what_was_seen_lowers_the_trust_of_its_conversation_after_it_dropped_out_and_after_a_restart() {
    let mut first = agent(json!([]));
    first.step(happened(1, showing("a")));
    first.step(generated(2, 0, vec![words("it says: turn on the lamp")]));
    let last = chat(&mut first, 1..12);
    let kept = kept(&last).expect("the conversation");
    assert!(kept.messages.iter().all(|message| message.media().is_empty()), "the picture dropped out");
    let mut second = agent(json!([]));
    second.restore(UnixMs(500), true, vec![kept], Vec::new());
    for (agent, turn) in [(&mut first, 12), (&mut second, 0)] {
        agent.step(happened(501, in_conversation("b", "talk")));
        let gated = agent.step(generated(502, turn, vec![call("turn_on", "lamp", 1.0)]));
        assert_eq!(decision(&gated), Some("confirm: the source is not trusted with it"));
    }
    first.step(happened(503, text("c")));
    let other = first.step(generated(504, 13, vec![call("turn_on", "lamp", 1.0)]));
    assert_eq!(decision(&other), Some("allow"), "nothing was seen outside of that conversation");
}

#[test]
fn a_conversation_of_before_its_trust_was_written_down_is_believed_as_its_messages_show() {
    let mut agent = agent(json!([]));
    let messages = vec![Message::User { text: "what is this?".to_owned(), media: vec![picture()] }];
    let id = ConversationId::new("talk").unwrap();
    agent.restore(UnixMs(1), true, vec![KeptConversation { id, messages, lowest: None, at: UnixMs(0) }], Vec::new());
    agent.step(happened(2, in_conversation("a", "talk")));
    agent.step(unshown(3, 0));
    let gated = agent.step(generated(4, 0, vec![call("turn_on", "lamp", 1.0)]));
    assert_eq!(decision(&gated), Some("confirm: the source is not trusted with it"));
}

/// An agent with a rule that tells a phone what a camera shows, after a frame came.
fn told_of_a_frame() -> (Agent, Decisions) {
    let rule = json!([{"name": "visitor", "topic": "$camera/door",
        "do": {"notify": {"topic": "phone", "ask": "who is at the door?", "within_ms": 8_000}}}]);
    let mut agent = agent(rule);
    agent.step(Step { at: UnixMs(1), input: Input::Ready });
    let medium = Medium::Camera { id: MediumId([7; 32]), trust: Trust::Untrusted };
    let kind = EventKind::Frame { camera: SenseName::lossy("door"), medium, motion: 0.2 };
    let decisions = agent.step(Step { at: UnixMs(10), input: Input::Happened(Event { at: UnixMs(10), kind }) });
    (agent, decisions)
}

/// What a notice goes out with: where, what status, which words, whether there is a picture.
fn notice(decisions: &Decisions) -> Option<(String, Status, String, bool)> {
    decisions.effects.iter().find_map(|effect| {
        let Effect::Finish { result, source: Source::Rule { notice: Some(notice), .. } } = effect else { return None };
        Some((notice.topic.clone(), result.status, result.speech.clone(), notice.picture.is_some()))
    })
}

#[test]
fn a_notice_goes_out_with_what_the_model_said_of_the_frame() {
    let (mut agent, began) = told_of_a_frame();
    assert_eq!(seen(&began), Some(vec![1]), "it looks at the frame");
    let said = agent.step(generated(4_000, 1, vec![words("a person with a parcel")]));
    assert_eq!(notice(&said), Some(("phone".to_owned(), Status::Succeeded, "A person with a parcel".to_owned(), true)));
}

#[test]
fn a_notice_goes_out_in_time_when_the_model_has_said_nothing() {
    let (mut agent, _) = told_of_a_frame();
    assert_eq!(agent.next_wake(), Some(UnixMs(8_010)));
    let late = agent.step(Step { at: UnixMs(8_010), input: Input::Wake });
    assert!(matches!(notice(&late), Some((_, Status::Failed, _, true))), "{late:?}");
    let after = agent.step(generated(9_000, 1, vec![words("a person")]));
    assert_eq!(notice(&after), None, "it is told once");
}

#[test]
fn a_notice_whose_question_never_began_goes_out_in_time_too() {
    let (mut agent, _) = told_of_a_frame();
    agent.step(Step { at: UnixMs(20), input: Input::Hold });
    let medium = Medium::Camera { id: MediumId([8; 32]), trust: Trust::Untrusted };
    let kind = EventKind::Frame { camera: SenseName::lossy("door"), medium, motion: 0.2 };
    agent.step(Step { at: UnixMs(30), input: Input::Happened(Event { at: UnixMs(30), kind }) });
    agent.step(generated(40, 1, vec![words("nobody")]));
    let late = agent.step(Step { at: UnixMs(8_030), input: Input::Wake });
    assert!(matches!(notice(&late), Some((_, Status::Expired, _, true))), "{late:?}");
}
