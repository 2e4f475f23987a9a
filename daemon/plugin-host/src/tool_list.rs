//! The tools of a plugin: what it lists, checked and pinned.
//!
//! A description is prompt text, and a schema becomes grammar: a list that changes between two starts would be a way
//! into the prompt, so it is written down at install and compared at every load.

use crate::contract::{self, Risk as BorderRisk};
use crate::digest::ComponentHash;
use hob_events::{Effects, PluginName, Replies, Risk, ToolName, ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tools of one plugin: each costs prompt tokens in every turn.
const MAX_TOOLS: usize = 32;
const NAME_CHARS: usize = 64;
const DESCRIPTION_BYTES: usize = 1_024;
const SCHEMA_BYTES: usize = 8 * 1_024;
const REPLY_BYTES: usize = 512;

/// The file in an installed package that pins its tools.
pub(crate) const LOCK_FILE: &str = "tools.lock";

/// Why a list of tools is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolListError {
    /// None at all.
    #[error("the plugin lists no tools")]
    Empty,
    /// Too many.
    #[error("the plugin lists {count} tools, and {MAX_TOOLS} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two of one name.
    #[error("the plugin lists '{tool}' twice")]
    Twice {
        /// The name.
        tool: String,
    },
    /// A name that a model or a topic could not carry.
    #[error(
        "'{tool}' is no name of a tool: lower-case letters, digits and '_', beginning with a letter, at most {NAME_CHARS}"
    )]
    Name {
        /// The name.
        tool: String,
    },
    /// A text beyond its bound.
    #[error("the {part} of '{tool}' has {bytes} bytes, and {limit} are allowed")]
    TooLong {
        /// The tool.
        tool: String,
        /// `description`, `schema` or `replies`.
        part: &'static str,
        /// What it has.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A schema that is none.
    #[error("the schema of '{tool}' cannot be used: {reason}")]
    Schema {
        /// The tool.
        tool: String,
        /// Why.
        reason: String,
    },
}

/// Checks what a plugin lists and makes it hob's own, sorted by name.
pub(crate) fn checked(plugin: &PluginName, listed: Vec<contract::ToolSpec>) -> Result<Vec<ToolSpec>, ToolListError> {
    if listed.is_empty() {
        return Err(ToolListError::Empty);
    }
    if listed.len() > MAX_TOOLS {
        return Err(ToolListError::TooMany { count: listed.len() });
    }
    let mut tools = listed.into_iter().map(|tool| checked_tool(plugin, tool)).collect::<Result<Vec<_>, _>>()?;
    tools.sort_by(|left, right| left.name.cmp(&right.name));
    match tools.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(ToolListError::Twice { tool: pair[0].name.to_string() }),
        None => Ok(tools),
    }
}

fn checked_tool(plugin: &PluginName, tool: contract::ToolSpec) -> Result<ToolSpec, ToolListError> {
    let name = Some(&tool.name).filter(|name| is_tool_name(name)).and_then(|name| ToolName::new(name).ok());
    let name = name.ok_or_else(|| ToolListError::Name { tool: tool.name.chars().take(NAME_CHARS).collect() })?;
    let parts = [
        ("description", tool.description.len(), DESCRIPTION_BYTES),
        ("schema", tool.schema.len(), SCHEMA_BYTES),
        ("replies", tool.replies.confirmed.len() + tool.replies.sent.len(), REPLY_BYTES),
    ];
    if let Some((part, bytes, limit)) = parts.into_iter().find(|(_, bytes, limit)| bytes > limit) {
        return Err(ToolListError::TooLong { tool: tool.name, part, bytes, limit });
    }
    let schema =
        read_schema(&tool.schema).map_err(|reason| ToolListError::Schema { tool: tool.name.clone(), reason })?;
    Ok(ToolSpec {
        name,
        plugin: plugin.clone(),
        description: tool.description,
        schema,
        effects: Effects { read_only: tool.effects.read_only, idempotent: tool.effects.idempotent },
        risk: risk(tool.risk),
        replies: Replies { confirmed: tool.replies.confirmed, sent: tool.replies.sent },
        deadline_ms: tool.deadline_ms,
    })
}

