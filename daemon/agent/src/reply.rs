//! What is said in the end. After a call with an effect, only receipts speak: "it is on" cannot be said of a lamp that
//! did not report it.

use crate::turn::append_sentence;
use hob_events::{ActionReport, Delivery, Offer, Outcome, Receipt, Replies, ToolCall, ToolSpec};
use serde_json::{Map, Value};

/// The reply of a turn: sentences from receipts, then the model's words where it did nothing but read.
#[must_use]
pub fn compose(offer: &Offer, receipts: &[Receipt], words: &str) -> String {
    let read_only = |receipt: &Receipt| offer.tool(receipt.tool.as_str()).is_some_and(|tool| tool.effects.read_only);
    let acted = receipts.iter().any(|receipt| !read_only(receipt));
    let mut speech = String::new();
    for receipt in receipts {
        let told_in_words = read_only(receipt) && !acted && !words.is_empty();
        if !told_in_words {
            append_sentence(&mut speech, &sentence(offer.tool(receipt.tool.as_str()), receipt));
        }
    }
    if !acted {
        append_sentence(&mut speech, words);
    }
    capitalised(&speech)
}

fn sentence(tool: Option<&ToolSpec>, receipt: &Receipt) -> String {
    let told = match &receipt.outcome {
        Outcome::Returned { value } => returned(tool, receipt, value),
        Outcome::Failed { message } => format!("that did not work: {message}."),
        Outcome::Denied { reason } => format!("{reason}."),
        Outcome::Stopped { reason } => format!("that did not work: {reason}."),
        Outcome::Unknown => format!("I cannot tell whether this happened: {}.", words_of(receipt)),
    };
    capitalised(&told.replace("..", "."))
}

fn returned(tool: Option<&ToolSpec>, receipt: &Receipt, value: &Value) -> String {
    if value.get("dry_run") == Some(&Value::Bool(true)) {
        let asking = if value.get("would_ask").is_some() { ", after asking" } else { "" };
        return format!("I would {}{asking}.", words_of(receipt));
    }
    if tool.is_none_or(|tool| tool.effects.read_only) {
        return facts(receipt, value);
    }
    let replies = tool.map(|tool| tool.replies.clone()).unwrap_or_default();
    let template = template(&replies, receipt);
    if template.is_empty() { format!("done: {}.", words_of(receipt)) } else { fill(template, receipt, value) }
}

/// The template that claims no more than the receipt shows: the weakest delivery of its device actions decides.
fn template<'a>(replies: &'a Replies, receipt: &Receipt) -> &'a str {
    let unsure = |delivery: Delivery| receipt.actions.iter().any(|action| action.delivery == delivery);
    if unsure(Delivery::Unknown) || unsure(Delivery::Sent) { &replies.sent } else { &replies.confirmed }
}

