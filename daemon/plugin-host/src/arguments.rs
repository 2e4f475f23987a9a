//! Checks a call's arguments against the tool's schema before any guest runs. The answer is read by the model, which
//! repairs its call by it.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// More would only bury the first.
const PROBLEMS_TOLD: usize = 3;

/// What is wrong with the arguments, in words; nothing when they fit.
pub(crate) fn problems(validator: &Validator, arguments: &Map<String, Value>) -> Option<String> {
    let arguments = Value::Object(arguments.clone());
    let mut told: Vec<String> = Vec::new();
    for error in validator.iter_errors(&arguments).take(PROBLEMS_TOLD) {
        let problem = problem(&error);
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    if told.is_empty() { None } else { Some(told.join("; ")) }
}

fn problem(error: &ValidationError<'_>) -> String {
    if let ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::OneOfMultipleValid { context } =
        error.kind()
        && let Some(choice) = choice(context)
    {
        return choice;
    }
    if let ValidationErrorKind::Required { property } = error.kind() {
        return format!("{property} is missing").replace('"', "'");
    }
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        return format!("there is no argument '{}'", unexpected.join("', '"));
    }
    let path = error.instance_path().to_string();
    let name = path.trim_start_matches('/');
    if name.is_empty() { error.to_string() } else { format!("'{name}': {error}") }
}

/// A choice between sets of arguments ("either device, or kind"): says which to give, or which not together.
fn choice(branches: &[Vec<ValidationError<'_>>]) -> Option<String> {
    let mut missing = BTreeSet::new();
    let mut excluded = BTreeSet::new();
    for error in branches.iter().flatten() {
        if let ValidationErrorKind::Required { property: Value::String(name) } = error.kind() {
            missing.insert(name.clone());
        } else if let ValidationErrorKind::FalseSchema = error.kind() {
            excluded.insert(error.instance_path().to_string().trim_start_matches('/').to_owned());
        }
    }
    let quoted = |names: BTreeSet<String>, word: &str| Vec::from_iter(names).join(&format!("' {word} '"));
    if excluded.len() > 1 {
        Some(format!("'{}' do not go together: give one of them", quoted(excluded, "and")))
    } else if missing.len() > 1 {
        Some(format!("give either '{}'", quoted(missing, "or")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    fn told(arguments: Value) -> String {
        let schema = json!({
            "type": "object",
            "properties": {
                "area": {"type": "string"}, "device": {"type": "string"}, "kind": {"type": "string"},
                "percent": {"type": "integer", "minimum": 0, "maximum": 100},
            },
            "required": ["percent"],
            "oneOf": [
                {"required": ["device"], "properties": {"area": false, "kind": false}},
                {"required": ["kind"], "properties": {"device": false}},
            ],
            "additionalProperties": false,
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        problems(&validator, arguments.as_object().unwrap()).unwrap_or_else(|| "fits".to_owned())
    }

    #[test]
    fn a_model_can_repair_its_call_from_the_text() {
        assert_snapshot!(told(json!({"device": "lamp", "percent": 40})), @"fits");
        assert_snapshot!(told(json!({"device": "lamp", "percent": 140})), @"'percent': 140 is greater than the maximum of 100");
        assert_snapshot!(told(json!({"device": "lamp", "percent": "40"})), @r#"'percent': "40" is not of type "integer""#);
        assert_snapshot!(told(json!({"percent": 40})), @"give either 'device' or 'kind'");
        assert_snapshot!(told(json!({"device": "lamp", "kind": "light", "percent": 40})), @"'device' and 'kind' do not go together: give one of them");
        assert_snapshot!(told(json!({"device": "lamp", "area": "kitchen", "percent": 40})), @"'area' and 'device' do not go together: give one of them");
        assert_snapshot!(told(json!({"device": "lamp"})), @"'percent' is missing");
        assert_snapshot!(told(json!({"device": "lamp", "percent": 4, "colour": "red"})), @"there is no argument 'colour'");
    }
}
