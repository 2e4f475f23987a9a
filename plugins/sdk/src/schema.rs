//! Builds the JSON Schema of a tool's parameters; `#[tool]` writes the calls.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Kinds that are always named one by one: all scenes at once, or the state of all sensors, means nothing.
const WITHOUT_GROUPS: [&str; 2] = ["scene", "sensor"];

/// The schema of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Property(Map<String, Value>);

impl Property {
    /// A text.
    #[must_use]
    pub fn text() -> Self {
        Self::of_type("string")
    }

    /// A whole number.
    #[must_use]
    pub fn integer() -> Self {
        Self::of_type("integer")
    }

    /// A number.
    #[must_use]
    pub fn number() -> Self {
        Self::of_type("number")
    }

    /// True or false.
    #[must_use]
    pub fn flag() -> Self {
        Self::of_type("boolean")
    }

    fn of_type(name: &str) -> Self {
        Self(Map::from_iter([("type".to_owned(), name.into())]))
    }

    /// Between `low` and `high`, both allowed.
    #[must_use]
    pub fn range(self, low: impl Into<Value>, high: impl Into<Value>) -> Self {
        self.with("minimum", low).with("maximum", high)
    }

    /// Between `low` and `high` characters.
    #[must_use]
    pub fn length(self, low: u32, high: u32) -> Self {
        self.with("minLength", low).with("maxLength", high)
    }

    /// Explained to the model; an empty text explains nothing.
    #[must_use]
    pub fn described(self, text: &str) -> Self {
        if text.is_empty() { self } else { self.with("description", text) }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

/// The schema of all parameters of a tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    properties: BTreeMap<String, Property>,
    required: Vec<String>,
    takes_target: bool,
}

impl Schema {
    /// Of a tool without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more parameter.
    #[must_use]
    pub fn property(mut self, name: &str, required: bool, property: Property) -> Self {
        self.properties.insert(name.to_owned(), property);
        if required {
            self.required.push(name.to_owned());
        }
        self
    }

    /// With `device`, `kind` and `area`, of which either a device is given, or a kind with or without an area.
    #[must_use]
    pub fn target(mut self, kinds: &[&str]) -> Self {
        let groups: Vec<&str> = kinds.iter().copied().filter(|kind| !WITHOUT_GROUPS.contains(kind)).collect();
        let marked = |mark: &str, value: Value| Property::text().with(mark, value);
        self.properties.insert("device".to_owned(), marked("x-hob-device", json!(kinds)));
        self.properties.insert("kind".to_owned(), marked("x-hob-kind", json!(groups)));
        self.properties.insert("area".to_owned(), marked("x-hob-area", json!(true)));
        self.takes_target = true;
        self
    }

    /// The schema as JSON.
    #[must_use]
    pub fn finish(self) -> Value {
        let properties: Map<String, Value> =
            self.properties.into_iter().map(|(name, property)| (name, Value::Object(property.0))).collect();
        let mut schema =
            Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), properties.into())]);
        if !(self.takes_target && self.required.is_empty()) {
            schema.insert("required".to_owned(), self.required.into());
        }
        if self.takes_target {
            schema.insert("oneOf".to_owned(), device_or_kind());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        schema.into()
    }
}

fn device_or_kind() -> Value {
    json!([
        {"required": ["device"], "properties": {"area": false, "kind": false}},
        {"required": ["kind"], "properties": {"device": false}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_schema() {
        let schema = Schema::new()
            .property("loud", true, Property::flag())
            .property("count", false, Property::integer().range(1, 9).described("How often."))
            .finish();
        assert_eq!(
            schema.to_string(),
            r#"{"type":"object","properties":{"count":{"type":"integer","minimum":1,"maximum":9,"description":"How often."},"loud":{"type":"boolean"}},"required":["loud"],"additionalProperties":false}"#
        );
    }

    #[test]
    fn a_target_is_a_device_or_a_kind_and_scenes_have_no_kind() {
        let schema = Schema::new().target(&["light", "scene"]).finish();
        assert_eq!(schema["properties"]["device"]["x-hob-device"], json!(["light", "scene"]));
        assert_eq!(schema["properties"]["kind"]["x-hob-kind"], json!(["light"]));
        assert_eq!(schema.get("required"), None);
    }
}
