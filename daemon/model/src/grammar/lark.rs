//! Writes the grammar of an offer in llguidance's dialect of Lark.
//!
//! Control tokens are named by id (`<[48]>`), so no text can stand for one. Every literal is written as the tokenizer
//! would write it: a tokenizer that knows only lower case gets lower-case names, and nobody has to know that it does.

mod value;

use crate::chat::{Markers, Vocabulary};
use hob_events::{Allowed, DeviceKind, Inventory, Offer};
use serde_json::Value;
use std::fmt::Write;

/// Most calls in one go. A small model that has lost its way repeats itself; a person asks for fewer.
const MAX_CALLS: usize = 16;

/// The whole grammar for what may be written next.
pub(super) fn grammar(vocabulary: &Vocabulary, markers: &Markers, offer: &Offer, allowed: Allowed) -> String {
    let mut writer = Writer { vocabulary, quote: token(markers.quote), inventory: &offer.inventory, rules: Vec::new() };
    let tools: Vec<String> =
        offer.tools.iter().filter_map(|tool| writer.tool(tool.name.as_str(), &tool.schema)).collect();
    let turn_end = token(markers.turn_end);
    let other = match allowed {
        Allowed::CallsOrText => format!("/(?s:.)+/ {turn_end}"),
        Allowed::CallsOrEnd => turn_end,
    };
    let mut text = String::new();
    if tools.is_empty() {
        line(&mut text, "start", &other);
    } else {
        let (begin, end, wait) = (token(markers.call_begin), token(markers.call_end), token(markers.response_begin));
        line(&mut text, "start", &format!("{other} | call{{1,{MAX_CALLS}}} {wait}"));
        line(&mut text, "call", &format!("{begin} \"call:\" ( {} ) {end}", tools.join(" | ")));
    }
    for (name, body) in &writer.rules {
        line(&mut text, name, body);
    }
    text
}

fn line(text: &mut String, name: &str, body: &str) {
    // Writing into a string cannot fail.
    let _written = writeln!(text, "{name}: {body}");
}

fn token(id: u32) -> String {
    format!("<[{id}]>")
}

/// Collects rules on the way down a schema. Every method gives an expression, or nothing when no value could fit.
struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    quote: String,
    inventory: &'a Inventory,
    rules: Vec<(String, String)>,
}

impl Writer<'_> {
    /// A tool's name and arguments; nothing when no call to it could be right, such as a lock tool in a house without
    /// locks.
    fn tool(&mut self, name: &str, schema: &Value) -> Option<String> {
        let args = self.object(schema, 0)?;
        let head = self.literal(name)?;
        Some(self.rule("tool", format!("{head} {args}")))
    }

    /// A named rule, shared with an equal one.
    fn rule(&mut self, kind: &str, body: String) -> String {
        if let Some((name, _)) = self.rules.iter().find(|(_, known)| *known == body) {
            return name.clone();
        }
        let name = format!("{kind}-{}", self.rules.len());
        self.rules.push((name.clone(), body));
        name
    }

    /// A text as the tokenizer writes it, as a terminal.
    fn literal(&self, text: &str) -> Option<String> {
        let written = self.written(text);
        (!written.is_empty()).then(|| quoted(&written))
    }

    fn written(&self, text: &str) -> String {
        let printable = |character: char| if character.is_control() { ' ' } else { character };
        self.vocabulary.written(text.chars().map(printable).collect::<String>().trim()).trim().to_owned()
    }

    /// One of several texts between quote tokens, each once.
    fn one_of<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Option<String> {
        let mut options: Vec<String> = Vec::new();
        for text in texts {
            let option = self.literal(text);
            options.extend(option.filter(|option| !options.contains(option)));
        }
        if options.is_empty() {
            return None;
        }
        // A terminal, not a rule: one automaton walks all names at once.
        let names = self.rule("NAMES", options.join(" | "));
        Some(format!("{quote} {names} {quote}", quote = self.quote))
    }

    fn device(&mut self, kinds: &Value) -> Option<String> {
        let inventory = self.inventory;
        let fitting = inventory.devices.iter().filter(|device| names_kind(kinds, device.kind));
        self.one_of(fitting.flat_map(|device| std::iter::once(&device.name).chain(&device.aliases)).map(String::as_str))
    }

    fn area(&mut self) -> Option<String> {
        let inventory = self.inventory;
        self.one_of(inventory.area_names().into_iter())
    }

    fn kind(&mut self, kinds: &Value) -> Option<String> {
        let inventory = self.inventory;
        let exists = |kind: &DeviceKind| inventory.devices.iter().any(|device| device.kind == *kind);
        let fitting = DeviceKind::ALL.into_iter().filter(|kind| names_kind(kinds, *kind)).filter(exists);
        self.one_of(fitting.map(DeviceKind::word))
    }
}

/// Whether a mark names the kind. `true` names every kind.
fn names_kind(mark: &Value, kind: DeviceKind) -> bool {
    match mark {
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).any(|word| DeviceKind::from_word(word) == Some(kind))
        }
        Value::Bool(all) => *all,
        Value::Null | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    }
}

/// A string literal of the dialect, which is one of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
