//! Back to the offer's own spelling: a tokenizer may know only lower case, a model may not care.

use hob_events::{Offer, Writing, WrittenCall, same_name};
use serde_json::{Map, Value};

/// Writes tools, keys and enumerated values as the offer spells them. Names of devices and areas stay as written, since
/// only the inventory knows them all; so does everything the offer does not know.
#[must_use]
pub fn resolve(writing: Vec<Writing>, offer: &Offer) -> Vec<Writing> {
    let resolved = writing.into_iter().map(|writing| match writing {
        Writing::Call(call) => Writing::Call(resolve_call(call, offer)),
        Writing::Text { .. } | Writing::Malformed { .. } => writing,
    });
    resolved.collect()
}

fn resolve_call(call: WrittenCall, offer: &Offer) -> WrittenCall {
    match offer.tool(&call.tool) {
        Some(tool) => WrittenCall {
            tool: tool.name.to_string(),
            args: object(call.args, &tool.schema),
            confidence: call.confidence,
        },
        None => call,
    }
}

fn object(fields: Map<String, Value>, schema: &Value) -> Map<String, Value> {
    let known = schema["properties"].as_object();
    let resolve = |(key, value): (String, Value)| {
        let property = known.and_then(|known| {
            known.get_key_value(&key).or_else(|| known.iter().find(|(name, _)| same_name(name, &key)))
        });
        match property {
            Some((name, schema)) => (name.clone(), self::value(value, schema)),
            None => (key, value),
        }
    };
    fields.into_iter().map(resolve).collect()
}

fn value(value: Value, schema: &Value) -> Value {
    match value {
        Value::String(text) => word(text, schema),
        Value::Array(items) => items.into_iter().map(|item| self::value(item, &schema["items"])).collect(),
        Value::Object(fields) => Value::Object(object(fields, schema)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// A string: an enumerated value in the schema's spelling, or a number whose quotes are one pair too many.
fn word(text: String, schema: &Value) -> Value {
    let listed = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
    let same = listed.filter_map(Value::as_str).filter(|listed| same_name(listed, &text));
    // The same case first, in case two values differ in nothing else.
    let same = same.max_by_key(|listed| *listed == text);
    if let Some(same) = same {
        return Value::from(same);
    }
    match schema["type"].as_str() {
        Some("integer" | "number" | "boolean") => {
            let bare: Option<Value> = serde_json::from_str(text.trim()).ok();
            bare.filter(|bare| bare.is_number() || bare.is_boolean()).unwrap_or(Value::String(text))
        }
        Some(_) | None => Value::String(text),
    }
}
