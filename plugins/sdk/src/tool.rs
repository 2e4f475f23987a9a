//! A tool as `#[tool]` writes it down, and the arguments of one call.

use crate::error::ToolError;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// How much harm a mistaken call can do, before the device is known. Named in lower case by `#[tool(risk = …)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the attribute speaks the words of the configuration")]
pub enum Risk {
    /// Reads, or changes nothing outside hob.
    none,
    /// A nuisance at worst.
    low,
    /// Heat, water, money.
    medium,
    /// The front door.
    high,
}

/// One tool. Written by `#[tool]`, gathered by [`export!`](crate::export!).
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The function's name.
    pub name: &'static str,
    /// Its doc comment.
    pub description: &'static str,
    /// Changes nothing.
    pub read_only: bool,
    /// Doing it twice is the same as doing it once.
    pub idempotent: bool,
    /// What a mistaken call can cost.
    pub risk: Risk,
    /// The reply when the result is known to be so.
    pub confirmed: &'static str,
    /// The reply when it was sent and nothing came back.
    pub sent: &'static str,
    /// The longest a call should need.
    pub deadline_ms: u32,
    /// Builds the JSON Schema of its parameters.
    pub schema: fn() -> Value,
    /// Takes the arguments apart, runs the function, and writes its answer as JSON.
    pub call: fn(&mut Arguments) -> Result<String, ToolError>,
}

/// The arguments of one call, by parameter name.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the JSON object of a call.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`] when the text is no JSON object.
    pub fn from_json(text: &str) -> Result<Self, ToolError> {
        serde_json::from_str(text).map(Self).map_err(|error| ToolError::InvalidArguments(error.to_string()))
    }

    /// Takes one argument out; an absent one reads as `null`, which only an `Option` accepts.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`] when it is missing or of another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ToolError> {
        let value = self.0.remove(name).unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|error| ToolError::InvalidArguments(format!("'{name}': {error}")))
    }
}

/// The answer of a tool with an effect: `{"ok":true,"target":"kitchen light"}` and whatever else it has to say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Done {
    ok: bool,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Done {
    /// It was done; nothing more to say.
    #[must_use]
    pub fn new() -> Self {
        Self { ok: true, fields: Map::new() }
    }

    /// With one more field, for reply templates and programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

impl Default for Done {
    fn default() -> Self {
        Self::new()
    }
}

/// What a tool returned, as JSON text.
///
/// # Errors
/// The tool's own error, or a value that JSON cannot hold.
pub fn answer<T: Serialize>(result: Result<T, ToolError>) -> Result<String, ToolError> {
    Ok(serde_json::to_string(&result?)?)
}
