//! The life of single turns, step by step.

mod house;

use hob_agent::{Agent, Answer, Effect, Input, Step};
use hob_events::{
    Ask, Command, CommandId, GenerateFailure, Outcome, Record, SenseName, Source, ToolName, TurnId, Unfinished,
    UnfinishedCall, UnixMs,
};
use house::*;
use insta::assert_snapshot;
use serde_json::json;

fn answer(at: u64, command: &str, yes: bool) -> Step {
    let source = Source::Socket { uid: 0 };
    Step {
        at: UnixMs(at),
        input: Input::Answered { answer: Answer { command: CommandId::lossy(command), number: None, yes }, source },
    }
}

fn wake(at: u64) -> Step {
    Step { at: UnixMs(at), input: Input::Wake }
}

#[test]
fn a_command_becomes_an_action_and_a_reply_from_its_receipt() {
    let mut agent = agent(json!([]));
    assert_snapshot!(lines(&agent.step(happened(1, text("a")))), @r"
    tell Thinking
    generate turn-0 CallsOrText
    ");
    let asked = agent.step(generated(2, 0, vec![call("turn_on", "lamp", 0.9)]));
    assert_snapshot!(lines(&asked), @r#"
    tell Executing
    call turn_on {"device":"lamp"}
    "#);
    assert_snapshot!(lines(&agent.step(returned(3, &the_call(&asked)))), @r"
    tell Thinking
    generate turn-0 CallsOrEnd
    ");
    assert_snapshot!(lines(&agent.step(generated(4, 0, vec![]))), @r#"finish a Succeeded "Lamp: done.""#);
}

#[test]
fn the_front_door_opens_only_after_a_yes() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    assert_snapshot!(lines(&agent.step(generated(2, 0, vec![call("unlock", "front door", 1.0)]))), @r#"tell AwaitingConfirmation "Shall I unlock front door?""#);
    assert_snapshot!(lines(&agent.step(answer(3, "a", true))), @r#"
    tell Executing
    call unlock {"device":"front door"}
    "#);
    assert_snapshot!(lines(&agent.step(answer(4, "a", true))), @"");
}

#[test]
fn a_no_and_no_answer_at_all_both_leave_the_door_locked() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    agent.step(generated(2, 0, vec![call("unlock", "front door", 1.0)]));
    assert_snapshot!(lines(&agent.step(answer(3, "a", false))), @r#"finish a Denied [denied] "Nothing was done: the answer to "Shall I unlock front door?" was no.""#);
    agent.step(happened(4, text("b")));
    agent.step(generated(5, 1, vec![call("unlock", "front door", 1.0)]));
    assert_eq!(agent.next_wake(), Some(UnixMs(60_005)));
    assert_snapshot!(lines(&agent.step(wake(60_005))), @r#"finish b Denied [denied] "Nothing was done: nobody answered "Shall I unlock front door?" in time.""#);
}

#[test]
fn an_unsure_call_is_asked_about() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    assert_snapshot!(lines(&agent.step(generated(2, 0, vec![call("turn_on", "lamp", 0.02)]))), @r#"tell AwaitingConfirmation "Did you mean: turn on lamp?""#);
}

#[test]
fn two_steps_are_two_calls_one_after_another() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    let first = agent.step(generated(2, 0, vec![call("turn_on", "lamp", 1.0), call("toggle", "lamp", 1.0)]));
    assert_eq!(first.calls().count(), 1);
    let second = agent.step(returned(3, &the_call(&first)));
    assert_snapshot!(lines(&second), @r#"
    tell Executing
    call toggle {"device":"lamp"}
    "#);
    agent.step(returned(4, &the_call(&second)));
    assert_snapshot!(lines(&agent.step(generated(5, 0, vec![]))), @r#"finish a Succeeded "Lamp: done. Lamp: done.""#);
}

#[test]
fn what_the_model_gets_wrong_is_told_and_ends_nothing_else() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    assert_snapshot!(lines(&agent.step(generated(2, 0, vec![call("fly", "lamp", 1.0)]))), @r"
    tell Thinking
    generate turn-0 CallsOrEnd
    ");
    assert_snapshot!(lines(&agent.step(generated(3, 0, vec![]))), @r#"finish a Failed [tool] "That did not work: there is no tool called fly.""#);
    agent.step(happened(4, text("b")));
    let failure = GenerateFailure::Model { message: "out of memory".into() };
    let step = Step { at: UnixMs(5), input: Input::Generated { turn: TurnId(1), result: Err(failure) } };
    assert_snapshot!(lines(&agent.step(step)), @r#"finish b Failed [model] "That did not work: the model failed: out of memory.""#);
}

#[test]
fn a_turn_asks_the_model_only_so_often() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    for _ in 0..2 {
        let asked = agent.step(generated(2, 0, vec![call("get_state", "lamp", 1.0)]));
        agent.step(returned(3, &the_call(&asked)));
    }
    let asked = agent.step(generated(4, 0, vec![call("get_state", "lamp", 1.0)]));
    assert!(lines(&agent.step(returned(5, &the_call(&asked)))).contains("finish a Failed [model]"));
}

#[test]
fn a_written_out_call_needs_no_model_and_passes_the_same_gate() {
    let mut agent = agent(json!([]));
    let ask = |tool: &str, device: &str| Ask::Call {
        tool: ToolName::new(tool).unwrap(),
        args: json!({ "device": device }).as_object().unwrap().clone(),
    };
    let run = agent.step(happened(1, command("a", ask("turn_on", "lamp"))));
    assert_snapshot!(lines(&agent.step(returned(2, &the_call(&run)))), @r#"finish a Succeeded "Lamp: done.""#);
    assert_snapshot!(lines(&agent.step(happened(3, command("b", ask("unlock", "front door"))))), @r#"tell AwaitingConfirmation "Shall I unlock front door?""#);
}

#[test]
fn turns_of_one_conversation_go_one_after_another_and_see_each_other() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, in_conversation("a", "c")));
    assert_snapshot!(lines(&agent.step(happened(2, in_conversation("b", "c")))), @"");
    let next = agent.step(generated(3, 0, vec![words("hello")]));
    assert_snapshot!(lines(&next), @r#"
    finish a Succeeded "Hello"
    tell Thinking
    generate turn-1 CallsOrText
    "#);
    let Effect::Generate(order) = &next.effects[2] else { panic!("a generation") };
    assert_eq!(order.prompt.messages.len(), 3, "the first turn's two messages, and the new one");
}

#[test]
fn a_prompt_that_is_too_long_loses_the_oldest_turns_and_nothing_else() {
    let mut agent = agent(json!([]));
    for (number, command) in ["a", "b", "c"].into_iter().enumerate() {
        let turn = u64::try_from(number).unwrap();
        agent.step(happened(turn * 10 + 1, in_conversation(command, "talk")));
        agent.step(generated(turn * 10 + 2, turn, vec![words("hello")]));
    }
    let too_long = |at| Step {
        at: UnixMs(at),
        input: Input::Generated { turn: TurnId(3), result: Err(GenerateFailure::TooLong { tokens: 90, context: 80 }) },
    };
    let seen = |decisions: &hob_agent::Decisions| {
        decisions.effects.iter().find_map(|effect| {
            if let Effect::Generate(order) = effect { Some(order.prompt.messages.len()) } else { None }
        })
    };
    assert_eq!(seen(&agent.step(happened(31, in_conversation("d", "talk")))), Some(7));
    assert_eq!(seen(&agent.step(too_long(32))), Some(5));
    let again = agent.step(too_long(33));
    assert_snapshot!(lines(&again), @"generate turn-3 CallsOrText");
    assert_eq!(seen(&again), Some(3));
    let ended = agent.step(generated(34, 3, vec![words("hello")]));
    let forgotten = ended.effects.iter().find_map(|effect| {
        if let Effect::Finish { result, .. } = effect { Some(result.forgotten_turns) } else { None }
    });
    assert_eq!(forgotten, Some(2));

    let alone = agent.step(happened(41, text("e")));
    assert_eq!(seen(&alone), Some(1));
    let failed = Step {
        at: UnixMs(42),
        input: Input::Generated { turn: TurnId(4), result: Err(GenerateFailure::TooLong { tokens: 90, context: 80 }) },
    };
    assert_snapshot!(lines(&agent.step(failed)), @r#"finish e Failed [oversize] "That did not work: the prompt has 90 tokens and the context holds 80.""#);
}

#[test]
fn commands_wait_until_the_model_is_there_and_their_time_does_not_run() {
    let mut agent = agent(json!([])).hold();
    assert_snapshot!(lines(&agent.step(happened(1, text("a")))), @"");
    assert_eq!(agent.unfinished(), 1);
    assert_eq!(agent.next_wake(), None);
    let ready = agent.step(Step { at: UnixMs(500_000), input: Input::Ready });
    assert_snapshot!(lines(&ready), @r"
    tell Thinking
    generate turn-0 CallsOrText
    ");
    assert_eq!(agent.next_wake(), Some(UnixMs(620_000)));
}

#[test]
fn while_the_model_is_changed_turns_under_way_go_on_and_new_ones_wait_for_it() {
    let mut agent = agent(json!([]));
    let tell = |agent: &mut Agent, at, input| agent.step(Step { at: UnixMs(at), input });
    agent.step(happened(1, text("a")));
    assert_eq!((agent.working(), agent.is_ready()), (1, true));
    tell(&mut agent, 2, Input::Hold);
    assert_snapshot!(lines(&agent.step(happened(3, text("b")))), @"");
    let first = agent.step(generated(4, 0, vec![words("bye")]));
    assert_snapshot!(lines(&first), @r#"finish a Succeeded "Bye""#);
    assert_eq!((agent.working(), agent.unfinished()), (0, 1));
    tell(&mut agent, 5, Input::ModelChanged("larger".to_owned()));
    tell(&mut agent, 200_000, Input::Ready);
    let second = agent.step(generated(200_001, 1, vec![words("hello")]));
    let model = second.effects.iter().find_map(|effect| match effect {
        Effect::Finish { result, .. } => result.model.clone(),
        Effect::Generate(_)
        | Effect::CancelGeneration(_)
        | Effect::Call { .. }
        | Effect::Publish { .. }
        | Effect::Tell { .. } => None,
    });
    assert_eq!(model.as_deref(), Some("larger"));
}

#[test]
fn what_was_done_in_a_turn_is_not_done_again_because_the_model_repeats_itself() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    let first = agent.step(generated(2, 0, vec![call("turn_on", "lamp", 0.9)]));
    agent.step(returned(3, &the_call(&first)));
    let again = agent.step(generated(4, 0, vec![call("turn_on", "lamp", 0.9)]));
    assert_snapshot!(lines(&again), @r#"finish a Succeeded "Lamp: done.""#);
    // Said twice at once it is meant twice.
    agent.step(happened(5, text("b")));
    let twice = agent.step(generated(6, 1, vec![call("toggle", "lamp", 0.9), call("toggle", "lamp", 0.9)]));
    let second = agent.step(returned(7, &the_call(&twice)));
    assert_eq!(second.calls().count(), 1);
}

#[test]
fn a_rule_acts_without_the_model_and_leaves_an_inbox_entry() {
    let mut agent = agent(json!([
        {"name": "dusk", "topic": "sun", "when": {"equals": "down"}, "do": {"call": {"tool": "turn_on", "args": {"device": "lamp"}}}},
    ]));
    let message = |payload: &str| Step {
        at: UnixMs(5),
        input: Input::Happened(hob_events::Event {
            at: UnixMs(5),
            kind: hob_events::EventKind::Message { topic: "sun".into(), payload: payload.into(), retained: false },
        }),
    };
    assert_eq!(agent.step(message("up")), hob_agent::Decisions::default());
    let fired = agent.step(message("down"));
    assert_snapshot!(lines(&fired), @r#"
    tell Executing
    call turn_on {"device":"lamp"}
    "#);
    assert!(matches!(&fired.records[0], Record::Accepted { command } if command.id.as_str() == "rule-5-0"));
}

#[test]
fn after_a_crash_only_what_may_happen_twice_is_begun_anew() {
    let mut agent = agent(json!([]));
    let left = |id: &str, tool: &str, idempotent| Unfinished {
        command: text(id),
        turn: Some(TurnId(7)),
        begun: 1,
        calls: vec![UnfinishedCall {
            id: hob_events::CallId { turn: TurnId(7), index: 0 },
            tool: ToolName::new(tool).unwrap(),
            args: json!({"device": "lamp"}).as_object().unwrap().clone(),
            idempotent,
            receipt: None,
            actions: Vec::new(),
        }],
    };
    let restored =
        agent.restore(UnixMs(9), true, Vec::new(), vec![left("a", "toggle", false), left("b", "turn_on", true)]);
    assert_snapshot!(lines(&restored), @r#"
    finish a Failed [interrupted] "I cannot tell whether this happened: toggle lamp."
    tell Thinking
    generate turn-0 CallsOrText
    "#);
}

#[test]
fn after_a_damaged_record_nothing_is_begun_anew() {
    let mut agent = agent(json!([]));
    let left = Unfinished { command: text("a"), turn: None, begun: 0, calls: Vec::new() };
    let restored = agent.restore(UnixMs(9), false, Vec::new(), vec![left]);
    assert_snapshot!(lines(&restored), @r#"finish a Failed [interrupted] "That did not work: hob was interrupted while it acted, and does not act twice.""#);
}

#[test]
fn a_call_to_a_device_of_the_wrong_kind_touches_nothing() {
    let mut agent = agent(json!([]));
    let ask = Ask::Call {
        tool: ToolName::lossy("turn_on"),
        args: json!({"device": "front door"}).as_object().unwrap().clone(),
    };
    assert_snapshot!(lines(&agent.step(happened(1, command("a", ask)))), @r#"finish a Failed [tool] "That did not work: turn_on takes no lock.""#);
}

#[test]
fn a_tool_that_does_not_come_back_ends_the_turn_with_its_outcome_unknown() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    agent.step(generated(2, 0, vec![call("toggle", "lamp", 1.0)]));
    let over = agent.step(wake(200_000));
    assert!(lines(&over).contains("finish a Failed [deadline]"), "{}", lines(&over));
    let unknown =
        |record: &Record| matches!(record, Record::Receipt { receipt, .. } if receipt.outcome == Outcome::Unknown);
    assert!(over.records.iter().any(unknown));
}

#[test]
fn a_yes_that_comes_twice_does_not_answer_the_next_question() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    let both = vec![call("unlock", "front door", 1.0), call("unlock", "front door", 1.0)];
    agent.step(generated(2, 0, both));
    let first = agent.step(answer(3, "a", true));
    assert_snapshot!(lines(&agent.step(returned(4, &the_call(&first)))), @r#"tell AwaitingConfirmation "Shall I unlock front door?""#);
    assert_snapshot!(lines(&agent.step(answer(5, "a", true))), @"");
    let second = Answer { command: CommandId::lossy("a"), number: Some(2), yes: true };
    let step = Step { at: UnixMs(6), input: Input::Answered { answer: second, source: Source::Socket { uid: 0 } } };
    assert_eq!(agent.step(step).calls().count(), 1);
}

#[test]
fn whoever_is_asked_and_gives_another_command_there_takes_the_question_back() {
    let said = |id: &str, microphone: &str| {
        let source = Source::Microphone { name: SenseName::lossy(microphone) };
        Command { source, ..command(id, Ask::Speech) }
    };
    let mut agent = agent(json!([]));
    agent.step(happened(1, said("a", "hall")));
    agent.step(generated(2, 0, vec![call("unlock", "front door", 1.0)]));
    agent.step(happened(3, said("b", "hall")));
    let cough = agent.step(generated(4, 1, vec![words("I did not understand.")]));
    assert_snapshot!(lines(&cough), @r#"finish b Succeeded "I did not understand.""#);
    agent.step(happened(5, said("c", "attic")));
    let elsewhere = agent.step(generated(6, 2, vec![call("toggle", "lamp", 1.0)]));
    assert!(!lines(&elsewhere).contains("finish"), "{}", lines(&elsewhere));
    agent.step(happened(7, said("d", "hall")));
    let other = agent.step(generated(8, 3, vec![call("toggle", "lamp", 1.0)]));
    assert!(lines(&other).contains("finish a Cancelled"), "{}", lines(&other));
}

#[test]
fn what_a_tool_returned_lowers_the_trust_of_the_calls_written_after_it() {
    let mut agent = agent(json!([]));
    agent.step(happened(1, text("a")));
    let read = agent.step(generated(2, 0, vec![call("get_state", "lamp", 1.0)]));
    agent.step(returned(3, &the_call(&read)));
    let after = agent.step(generated(4, 0, vec![call("unlock", "front door", 1.0)]));
    let decision = |record: &Record| {
        let Record::Audit(hob_events::AuditEntry { kind, .. }) = record else { return None };
        let hob_events::AuditKind::Gated { decision, .. } = kind else { return None };
        Some(decision.clone())
    };
    let trust = after.records.iter().find_map(decision);
    assert_eq!(trust.as_deref(), Some("confirm: the source is not trusted with it"));
}

#[test]
fn a_command_that_took_hob_down_three_times_is_given_up() {
    let mut agent = agent(json!([]));
    let left = Unfinished { command: text("a"), turn: Some(TurnId(7)), begun: 3, calls: Vec::new() };
    assert!(
        lines(&agent.restore(UnixMs(9), true, Vec::new(), vec![left])).starts_with("finish a Failed [interrupted]")
    );
}

#[test]
fn a_command_that_waited_out_its_time_while_hob_was_away_is_not_begun() {
    let mut agent = agent(json!([]));
    let command = Command { expires: Some(UnixMs(5)), ..text("a") };
    let left = Unfinished { command, turn: None, begun: 0, calls: Vec::new() };
    assert!(lines(&agent.restore(UnixMs(9), true, Vec::new(), vec![left])).starts_with("finish a Expired [expired]"));
}