/// Puts fields of the result, else of the arguments, in place of `{name}`.
fn fill(template: &str, receipt: &Receipt, value: &Value) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        if let Some(field) = value.get(name).or_else(|| receipt.args.get(name)) {
            text.push_str(&plain(field));
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// What a read returned, in words, for when the model found none.
fn facts(receipt: &Receipt, value: &Value) -> String {
    let Value::Object(fields) = value else { return format!("{}.", plain(value)) };
    let told: Vec<String> = fields.iter().map(|(name, field)| format!("{name} {}", plain(field))).collect();
    match receipt.args.get("device") {
        Some(device) => format!("{}: {}.", plain(device), told.join(", ")),
        None => format!("{}.", told.join(", ")),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn words_of(receipt: &Receipt) -> String {
    call_in_words(receipt.tool.as_str(), &receipt.args)
}

/// A call as a person would say it: `unlock front door`, `set level light in kitchen (percent 40)`.
#[must_use]
pub fn call_in_words(tool: &str, args: &Map<String, Value>) -> String {
    let mut words = tool.replace('_', " ");
    for name in ["device", "kind"] {
        if let Some(value) = args.get(name) {
            words.push(' ');
            words.push_str(&plain(value));
        }
    }
    if let Some(area) = args.get("area") {
        words.push_str(" in ");
        words.push_str(&plain(area));
    }
    let others: Vec<String> = args
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "device" | "kind" | "area"))
        .map(|(name, value)| format!("{name} {}", plain(value)))
        .collect();
    if others.is_empty() { words } else { format!("{words} ({})", others.join(", ")) }
}

/// The question that holds a call back: an open one when hob is unsure, a plain one when the action is risky.
#[must_use]
pub fn question(call: &ToolCall, unsure: bool) -> String {
    let words = call_in_words(call.tool.as_str(), &call.args);
    if unsure { format!("Did you mean: {words}?") } else { format!("Shall I {words}?") }
}

/// A receipt as it stands in the final result.
#[must_use]
pub fn report(receipt: &Receipt) -> ActionReport {
    let (outcome, result) = match &receipt.outcome {
        Outcome::Returned { value } => ("returned", value.clone()),
        Outcome::Failed { message } => ("failed", Value::String(message.clone())),
        Outcome::Denied { reason } => ("denied", Value::String(reason.clone())),
        Outcome::Stopped { reason } => ("stopped", Value::String(reason.clone())),
        Outcome::Unknown => ("unknown", Value::Null),
    };
    ActionReport {
        tool: receipt.tool.to_string(),
        args: receipt.args.clone(),
        outcome: outcome.to_owned(),
        result,
        devices: receipt.actions.clone(),
        ms: receipt.took_ms,
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_events::{CallId, DeviceAction, Effects, PluginName, Risk, ToolName, TurnId};
    use insta::assert_snapshot;
    use serde_json::json;

    fn tool(name: &str, read_only: bool) -> ToolSpec {
        ToolSpec {
            name: ToolName::new(name).unwrap(),
            plugin: PluginName::new("home").unwrap(),
            description: String::new(),
            schema: json!({}),
            effects: Effects { read_only, idempotent: true },
            risk: Risk::None,
            replies: Replies {
                confirmed: "{target} is on.".into(),
                sent: "{target} was told to turn on; it has not answered yet.".into(),
            },
            deadline_ms: 500,
        }
    }

    fn receipt(tool: &str, outcome: Outcome, delivery: Option<Delivery>) -> Receipt {
        let action = |delivery| DeviceAction { device: "lamp".into(), change: Map::new(), delivery, state: None };
        Receipt {
            id: CallId { turn: TurnId(1), index: 0 },
            tool: ToolName::new(tool).unwrap(),
            args: json!({"device": "lamp"}).as_object().unwrap().clone(),
            outcome,
            actions: delivery.map(action).into_iter().collect(),
            took_ms: 1,
        }
    }

    fn told(receipts: &[Receipt], words: &str) -> String {
        let offer = Offer { tools: vec![tool("turn_on", false), tool("get_state", true)], ..Offer::default() };
        compose(&offer, receipts, words)
    }

    #[test]
    fn a_reply_claims_only_what_the_receipt_shows() {
        let ok = || Outcome::Returned { value: json!({"target": "lamp"}) };
        assert_snapshot!(told(&[receipt("turn_on", ok(), Some(Delivery::Confirmed))], "it is on"), @"Lamp is on.");
        assert_snapshot!(told(&[receipt("turn_on", ok(), Some(Delivery::Sent))], ""), @"Lamp was told to turn on; it has not answered yet.");
        assert_snapshot!(told(&[receipt("turn_on", Outcome::Failed { message: "no answer".into() }, None)], ""), @"That did not work: no answer.");
        assert_snapshot!(told(&[receipt("turn_on", Outcome::Unknown, None)], ""), @"I cannot tell whether this happened: turn on lamp.");
    }

    #[test]
    fn a_turn_that_only_read_is_told_in_the_models_words() {
        let read = || receipt("get_state", Outcome::Returned { value: json!({"state": "on", "percent": 40}) }, None);
        assert_snapshot!(told(&[read()], "lamp is on."), @"Lamp is on.");
        assert_snapshot!(told(&[read()], ""), @"Lamp: state on, percent 40.");
        assert_snapshot!(told(&[], "hello."), @"Hello.");
    }

    #[test]
    fn a_call_can_be_said_in_words() {
        let args = json!({"area": "kitchen", "kind": "light", "percent": 40});
        assert_snapshot!(call_in_words("set_level", args.as_object().unwrap()), @"set level light in kitchen (percent 40)");
    }
}
