//! Words with places for what was said.

use serde_json::Value;

/// More of a payload is not repeated to a model.
const LONGEST: usize = 2_000;

/// What is filled in.
pub(crate) struct Said<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a str,
    /// The payload, read.
    pub(crate) value: &'a Value,
    /// What another topic said last.
    pub(crate) last: &'a dyn Fn(&str) -> Option<&'a Value>,
}

/// Fills in `{topic}`, `{payload}`, `{value /pointer}`, `{last some/topic}` and `{last some/topic#/pointer}`, each once: what is
/// filled in is not looked through again. Braces of another kind stay as they are.
pub(crate) fn fill(template: &str, said: &Said<'_>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let filled = after.split_once('}').and_then(|(place, after)| Some((place_of(place, said)?, after)));
        match filled {
            Some((words, after)) => {
                out.push_str(&words);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The topics whose last words a template wants.
pub(crate) fn topics(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').filter_map(|place| place.split_once('}')?.0.strip_prefix("last ")).map(|last| apart(last).0)
}

/// The pointers of the values that a template wants.
pub(crate) fn pointers(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').filter_map(|place| place.split_once('}')?.0.strip_prefix("value ")).map(str::trim)
}

/// A topic, and a pointer into what was said there; no topic has a `#` in it.
fn apart(last: &str) -> (&str, &str) {
    let (topic, pointer) = last.split_once('#').unwrap_or((last, ""));
    (topic.trim(), pointer.trim())
}

fn place_of(place: &str, said: &Said<'_>) -> Option<String> {
    let shown = |value: Option<&Value>| match value {
        Some(Value::String(text)) => cut(text),
        Some(value) => cut(&value.to_string()),
        None => "unknown".to_owned(),
    };
    match place.split_once(' ') {
        None if place == "topic" => Some(said.topic.to_owned()),
        // Silence from the start: nothing was ever said.
        None if place == "payload" && said.payload.is_empty() && said.value.is_null() => Some("unknown".to_owned()),
        None if place == "payload" => Some(cut(said.payload)),
        Some(("value", pointer)) => Some(shown(said.value.pointer(pointer.trim()))),
        Some(("last", last)) => {
            let (topic, pointer) = apart(last);
            Some(shown((said.last)(topic).and_then(|value| value.pointer(pointer))))
        }
        None | Some(_) => None,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled_once() {
        let value = json!({"temperature": 21.5, "name": "{payload}"});
        let outside = json!("frost");
        let last = |topic: &str| (topic == "weather").then_some(&outside);
        let said = Said { topic: "a/b", payload: "{topic}", value: &value, last: &last };
        let filled = fill(
            "{topic}: {payload}, {value /temperature} {value /name} {value /x}, {last weather} {last x} {x} {",
            &said,
        );
        assert_eq!(filled, "a/b: {topic}, 21.5 {payload} unknown, frost unknown {x} {");
        assert_eq!(topics("{last weather} {payload} {last a/b#/c}").collect::<Vec<_>>(), ["weather", "a/b"]);
        let report = json!({"temperature": 4});
        let last = |_: &str| Some(&report);
        let said = Said { topic: "", payload: "", value: &value, last: &last };
        assert_eq!(fill("{last bed room#/temperature} {last x#/y}", &said), "4 unknown");
    }
}
