//! How Gemma writes a call: `call:NAME{key:value,…}`, keys bare and sorted, strings between quote tokens, the rest as in
//! JSON. Reading is a small recursive descent that takes a little more than it should: models forget quotes.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is read. Far beyond any schema, far below what a stack bears.
const MAX_DEPTH: usize = 64;

/// One unit of a written call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sign {
    /// A character outside strings.
    Bare(char),
    /// Everything between two quote tokens.
    Quoted(String),
}

/// Reads `call:NAME{…}`; the word `call:` may be missing.
///
/// # Errors
/// What is wrong with it, as a sentence's end.
pub(super) fn read_call(signs: &[Sign]) -> Result<(String, Map<String, Value>), String> {
    let mut reader = Reader { signs, depth: 0 };
    let head = reader.take_until(&['{']);
    let name = head.trim().trim_start_matches("call:").trim().to_owned();
    if name.is_empty() {
        return Err("no tool is named".to_owned());
    }
    let args = reader.object()?;
    reader.skip_blanks();
    if reader.signs.is_empty() { Ok((name, args)) } else { Err("something follows the closing brace".to_owned()) }
}

/// The signs of a text in which `"` or the quote token's own text stands for the quote token.
pub(super) fn signs_of_text(text: &str, quote: &str) -> Vec<Sign> {
    let text = text.replace(quote, "\"");
    let mut signs = Vec::new();
    for (index, piece) in text.split('"').enumerate() {
        if index % 2 == 1 {
            signs.push(Sign::Quoted(piece.to_owned()));
        } else {
            signs.extend(piece.chars().map(Sign::Bare));
        }
    }
    signs
}

/// Writes a call as text, with `quote` around strings.
#[must_use]
pub fn write_call(tool: &str, args: &Map<String, Value>, quote: &str) -> String {
    let mut text = format!("call:{tool}");
    write_object(args, quote, &mut text);
    text
}

fn write_object(fields: &Map<String, Value>, quote: &str, text: &mut String) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| key.to_lowercase());
    text.push('{');
    for (index, (key, value)) in fields.into_iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        text.push_str(key);
        text.push(':');
        write_value(value, quote, text);
    }
    text.push('}');
}

fn write_value(value: &Value, quote: &str, text: &mut String) {
    match value {
        Value::String(inner) => {
            text.push_str(quote);
            text.push_str(inner);
            text.push_str(quote);
        }
        Value::Object(fields) => write_object(fields, quote, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_value(item, quote, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

struct Reader<'a> {
    signs: &'a [Sign],
    depth: usize,
}

impl Reader<'_> {
    fn object(&mut self) -> Result<Map<String, Value>, String> {
        self.expect('{', "an opening brace is missing")?;
        let mut fields = Map::new();
        self.skip_blanks();
        if self.take('}') {
            return Ok(fields);
        }
        loop {
            let key = self.key()?;
            let value = self.value()?;
            fields.insert(key, value);
            self.skip_blanks();
            if self.take('}') {
                return Ok(fields);
            }
            self.expect(',', "a closing brace is missing")?;
        }
    }

    fn key(&mut self) -> Result<String, String> {
        self.skip_blanks();
        let key = match self.quoted() {
            Some(key) => key,
            None => self.take_until(&[':', ',', '{', '}', '[', ']']).trim().to_owned(),
        };
        if key.is_empty() {
            return Err("a key is missing".to_owned());
        }
        self.skip_blanks();
        self.expect(':', &format!("no value follows the key {key}"))?;
        Ok(key)
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip_blanks();
        if let Some(text) = self.quoted() {
            return Ok(Value::String(text));
        }
        match self.signs.first() {
            Some(Sign::Bare('{')) => self.nested(|reader| reader.object().map(Value::Object)),
            Some(Sign::Bare('[')) => self.nested(Self::array),
            Some(Sign::Bare(_) | Sign::Quoted(_)) => bare_value(self.take_until(&[',', '{', '}', '[', ']']).trim()),
            None => Err("a value is missing".to_owned()),
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        self.expect('[', "an opening bracket is missing")?;
        let mut items = Vec::new();
        self.skip_blanks();
        if self.take(']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_blanks();
            if self.take(']') {
                return Ok(Value::Array(items));
            }
            self.expect(',', "a closing bracket is missing")?;
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Value, String>) -> Result<Value, String> {
        if self.depth == MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn quoted(&mut self) -> Option<String> {
        let (Sign::Quoted(text), rest) = self.signs.split_first()? else { return None };
        self.signs = rest;
        Some(text.clone())
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.signs.split_first() {
            Some((Sign::Bare(found), rest)) if *found == wanted => {
                self.signs = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn expect(&mut self, wanted: char, otherwise: &str) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(otherwise.to_owned()) }
    }

    fn skip_blanks(&mut self) {
        while let Some((Sign::Bare(found), rest)) = self.signs.split_first()
            && found.is_whitespace()
        {
            self.signs = rest;
        }
    }

    /// The bare characters up to one of `ends` or a string, neither taken.
    fn take_until(&mut self, ends: &[char]) -> String {
        let mut text = String::new();
        while let Some((Sign::Bare(found), rest)) = self.signs.split_first()
            && !ends.contains(found)
        {
            text.push(*found);
            self.signs = rest;
        }
        text
    }
}

/// A value without quotes: a word of JSON, a number, or a string whose quotes were forgotten.
fn bare_value(text: &str) -> Result<Value, String> {
    match text {
        "" => Err("a value is missing".to_owned()),
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "null" => Ok(Value::Null),
        other => {
            let number: Result<Number, _> = serde_json::from_str(other);
            Ok(number.map_or_else(|_| Value::String(other.to_owned()), Value::Number))
        }
    }
}
