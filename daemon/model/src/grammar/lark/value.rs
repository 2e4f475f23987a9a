//! The expression of one schema node: what a value of it may look like in a call.

use super::{Writer, quoted};
use serde_json::{Map, Value, json};

/// Deepest nesting that is followed; below it any value is taken.
const MAX_DEPTH: usize = 16;

/// Longest list whose length is counted; longer bounds are left to the check of arguments.
const MAX_COUNTED: u64 = 64;

/// Signs that end a key where it is read.
const KEY_ENDS: [char; 6] = ['{', '}', '[', ']', ':', ','];

impl Writer<'_> {
    /// Any value that fits the schema, as an expression; nothing when none does.
    pub(super) fn value(&mut self, schema: &Value, depth: usize) -> Option<String> {
        if *schema == Value::Bool(false) {
            return None;
        }
        if depth > MAX_DEPTH {
            return Some(self.anything());
        }
        if let Some(kinds) = schema.get("x-hob-device") {
            return self.device(kinds);
        }
        if let Some(kinds) = schema.get("x-hob-kind") {
            return self.kind(kinds);
        }
        if schema.get("x-hob-area").is_some_and(|mark| *mark != Value::Bool(false)) {
            return self.area();
        }
        if let Some(constant) = schema.get("const") {
            return self.constant(constant);
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.constants(values);
        }
        let shaped = schema.get("properties").is_some();
        if !shaped && let Some(schemas) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return self.alternatives(schemas.iter(), depth);
        }
        match &schema["type"] {
            Value::String(kind) => self.typed(kind, schema, depth),
            Value::Array(kinds) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                either(kinds.filter_map(|kind| self.typed(kind, schema, depth)).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                let kind = if shaped {
                    "object"
                } else if schema.get("items").is_some() {
                    "array"
                } else {
                    "any"
                };
                self.typed(kind, schema, depth)
            }
        }
    }

    fn typed(&mut self, kind: &str, schema: &Value, depth: usize) -> Option<String> {
        let value = match kind {
            "string" => self.string(schema)?,
            "integer" | "number" => number(kind, schema)?,
            "boolean" => "( \"true\" | \"false\" )".to_owned(),
            "null" => "\"null\"".to_owned(),
            "array" => self.array(schema, depth)?,
            "object" if schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()) => {
                self.object(schema, depth)?
            }
            "object" => self.any_object(),
            _ => self.anything(),
        };
        if schema["nullable"] == Value::Bool(true) { Some(format!("( {value} | \"null\" )")) } else { Some(value) }
    }

    fn alternatives<'s>(&mut self, schemas: impl Iterator<Item = &'s Value>, depth: usize) -> Option<String> {
        either(schemas.filter_map(|schema| self.value(schema, depth + 1)).collect())
    }

    /// The fields of an object in braces, keys sorted as the chat template sorts them. Branches of `oneOf` that require
    /// some fields and forbid others become one object each.
    pub(super) fn object(&mut self, schema: &Value, depth: usize) -> Option<String> {
        let nothing = Map::new();
        let shared = schema["properties"].as_object().unwrap_or(&nothing);
        let required = names(&schema["required"]);
        let Some(branches) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) else {
            return self.fields(shared, &required, depth);
        };
        let branches = branches.iter().filter_map(|branch| {
            let mut properties = shared.clone();
            properties.extend(branch["properties"].as_object().into_iter().flatten().map(|(name, own)| {
                // `true` and annotations alone add nothing to what is known.
                let known =
                    shared.get(name).filter(|_| own.as_object().is_none_or(Map::is_empty) && *own != json!(false));
                (name.clone(), known.unwrap_or(own).clone())
            }));
            let required: Vec<&str> = required.iter().copied().chain(names(&branch["required"])).collect();
            self.fields(&properties, &required, depth)
        });
        let branches: Vec<String> = branches.collect();
        either(branches)
    }

    /// `{a:…,b:…}` with commas only between fields that are there.
    fn fields(&mut self, properties: &Map<String, Value>, required: &[&str], depth: usize) -> Option<String> {
        let mut fields = Vec::new();
        for (name, schema) in properties {
            let needed = required.contains(&name.as_str());
            match self.field(name, schema, depth) {
                Some(field) => fields.push((name.to_lowercase(), field, needed)),
                None if needed => return None,
                None => {}
            }
        }
        if !required.iter().all(|name| properties.contains_key(*name)) {
            return None;
        }
        fields.sort_by(|left, right| left.0.cmp(&right.0));
        // From the last field to the first: what may follow once a field was written, and what when none was.
        let (mut after_some, mut after_none) = (String::new(), String::new());
        for (index, (_, field, needed)) in fields.into_iter().enumerate().rev() {
            let with_comma = join(&["\",\"", &field, &after_some]);
            let without = join(&[&field, &after_some]);
            if needed {
                (after_some, after_none) = (with_comma, without);
            } else {
                (after_some, after_none) = (optional(&with_comma, &after_some), optional(&without, &after_none));
            }
            // Written out once, however many ways lead to it. No way leads to what would follow before the first field.
            if index > 0 && !after_some.is_empty() {
                after_some = self.rule("more", after_some);
            }
        }
        let inside = if after_none.is_empty() { String::new() } else { self.rule("fields", after_none) };
        Some(join(&["\"{\"", &inside, "\"}\""]))
    }

    fn field(&mut self, name: &str, schema: &Value, depth: usize) -> Option<String> {
        let key = self.written(name);
        if key.is_empty() || key.contains(KEY_ENDS) {
            return None;
        }
        let value = self.value(schema, depth + 1)?;
        Some(format!("{} {value}", quoted(&format!("{key}:"))))
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Option<String> {
        let least = schema["minItems"].as_u64().unwrap_or(0);
        let most = schema["maxItems"].as_u64().filter(|most| *most <= MAX_COUNTED);
        let item = match schema.get("items") {
            Some(items) if items.is_object() || items.is_boolean() => self.value(items, depth + 1),
            Some(_) | None => Some(self.anything()),
        };
        let item = item.filter(|_| most != Some(0));
        let Some(item) = item else { return (least == 0).then(|| "\"[\" \"]\"".to_owned()) };
        if most.is_some_and(|most| most < least) {
            return None;
        }
        let more_least = least.saturating_sub(1).min(MAX_COUNTED);
        let repeat = match most {
            Some(most) => format!("{{{more_least},{}}}", most - 1),
            None => format!("{{{more_least},}}"),
        };
        let items = format!("{item} ( \",\" {item} ){repeat}");
        let items = if least == 0 { format!("[ {items} ]") } else { items };
        Some(self.rule("list", format!("\"[\" {items} \"]\"")))
    }

    /// A string of free words between quote tokens, its length bounded in characters.
    fn string(&mut self, schema: &Value) -> Option<String> {
        let least = schema["minLength"].as_u64().unwrap_or(0);
        let most = schema["maxLength"].as_u64();
        if most.is_some_and(|most| most < least) {
            return None;
        }
        let quote = self.quote.clone();
        if most == Some(0) {
            return Some(format!("{quote} {quote}"));
        }
        // An empty string is the absence of the lexeme: a lexeme of no characters could not be told from none.
        let (low, high) = (least.max(1), most.map_or(String::new(), |most| most.to_string()));
        let words = self.rule("WORDS", format!("/(?s:.){{{low},{high}}}/"));
        let words = if least == 0 { format!("[ {words} ]") } else { words };
        Some(format!("{quote} {words} {quote}"))
    }

    fn constants(&mut self, values: &[Value]) -> Option<String> {
        let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        let mut options: Vec<String> = self.one_of(texts.into_iter()).into_iter().collect();
        let others = values.iter().filter(|value| !value.is_string());
        options.extend(others.filter_map(|value| self.constant(value)));
        either(options)
    }

    fn constant(&mut self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) if text.is_empty() => Some(format!("{quote} {quote}", quote = self.quote)),
            Value::String(text) => self.one_of(std::iter::once(text.as_str())),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(quoted(&value.to_string())),
            Value::Array(items) => {
                let items: Option<Vec<String>> = items.iter().map(|item| self.constant(item)).collect();
                Some(join(&["\"[\"", &items?.join(" \",\" "), "\"]\""]))
            }
            Value::Object(_) => Some(self.any_object()),
        }
    }

    fn anything(&mut self) -> String {
        let name = "anything".to_owned();
        if !self.rules.iter().any(|(known, _)| *known == name) {
            // Named before it is written out: it contains itself.
            self.rules.push((name.clone(), String::new()));
            let body = format!(
                "{quote} [ /(?s:.)+/ ] {quote} | %json {number} | \"true\" | \"false\" | \"null\" | any-object \
                 | \"[\" [ {name} ( \",\" {name} )* ] \"]\"",
                quote = self.quote,
                number = bare(json!({"type": "number"})),
            );
            let object = "\"{\" [ any-field ( \",\" any-field )* ] \"}\"".to_owned();
            let field = format!("/[^\\x00-\\x1f{{}}\\[\\]:,]+/ \":\" {name}");
            self.rules.retain(|(known, _)| *known != name);
            let rules = [(name.clone(), body), ("any-object".to_owned(), object), ("any-field".to_owned(), field)];
            self.rules.extend(rules);
        }
        name
    }

    fn any_object(&mut self) -> String {
        self.anything();
        "any-object".to_owned()
    }
}

