//! The commands of the demo, and what each must bring about.

use crate::Shown;
use e2e::Request;
use hob_events::Status;
use serde_json::{Value, json};

/// What the person says when hob asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It should not have to ask.
    NotNeeded,
    /// Yes, over the confirm topic.
    Yes,
}

/// One command.
pub(crate) struct Scene {
    payload: Payload,
    pub answer: Answer,
    /// What is missing of what it must bring about; none when all is there.
    pub expects: fn(&Shown) -> Option<String>,
}

enum Payload {
    Words(&'static str),
    Bytes(&'static str),
}

impl Scene {
    fn new(words: &'static str, expects: fn(&Shown) -> Option<String>) -> Self {
        Self { payload: Payload::Words(words), answer: Answer::NotNeeded, expects }
    }

    /// As it is printed.
    pub(crate) fn shown(&self) -> String {
        match self.payload {
            Payload::Words(text) | Payload::Bytes(text) => text.to_owned(),
        }
    }

    /// As it is sent.
    pub(crate) fn request(&self, number: usize) -> Request {
        match self.payload {
            Payload::Words(words) => Request::text(&format!("demo-{number}"), words).answered_to_me(),
            Payload::Bytes(bytes) => Request::bytes(bytes),
        }
    }
}

/// All of them, in order.
pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        // A device by another name that people use for it.
        Scene::new("turn on the big lamp", |shown| only_told(shown, &[("ceiling lamp", json!({"state": "ON"}))])),
        // 40 % of Zigbee's 254 steps.
        Scene::new("set the kitchen light to 40 percent", |shown| {
            only_told(shown, &[("kitchen light", json!({"brightness": 102}))])
        }),
        Scene::new("is the front door locked?", |shown| said(shown, "locked").or_else(|| only_told(shown, &[]))),
        Scene::new("turn off the tv and close the living room blind", |shown| {
            only_told(shown, &[("tv", json!({"state": "OFF"})), ("living room blind", json!({"state": "CLOSE"}))])
        }),
        Scene::new("set the bedroom thermostat to 21 degrees", |shown| {
            only_told(shown, &[("bedroom thermostat", json!({"occupied_heating_setpoint": 21}))])
        }),
        // A group: every light in a room, and none elsewhere.
        Scene::new("turn off the lights in the living room", |shown| {
            only_told(shown, &[("ceiling lamp", json!({"state": "OFF"})), ("floor lamp", json!({"state": "OFF"}))])
        }),
        Scene::new("add milk to the shopping list", |shown| {
            said(shown, "milk").or_else(|| returned(shown, "list_add"))
        }),
        Scene::new("what is on the shopping list?", |shown| {
            said(shown, "milk").or_else(|| returned(shown, "list_read"))
        }),
        // The grammar cannot write a device that does not exist.
        Scene::new("turn on the sauna", nothing_done),
        Scene::new("thank you", nothing_done),
        // Held until a person says yes.
        Scene {
            answer: Answer::Yes,
            ..Scene::new("unlock the front door", |shown| match (&shown.question, shown.told_before_answer) {
                (None, _) => Some("it did not ask first".to_owned()),
                (Some(_), 1..) => Some("it acted before it was allowed to".to_owned()),
                (Some(_), 0) => only_told(shown, &[("front door", json!({"state": "UNLOCK"}))]),
            })
        },
        Scene {
            payload: Payload::Bytes(r#"{"text": "turn on the"#),
            ..Scene::new("", |shown| match &shown.result.error {
                Some(error) if error.code == "malformed" => None,
                Some(_) | None => Some("it did not say what is wrong with the payload".to_owned()),
            })
        },
    ]
}

/// Each of these devices was told just this, and no other device was told anything.
fn only_told(shown: &Shown, wanted: &[(&str, Value)]) -> Option<String> {
    for (device, payload) in wanted {
        let heard = shown.told.iter().any(|told| told.device == *device && same(&told.payload, payload));
        if !heard {
            return Some(format!("{device} should have been told {payload}"));
        }
    }
    let wished = |device: &str| wanted.iter().any(|(wanted, _)| *wanted == device);
    let other = shown.told.iter().find(|told| !wished(&told.device));
    other.map(|told| format!("{} should not have been told {}", told.device, told.payload)).or_else(|| succeeded(shown))
}

/// Equal, whether a number is written 21 or 21.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right || left.as_f64().is_some_and(|left| right.as_f64() == Some(left)),
    }
}

fn succeeded(shown: &Shown) -> Option<String> {
    (shown.result.status != Status::Succeeded).then(|| format!("it ended as {:?}", shown.result.status))
}

fn said(shown: &Shown, word: &str) -> Option<String> {
    let missing = !shown.result.speech.to_lowercase().contains(word);
    missing.then(|| format!("the answer should name \"{word}\"")).or_else(|| succeeded(shown))
}

fn returned(shown: &Shown, tool: &str) -> Option<String> {
    let done = shown.result.actions.iter().any(|action| action.tool == tool && action.outcome == "returned");
    (!done).then(|| format!("{tool} should have been called"))
}

/// Nothing happened: hob said so in words, or it asked and was told no.
fn nothing_done(shown: &Shown) -> Option<String> {
    if let Some(told) = shown.told.first() {
        return Some(format!("{} should not have been told {}", told.device, told.payload));
    }
    if let Some(action) = shown.result.actions.iter().find(|action| action.outcome == "returned") {
        return Some(format!("{} should not have been called", action.tool));
    }
    let answered = match (shown.result.status, &shown.question) {
        (Status::Denied, Some(_)) => true,
        _ => shown.result.status == Status::Succeeded && !shown.result.speech.is_empty(),
    };
    (!answered).then(|| format!("it ended as {:?}: {}", shown.result.status, shown.result.speech))
}
