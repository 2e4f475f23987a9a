//! Gemma 4's format, through the model folder's own chat template.
//!
//! The template lays out the conversation; what stands inside a model turn is put in afterwards, as ids. So generated
//! stretches keep the ids they had (a text rendered and tokenised again may split otherwise, and every cached key after
//! the split would be lost), and templates that open a new turn for each message of a chain do no harm.

use super::media::{MediaMarkers, content};
use super::template::{RenderFailure, Template};
use super::vocabulary::{HOLE, Vocabulary, VocabularyUnreadable};
use super::{ChatFormat, Markers, parse, schema};
use crate::soft::Shown;
use hob_events::{Confidence, Message, Part, Prompt, StopReason, Writing};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a model folder's format cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatUnreadable {
    /// A file is missing or damaged.
    #[error("{path} cannot be read: {message}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// The tokenizer does not fit.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyUnreadable),
    /// The template does not fit.
    #[error(transparent)]
    Template(#[from] RenderFailure),
}

/// How Gemma 4 is spoken to and how its writing is read.
#[derive(Debug)]
pub struct Gemma4 {
    vocabulary: Arc<Vocabulary>,
    markers: Markers,
    suppressed: Vec<u32>,
    template: Template,
    responses: Responses,
    media: MediaMarkers,
    /// Whether the template knows of thoughts.
    thinks: bool,
    /// What the template opens a thought with behind a tool's response; empty when it leaves that to the model.
    opening: Vec<u32>,
}

/// Where a template looks for what tools answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Responses {
    /// In `tool_responses` of the message with the calls.
    WithCalls,
    /// In messages of their own with the role `tool`.
    AsMessages,
}

impl Gemma4 {
    /// Reads `chat_template.jinja` and `tokenizer_config.json` of a model folder.
    ///
    /// # Errors
    /// [`FormatUnreadable`] when a file is missing, a marker token is unknown, or the template is not Gemma's.
    pub fn open(folder: &Path, vocabulary: Arc<Vocabulary>) -> Result<Self, FormatUnreadable> {
        let source = read(&folder.join("chat_template.jinja"))?;
        let path = folder.join("tokenizer_config.json");
        let config: Value = serde_json::from_str(&read(&path)?)
            .map_err(|error| FormatUnreadable::File { path, message: error.to_string() })?;
        // A token is written as its text, or as an object that holds it.
        let bos = config["bos_token"].as_str().or_else(|| config["bos_token"]["content"].as_str());
        Self::new(source, bos.unwrap_or("<bos>"), vocabulary)
    }

