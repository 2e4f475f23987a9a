//! The owner's deterministic answers to messages: ignore them, call a tool, or ask the model.

use hob_events::{ToolName, TopicFilter};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One rule. The first that applies decides; a message without a rule is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For the log and the audit.
    pub name: String,
    /// On which topics.
    pub topic: TopicFilter,
    /// Only when this holds of the payload.
    #[serde(default)]
    pub when: Option<Condition>,
    /// Also for messages that the broker kept from before. Off: such a message may be days old.
    #[serde(default)]
    pub retained: bool,
    /// Not again before this many milliseconds have passed.
    #[serde(default)]
    pub not_within_ms: u64,
    /// What to do.
    #[serde(rename = "do")]
    pub action: RuleAction,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleAction {
    /// Nothing, and no later rule either.
    Ignore,
    /// Call a tool with these arguments.
    Call {
        /// Which tool.
        tool: ToolName,
        /// Its arguments.
        #[serde(default)]
        args: Map<String, Value>,
    },
    /// Ask the model. `{topic}` and `{payload}` stand for the message.
    Ask(String),
}

/// A condition on a JSON payload. All parts that are given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// JSON Pointer (RFC 6901) into the payload; empty for the whole.
    #[serde(default)]
    pub pointer: String,
    /// The value there is this.
    #[serde(default)]
    pub equals: Option<Value>,
    /// The number there is larger.
    #[serde(default)]
    pub above: Option<f64>,
    /// The number there is smaller.
    #[serde(default)]
    pub below: Option<f64>,
}

impl Condition {
    fn holds(&self, payload: &str) -> bool {
        // A payload that is no JSON is a plain text, as many devices send it.
        let whole = serde_json::from_str(payload).unwrap_or_else(|_| Value::String(payload.to_owned()));
        let Some(value) = whole.pointer(&self.pointer) else { return false };
        let number = value.as_f64();
        self.equals.as_ref().is_none_or(|wanted| wanted == value)
            && self.above.is_none_or(|limit| number.is_some_and(|number| number > limit))
            && self.below.is_none_or(|limit| number.is_some_and(|number| number < limit))
    }
}

/// The rules in the owner's order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// The first rule that applies to the message.
    #[must_use]
    pub fn first(&self, topic: &str, payload: &str, retained: bool) -> Option<&Rule> {
        self.0.iter().find(|rule| {
            rule.topic.matches(topic)
                && (rule.retained || !retained)
                && rule.when.as_ref().is_none_or(|when| when.holds(payload))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules() -> Rules {
        serde_json::from_value(json!([
            {"name": "quiet", "topic": "test/#", "do": "ignore"},
            {"name": "leak", "topic": "+/leak", "when": {"pointer": "/water_leak", "equals": true},
             "do": {"call": {"tool": "close", "args": {"device": "main valve"}}}},
            {"name": "hot", "topic": "+/boiler", "when": {"pointer": "/temperature", "above": 80.0}, "do": {"ask": "Too hot: {payload}"}},
        ]))
        .unwrap()
    }

    fn applies(topic: &str, payload: &str, retained: bool) -> Option<String> {
        rules().first(topic, payload, retained).map(|rule| rule.name.clone())
    }

    #[test]
    fn the_first_rule_whose_condition_holds_applies() {
        assert_eq!(applies("z/leak", r#"{"water_leak":true}"#, false).as_deref(), Some("leak"));
        assert_eq!(applies("z/leak", r#"{"water_leak":false}"#, false), None);
        assert_eq!(applies("z/boiler", r#"{"temperature":80.5}"#, false).as_deref(), Some("hot"));
        assert_eq!(applies("z/boiler", "no json", false), None);
        assert_eq!(applies("test/leak", r#"{"water_leak":true}"#, false).as_deref(), Some("quiet"));
    }

    #[test]
    fn a_retained_message_moves_no_rule_that_did_not_ask_for_it() {
        assert_eq!(applies("z/leak", r#"{"water_leak":true}"#, true), None);
    }

    #[test]
    fn an_unknown_key_in_a_rule_is_an_error() {
        let wrong = json!({"name": "x", "topic": "a", "wen": {}, "do": "ignore"});
        assert!(serde_json::from_value::<Rule>(wrong).unwrap_err().to_string().contains("wen"));
    }
}
