//! What the models are asked.
//!
//! With the tokenizer of the folders a letter after a blank is one token, so that lengths are known.

use hob_events::{
    Allowed, Device, DeviceKind, Effects, GenerateOrder, Inventory, Message, Offer, PluginName, Priority, Prompt,
    Replies, Risk, Thinking, ToolName, ToolSpec, TurnId,
};
use serde_json::json;
use std::sync::Arc;

/// Makes orders that nobody gave before.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    given: u64,
}

impl Orders {
    /// So many tokens of no meaning, others each time.
    pub(crate) fn words(&mut self, tokens: usize) -> String {
        self.given += 1;
        let mut state = self.given.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(std::process::id());
        let mut text = String::new();
        for _ in 0..tokens {
            // Knuth's multiplier; the upper bits are the good ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(' ');
            text.push(char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or(0)));
        }
        text
    }

    /// Words about nothing that `system` and `text` may be, without tools.
    pub(crate) fn plain(&mut self, system: &str, text: String, max_tokens: u32) -> GenerateOrder {
        self.order(system, Offer::default(), text, Allowed::CallsOrText, max_tokens)
    }

    /// A command to a house of forty lamps.
    pub(crate) fn command(&mut self, text: &str, allowed: Allowed, max_tokens: u32) -> GenerateOrder {
        self.order("You look after this house by calling tools.", lamps(), text.to_owned(), allowed, max_tokens)
    }

    fn order(&mut self, system: &str, offer: Offer, text: String, allowed: Allowed, max_tokens: u32) -> GenerateOrder {
        self.given += 1;
        GenerateOrder {
            turn: TurnId(self.given),
            prompt: Prompt {
                system: system.into(),
                offer: Arc::new(offer),
                messages: vec![Message::User { text, media: Vec::new() }],
                thinking: Thinking::OFF,
            },
            allowed,
            priority: Priority::Person,
            conversation: None,
            max_tokens,
            deadline_ms: 600_000,
        }
    }
}

/// A tool whose call has some thirty tokens.
fn lamps() -> Offer {
    let schema = json!({
        "type": "object",
        "properties": {
            "device": { "type": "string", "x-hob-device": ["light"] },
            "percent": { "type": "integer", "minimum": 0, "maximum": 100 },
            "color": { "type": "string", "enum": ["warm white", "cold white", "red", "green", "blue"] },
        },
        "required": ["device", "percent", "color"],
    });
    let tool = ToolSpec {
        name: ToolName::lossy("set_light"),
        plugin: PluginName::lossy("home"),
        description: "Sets the brightness and the colour of a light.".to_owned(),
        schema,
        effects: Effects::default(),
        risk: Risk::default(),
        replies: Replies::default(),
        deadline_ms: 1000,
    };
    let device = |number: usize| Device {
        name: format!("lamp number {number}"),
        aliases: Vec::new(),
        area: Some(format!("room {}", number % 8)),
        kind: DeviceKind::Light,
        risk: Risk::Low,
    };
    Offer { tools: vec![tool], inventory: Inventory { devices: (0..40).map(device).collect(), areas: Vec::new() } }
}