    /// Takes the template's source and the text of the token that begins every prompt.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn new(template: String, bos: &str, vocabulary: Arc<Vocabulary>) -> Result<Self, FormatUnreadable> {
        let markers = Markers::find(&vocabulary)?;
        let template = Template::parse(template, bos.to_owned())?;
        let control = vocabulary.control().iter().map(|(id, _)| *id);
        let suppressed = control.filter(|id| !markers.may_be_written(*id)).collect();
        let media = MediaMarkers::find(&vocabulary);
        let mut format = Self {
            vocabulary,
            markers,
            suppressed,
            template,
            responses: Responses::WithCalls,
            media,
            thinks: false,
            opening: Vec::new(),
        };
        let probe = [json!({"name": "probe", "response": {"ok": true}})];
        if format.response_text(&probe).is_err() {
            format.responses = Responses::AsMessages;
            format.response_text(&probe)?;
        }
        let asked = [json!({"role": "user", "content": "-"})];
        format.thinks = format.template.render(&asked, &[], true)? != format.template.render(&asked, &[], false)?;
        if format.thinks && format.step(probe_call(), &probe, true)?.ends_with(OPENING) {
            format.opening = format.vocabulary.ids(OPENING);
        }
        Ok(format)
    }

    /// The tokenizer.
    #[must_use]
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The ids inside one model turn.
    /// Of a finished turn the thoughts are left out, and what was called after them too: the format keeps the reasoning of
    /// the turn under way alone.
    fn inside(&self, parts: &[Part], thoughts: bool) -> Result<Vec<u32>, RenderFailure> {
        let mut ids = Vec::new();
        let mut rest = parts;
        while let Some((part, after)) = rest.split_first() {
            match part {
                Part::Written { tokens, tokenizer, .. } if *tokenizer == self.vocabulary.tokenizer_id() => {
                    match thoughts {
                        true => self.append(&mut ids, tokens),
                        false => self.append(&mut ids, &self.without_thoughts(tokens)),
                    }
                    rest = after;
                }
                Part::Written { writing, .. } => {
                    for writing in writing {
                        self.append(&mut ids, &self.vocabulary.ids(&self.writing_text(writing)?));
                    }
                    rest = after;
                }
                Part::Response { .. } => {
                    let responses: Vec<Value> = rest.iter().map_while(|part| self.response(part)).collect();
                    self.append(&mut ids, &self.vocabulary.ids(&self.response_text(&responses)?));
                    rest = rest.get(responses.len()..).unwrap_or_default();
                }
            }
        }
        Ok(ids)
    }

    fn without_thoughts(&self, tokens: &[u32]) -> Vec<u32> {
        let mut kept = Vec::with_capacity(tokens.len());
        let mut inside = false;
        for id in tokens {
            if *id == self.markers.thought_begin {
                inside = true;
            } else if inside {
                inside = *id != self.markers.thought_end;
            } else {
                kept.push(*id);
            }
        }
        kept
    }

    /// Puts `more` behind `ids`. A marker that ended what the model generated also begins what follows: it stands there
    /// once. An `<eos>` ends nothing when something follows.
    fn append(&self, ids: &mut Vec<u32>, more: &[u32]) {
        if more.is_empty() {
            return;
        }
        if ids.last() == Some(&self.markers.eos) {
            ids.pop();
        }
        let last = ids.last().copied().filter(|id| self.stop(*id).is_some());
        let doubled = last.is_some() && last == more.first().copied();
        ids.extend(more.iter().skip(usize::from(doubled)));
    }

    /// A writing of another model, which has no ids of this one's.
    fn writing_text(&self, writing: &Writing) -> Result<String, RenderFailure> {
        match writing {
            Writing::Text { text } | Writing::Malformed { text, .. } => Ok(self.vocabulary.harmless(text)),
            Writing::Call(call) => {
                let args = self.harmless(&Value::Object(call.args.clone()));
                let call = json!({"id": "0", "type": "function", "function": {"name": call.tool, "arguments": args}});
                let text = self.step(call, &[], false)?;
                cut(&text, "<|tool_call>", "<tool_call|>").ok_or(RenderFailure::Missing("tool calls"))
            }
        }
    }

    fn response(&self, part: &Part) -> Option<Value> {
        let Part::Response { tool, value } = part else { return None };
        let value = if value.is_object() { value.clone() } else { json!({"value": value}) };
        Some(json!({"name": tool.as_str(), "response": self.harmless(&value)}))
    }

    /// The blocks of one or more responses, as the template writes them.
    fn response_text(&self, responses: &[Value]) -> Result<String, RenderFailure> {
        let text = self.step(probe_call(), responses, false)?;
        let text = text.split_once("<tool_call|>").map(|(_, after)| after);
        text.and_then(|text| cut(text, "<|tool_response>", "<tool_response|>"))
            .ok_or(RenderFailure::Missing("tool responses"))
    }

    /// A conversation of one call and its responses.
    fn step(&self, call: Value, responses: &[Value], thinking: bool) -> Result<String, RenderFailure> {
        let user = json!({"role": "user", "content": "-"});
        let mut model = json!({"role": "assistant", "content": "", "tool_calls": [call]});
        if self.responses == Responses::WithCalls && !responses.is_empty() {
            model["tool_responses"] = json!(responses);
        }
        let mut messages = vec![user, model];
        if self.responses == Responses::AsMessages {
            messages.extend(responses.iter().map(|response| {
                json!({
                    "role": "tool",
                    "tool_call_id": "0",
                    "name": response["name"],
                    "content": response["response"],
                })
            }));
        }
        self.template.render(&messages, &[], thinking)
    }

    fn harmless(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.vocabulary.harmless(text)),
            Value::Array(items) => items.iter().map(|item| self.harmless(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (self.vocabulary.harmless(key), self.harmless(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn tools(&self, prompt: &Prompt) -> Vec<Value> {
        let declare = |tool: &hob_events::ToolSpec| {
            let parameters = schema::normalise(&tool.schema);
            let function =
                json!({"name": tool.name.as_str(), "description": tool.description, "parameters": parameters});
            json!({"type": "function", "function": self.harmless(&function)})
        };
        prompt.offer.tools.iter().map(declare).collect()
    }
}

impl ChatFormat for Gemma4 {
    fn render(&self, prompt: &Prompt, shown: &[Shown]) -> Result<Vec<u32>, RenderFailure> {
        // A model turn at the end is still open: the template ends where it began, and its inside follows.
        let (finished, open) = match prompt.messages.split_last() {
            Some((Message::Model { parts }, before)) => (before, Some(parts)),
            Some((Message::User { .. }, _)) | None => (prompt.messages.as_slice(), None),
        };
        let mut messages = Vec::with_capacity(finished.len() + 1);
        let mut insides = Vec::new();
        let mut to_show = shown;
        if !prompt.system.is_empty() {
            messages.push(json!({"role": "system", "content": self.vocabulary.harmless(&prompt.system)}));
        }
        for message in finished {
            messages.push(match message {
                Message::User { text, media } => {
                    let mine = to_show.split_off(..media.len()).ok_or(RenderFailure::Missing("media"))?;
                    let content = content(text, mine, |text| self.vocabulary.harmless(text));
                    json!({"role": "user", "content": content})
                }
                Message::Model { parts } => {
                    insides.push(self.inside(parts, false)?);
                    json!({"role": "assistant", "content": HOLE.to_string()})
                }
            });
        }
        let text = self.template.render(&messages, &self.tools(prompt), prompt.thinking.is_on())?;

        let text = self.media.announced(&text, shown)?;
        let mut places = self.media.places(shown);
        let mut ids = Vec::new();
        let mut insides = insides.iter();
        for (index, stretch) in text.split(HOLE).enumerate() {
            if index > 0 {
                self.append(&mut ids, insides.next().map_or(&[], Vec::as_slice));
            }
            self.append(&mut ids, &places.filled(self.vocabulary.ids(stretch))?);
        }
        places.all_filled()?;
        if let Some(parts) = open {
            self.append(&mut ids, &self.inside(parts, true)?);
        }
        if ids.first() != Some(&self.markers.bos) {
            ids.insert(0, self.markers.bos);
        }
        Ok(ids)
    }

    fn parse(&self, ids: &[u32], sureness: &[Confidence]) -> Vec<Writing> {
        parse::parse(&self.vocabulary, &self.markers, ids, sureness)
    }

    fn stop(&self, id: u32) -> Option<StopReason> {
        if id == self.markers.response_begin {
            Some(StopReason::ToolCalls)
        } else if id == self.markers.turn_end || id == self.markers.eos {
            Some(StopReason::EndOfTurn)
        } else {
            None
        }
    }

    fn thinks(&self) -> bool {
        self.thinks
    }

    fn thought_opening(&self, prompt: &Prompt) -> &[u32] {
        let responded = prompt.messages.last().is_some_and(|message| match message {
            Message::Model { parts } => matches!(parts.last(), Some(Part::Response { .. })),
            Message::User { .. } => false,
        });
        if responded { &self.opening } else { &[] }
    }

    fn suppressed(&self) -> &[u32] {
        &self.suppressed
    }

    fn markers(&self) -> Option<&Markers> {
        Some(&self.markers)
    }
}

/// How a thought begins.
const OPENING: &str = "<|channel>thought\n";

fn probe_call() -> Value {
    json!({"id": "0", "type": "function", "function": {"name": "call", "arguments": {}}})
}

fn read(path: &Path) -> Result<String, FormatUnreadable> {
    std::fs::read_to_string(path)
        .map_err(|error| FormatUnreadable::File { path: path.to_owned(), message: error.to_string() })
}

/// The part of `text` from the first `begin` to the last `end`, both in it.
fn cut(text: &str, begin: &str, end: &str) -> Option<String> {
    let (_, after) = text.split_once(begin)?;
    let (inside, _) = after.rsplit_once(end)?;
    Some(format!("{begin}{inside}{end}"))
}
