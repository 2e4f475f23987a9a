//! What a chat template is shown of a tool's schema. Published templates read a small part of JSON Schema, and stop or
//! write nonsense at the rest; so the rest goes before they see it. The grammar keeps it.

use serde_json::{Map, Value, json};

/// Deepest nesting that is shown.
const MAX_DEPTH: usize = 16;

/// The schema with nothing but `type`, `description`, `enum` of strings, `items`, `properties` and `required`. Every node
/// has a `type` of one word.
#[must_use]
pub fn normalise(schema: &Value) -> Value {
    let mut node = node(schema, 0);
    // The arguments of a call are an object, whatever the schema forgot to say.
    node.insert("type".to_owned(), json!("object"));
    Value::Object(node)
}

fn node(schema: &Value, depth: usize) -> Map<String, Value> {
    let kind = kind(schema, 0);
    let mut shown = Map::new();
    if let Some(text) = schema["description"].as_str() {
        shown.insert("description".to_owned(), json!(text));
    }
    let words = || schema["enum"].as_array().filter(|words| !words.is_empty() && words.iter().all(Value::is_string));
    match kind {
        "string" => {
            let constant = schema["const"].as_str().map(|word| vec![json!(word)]);
            if let Some(words) = words().cloned().or(constant) {
                shown.insert("enum".to_owned(), Value::Array(words));
            }
        }
        "array" if depth < MAX_DEPTH && schema["items"].is_object() => {
            shown.insert("items".to_owned(), Value::Object(node(&schema["items"], depth + 1)));
        }
        "object" if depth < MAX_DEPTH => object(schema, depth, &mut shown),
        _ => {}
    }
    shown.insert("type".to_owned(), json!(kind));
    shown
}

fn object(schema: &Value, depth: usize, shown: &mut Map<String, Value>) {
    let properties: Map<String, Value> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        // A property may be forbidden (`false`) or anything (`true`).
        .filter(|(_, property)| **property != Value::Bool(false))
        .map(|(name, property)| (name.clone(), Value::Object(node(property, depth + 1))))
        .collect();
    let required: Vec<Value> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|name| name.as_str().is_some_and(|name| properties.contains_key(name)))
        .cloned()
        .collect();
    shown.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        shown.insert("required".to_owned(), Value::Array(required));
    }
}

/// The one word that tells a value's type best.
fn kind(schema: &Value, depth: usize) -> &'static str {
    let named = match &schema["type"] {
        Value::String(name) => word(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").find_map(word),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    if let Some(named) = named {
        return named;
    }
    if schema["properties"].is_object() {
        return "object";
    }
    if schema.get("items").is_some() {
        return "array";
    }
    let sample = schema.get("const").or_else(|| schema["enum"].as_array().and_then(|values| values.first()));
    if let Some(sample) = sample {
        return of_value(sample);
    }
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    match alternatives.and_then(|schemas| schemas.first()) {
        Some(first) if depth < MAX_DEPTH => kind(first, depth + 1),
        Some(_) | None => "string",
    }
}

fn word(name: &str) -> Option<&'static str> {
    ["string", "integer", "number", "boolean", "array", "object", "null"].into_iter().find(|known| *known == name)
}

fn of_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> Value {
        let tools: Value = serde_json::from_str(include_str!("../../../../models/tools/pocket/tools.json")).unwrap();
        let tool = tools.as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap();
        normalise(&tool["schema"])
    }

    #[test]
    fn a_target_tool_shows_its_parameters_and_none_of_hobs_marks() {
        insta::assert_snapshot!(shipped("turn_on"), @r#"{"properties":{"area":{"type":"string"},"device":{"type":"string"},"kind":{"type":"string"}},"type":"object"}"#);
        insta::assert_snapshot!(shipped("set_level"), @r#"{"properties":{"area":{"type":"string"},"device":{"type":"string"},"kind":{"type":"string"},"percent":{"type":"integer"}},"required":["percent"],"type":"object"}"#);
        insta::assert_snapshot!(shipped("list_add"), @r#"{"properties":{"item":{"type":"string"},"list":{"type":"string"}},"required":["item"],"type":"object"}"#);
        insta::assert_snapshot!(shipped("list_read"), @r#"{"properties":{"list":{"type":"string"}},"type":"object"}"#);
    }

    #[test]
    fn what_templates_cannot_read_is_dropped_or_made_simple() {
        let shown = normalise(&json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {
                "mode": {"enum": ["eco", "boost"], "default": "eco", "description": "How"},
                "steps": {"type": "integer", "enum": [1, 2], "minimum": 1},
                "unit": {"const": "celsius"},
                "target": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "note": {"type": ["null", "string"], "pattern": "^a"},
                "other": {"$ref": "#/$defs/other"},
                "tags": {"items": {"type": "string", "maxLength": 3}, "maxItems": 2},
                "opts": {"type": "object", "properties": {"fast": {"type": "boolean"}}, "required": ["fast", "gone"]},
                "empty": {"type": "object"},
                "never": false,
                "any": true,
            },
            "required": ["mode", "never"],
            "oneOf": [{"required": ["steps"]}],
            "additionalProperties": false,
        }));
        insta::assert_snapshot!(shown, @r#"{"properties":{"mode":{"description":"How","enum":["eco","boost"],"type":"string"},"steps":{"type":"integer"},"unit":{"enum":["celsius"],"type":"string"},"target":{"type":"number"},"note":{"type":"string"},"other":{"type":"string"},"tags":{"items":{"type":"string"},"type":"array"},"opts":{"properties":{"fast":{"type":"boolean"}},"required":["fast"],"type":"object"},"empty":{"properties":{},"type":"object"},"any":{"type":"string"}},"required":["mode"],"type":"object"}"#);
    }
}
