//! A small house for the agent's tests: tools, devices, and the agent's side of the talk in short forms.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test file uses a part of it, and a house that cannot be built is a failed test"
)]

use hob_agent::{Agent, AgentSettings, Decisions, Effect, Engine, Input, Place, Rule, RuleLimits, RuleMemory, Step};
use hob_events::{
    Ask, Command, CommandId, Confidence, ConversationId, Device, DeviceKind, Effects, Event, EventKind, Generated,
    Inventory, ModelTimings, Offer, Outcome, PluginName, Receipt, Replies, Risk, Source, StopReason, TokenizerId,
    ToolCall, ToolName, ToolSpec, Trust, TurnId, UnixMs, Writing, WrittenCall,
};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn settings() -> AgentSettings {
    AgentSettings { backlog: 4, rounds: 3, calls: 4, ..AgentSettings::default() }
}

pub fn offer() -> Offer {
    let device = |name: &str, kind, risk| Device {
        name: name.into(),
        aliases: Vec::new(),
        area: Some("hall".into()),
        kind,
        risk,
    };
    let tool = |name: &str, kinds: &[&str], read_only, idempotent, risk| ToolSpec {
        name: ToolName::new(name).unwrap(),
        plugin: PluginName::new("home").unwrap(),
        description: String::new(),
        schema: json!({"type": "object", "properties": {
            "area": {"type": "string", "x-hob-area": true},
            "device": {"type": "string", "x-hob-device": kinds},
            "kind": {"type": "string", "x-hob-kind": kinds},
        }}),
        effects: Effects { read_only, idempotent },
        risk,
        replies: Replies { confirmed: "{device}: done.".into(), sent: "{device}: sent.".into() },
        deadline_ms: 500,
    };
    Offer {
        tools: vec![
            tool("get_state", &["light", "lock"], true, true, Risk::None),
            tool("toggle", &["light"], false, false, Risk::Low),
            tool("turn_on", &["light"], false, true, Risk::Low),
            tool("unlock", &["lock"], false, true, Risk::High),
        ],
        inventory: Inventory {
            devices: vec![
                device("lamp", DeviceKind::Light, Risk::Low),
                device("front door", DeviceKind::Lock, Risk::High),
            ],
            areas: Vec::new(),
        },
    }
}

pub fn agent(rules: Value) -> Agent {
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
    let memory = RuleMemory::default();
    let rules = Engine::new(rules, Place::default(), RuleLimits::default(), memory, UnixMs(0)).unwrap();
    Agent::new(settings(), rules, Arc::new(offer()), Some("test".into()), 0)
}

pub fn command(id: &str, ask: Ask) -> Command {
    Command {
        id: CommandId::new(id).unwrap(),
        ask,
        media: Vec::new(),
        conversation: None,
        area: None,
        dry_run: false,
        think: None,
        source: Source::Mqtt { response_topic: None, correlation: None },
        trust: Trust::Person,
        received: UnixMs(0),
        expires: None,
    }
}

pub fn text(id: &str) -> Command {
    command(id, Ask::Text("turn on the lamp".into()))
}

pub fn in_conversation(id: &str, conversation: &str) -> Command {
    Command { conversation: Some(ConversationId::new(conversation).unwrap()), ..text(id) }
}

pub fn happened(at: u64, command: Command) -> Step {
    let event = Event { at: UnixMs(at), kind: EventKind::Command(Box::new(command)) };
    Step { at: UnixMs(at), input: Input::Happened(event) }
}

pub fn call(tool: &str, device: &str, sure: f32) -> Writing {
    Writing::Call(WrittenCall {
        tool: tool.into(),
        args: json!({ "device": device }).as_object().unwrap().clone(),
        confidence: Confidence { kept: sure, winner: sure },
    })
}

pub fn words(text: &str) -> Writing {
    Writing::Text { text: text.into() }
}

pub fn generated(at: u64, turn: u64, writing: Vec<Writing>) -> Step {
    let stop = if writing.iter().any(|piece| matches!(piece, Writing::Call(_))) {
        StopReason::ToolCalls
    } else {
        StopReason::EndOfTurn
    };
    let result = Ok(Generated {
        writing,
        tokens: vec![1, 2],
        tokenizer: TokenizerId(1),
        stop,
        timings: ModelTimings::default(),
    });
    Step { at: UnixMs(at), input: Input::Generated { turn: TurnId(turn), result } }
}

pub fn receipt(call: &ToolCall, outcome: Outcome) -> Receipt {
    Receipt { id: call.id, tool: call.tool.clone(), args: call.args.clone(), outcome, actions: Vec::new(), took_ms: 5 }
}

pub fn the_call(decisions: &Decisions) -> ToolCall {
    let mut calls = decisions.effects.iter().filter_map(|effect| match effect {
        Effect::Call { call, .. } => Some(call.clone()),
        Effect::Generate(_)
        | Effect::CancelGeneration(_)
        | Effect::Publish { .. }
        | Effect::Tell { .. }
        | Effect::Finish { .. } => None,
    });
    calls.next().expect("a call among the effects")
}

pub fn returned(at: u64, call: &ToolCall) -> Step {
    let receipt = receipt(call, Outcome::Returned { value: json!({"ok": true}) });
    Step { at: UnixMs(at), input: Input::Ended { receipt } }
}

/// The effects, one short line each.
pub fn lines(decisions: &Decisions) -> String {
    let line = |effect: &Effect| match effect {
        Effect::Generate(order) => format!("generate {} {:?}", order.turn, order.allowed),
        Effect::CancelGeneration(turn) => format!("cancel {turn}"),
        Effect::Call { call, .. } => format!("call {} {}", call.tool, serde_json::to_string(&call.args).unwrap()),
        Effect::Publish { topic, payload, .. } => format!("publish {payload} to {topic}"),
        Effect::Tell { update, .. } => {
            let question = update.question.as_deref().map(|question| format!(" \"{question}\"")).unwrap_or_default();
            format!("tell {:?}{question}", update.status)
        }
        Effect::Finish { result, .. } => {
            let code = result.error.as_ref().map(|error| format!(" [{}]", error.code)).unwrap_or_default();
            format!("finish {} {:?}{code} \"{}\"", result.id, result.status, result.speech)
        }
    };
    decisions.effects.iter().map(line).collect::<Vec<_>>().join("\n")
}