/// A number in the digits of JSON, within the schema's bounds; nothing when the bounds leave none.
fn number(kind: &str, schema: &Value) -> Option<String> {
    let low = schema["minimum"].as_f64().or_else(|| schema["exclusiveMinimum"].as_f64());
    let high = schema["maximum"].as_f64().or_else(|| schema["exclusiveMaximum"].as_f64());
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        return None;
    }
    let mut bounded = json!({"type": kind});
    for bound in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"] {
        if schema[bound].is_number() {
            bounded[bound] = schema[bound].clone();
        }
    }
    Some(format!("%json {}", bare(bounded)))
}

/// Takes no blanks around the value.
fn bare(mut schema: Value) -> Value {
    schema["x-guidance"] = json!({"whitespace_flexible": false});
    schema
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One of the options; nothing when there are none.
fn either(mut options: Vec<String>) -> Option<String> {
    options.dedup();
    match options.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => Some(format!("( {} )", options.join(" | "))),
    }
}

fn optional(with: &str, without: &str) -> String {
    if without.is_empty() { format!("[ {with} ]") } else { format!("( {with} | {without} )") }
}

fn join(pieces: &[&str]) -> String {
    let pieces: Vec<&str> = pieces.iter().copied().filter(|piece| !piece.is_empty()).collect();
    pieces.join(" ")
}