fn is_tool_name(name: &str) -> bool {
    name.len() <= NAME_CHARS
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn risk(risk: BorderRisk) -> Risk {
    match risk {
        BorderRisk::None => Risk::None,
        BorderRisk::Low => Risk::Low,
        BorderRisk::Medium => Risk::Medium,
        BorderRisk::High => Risk::High,
    }
}

fn read_schema(text: &str) -> Result<Value, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("it must have \"type\": \"object\"".to_owned());
    }
    if let Some(reference) = remote_reference(&schema) {
        return Err(format!("it refers to '{reference}' outside itself"));
    }
    jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    Ok(schema)
}

/// The first reference that does not stay in the schema.
fn remote_reference(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Value::String(target) if key == "$ref" || key == "$dynamicRef" => {
                Some(target.as_str()).filter(|target| !target.starts_with('#'))
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                remote_reference(value)
            }
        }),
        Value::Array(items) => items.iter().find_map(remote_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What install pinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToolLock {
    /// Of this component.
    pub(crate) sha256: ComponentHash,
    /// These tools, sorted by name.
    pub(crate) tools: Vec<ToolSpec>,
}

impl ToolLock {
    /// The first tool that is not as it was pinned.
    pub(crate) fn first_difference(&self, listed: &[ToolSpec]) -> Option<String> {
        let changed = |tool: &&ToolSpec| !self.tools.contains(tool);
        let gone = |tool: &&ToolSpec| !listed.contains(tool);
        listed.iter().find(changed).or_else(|| self.tools.iter().find(gone)).map(|tool| tool.name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::hob::plugin::types as border;
    use insta::assert_snapshot;

    fn tool(name: &str, schema: &str) -> contract::ToolSpec {
        contract::ToolSpec {
            name: name.to_owned(),
            description: "Does it.".to_owned(),
            schema: schema.to_owned(),
            effects: border::Effects { read_only: false, idempotent: true },
            risk: border::Risk::Low,
            replies: border::Replies { confirmed: String::new(), sent: String::new() },
            deadline_ms: 500,
        }
    }

    fn refused(tools: Vec<contract::ToolSpec>) -> String {
        checked(&PluginName::new("p").unwrap(), tools).unwrap_err().to_string()
    }

    const OBJECT: &str = r#"{"type":"object"}"#;

    #[test]
    fn a_list_that_could_harm_the_prompt_is_refused() {
        assert_snapshot!(refused(vec![]), @"the plugin lists no tools");
        assert_snapshot!(refused((0..33).map(|n| tool(&format!("t{n}"), OBJECT)).collect()), @"the plugin lists 33 tools, and 32 are allowed");
        assert_snapshot!(refused(vec![tool("a", OBJECT), tool("a", OBJECT)]), @"the plugin lists 'a' twice");
        assert_snapshot!(refused(vec![tool("Über", OBJECT)]), @"'Über' is no name of a tool: lower-case letters, digits and '_', beginning with a letter, at most 64");
        assert_snapshot!(refused(vec![contract::ToolSpec { description: "x".repeat(2_000), ..tool("a", OBJECT) }]), @"the description of 'a' has 2000 bytes, and 1024 are allowed");
        assert_snapshot!(refused(vec![tool("a", "{")]), @"the schema of 'a' cannot be used: it is no JSON: EOF while parsing an object at line 1 column 1");
        assert_snapshot!(refused(vec![tool("a", r#"{"type":"string"}"#)]), @r#"the schema of 'a' cannot be used: it must have "type": "object""#);
        assert_snapshot!(refused(vec![tool("a", r#"{"type":"object","properties":{"a":{"type":"nonsense"}}}"#)]), @r#"the schema of 'a' cannot be used: "nonsense" is not valid under any of the schemas listed in the 'anyOf' keyword"#);
        assert_snapshot!(refused(vec![tool("a", r#"{"type":"object","properties":{"a":{"$ref":"http://a.example/s"}}}"#)]), @"the schema of 'a' cannot be used: it refers to 'http://a.example/s' outside itself");
    }

    #[test]
    fn a_changed_new_or_missing_tool_is_seen() {
        let name = PluginName::new("p").unwrap();
        let list =
            |names: &[&str]| checked(&name, names.iter().map(|name| tool(name, OBJECT)).collect::<Vec<_>>()).unwrap();
        let lock = ToolLock { sha256: ComponentHash::of(b""), tools: list(&["a", "b"]) };
        assert_eq!(lock.first_difference(&list(&["b", "a"])), None);
        assert_eq!(lock.first_difference(&list(&["a", "b", "c"])).as_deref(), Some("c"));
        assert_eq!(lock.first_difference(&list(&["a"])).as_deref(), Some("b"));
    }
}
