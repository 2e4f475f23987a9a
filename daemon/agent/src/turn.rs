//! What one turn remembers between steps.

use crate::agent::Conversation;
use hob_events::{
    CallId, Command, Medium, Message, Outcome, Part, Receipt, Timings, TokenizerId, ToolCall, Trust, TurnId, UnixMs,
    Writing, WrittenCall,
};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// One piece of work for one command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    pub(crate) command: Command,
    /// What it waits for.
    pub(crate) stage: Stage,
    /// It ends by then, questions left out.
    pub(crate) deadline: UnixMs,
    /// History of the conversation, then this turn's user message and what the model wrote.
    pub(crate) messages: Vec<Message>,
    /// How many of the messages are history.
    pub(crate) history: usize,
    /// The least that anything was believed of which its conversation's words come, whether or not it still stands among
    /// the messages.
    pub(crate) lowest: Trust,
    /// Calls written and not yet looked at.
    pub(crate) todo: VecDeque<Written>,
    /// Questions asked of people.
    pub(crate) questions: u32,
    pub(crate) receipts: Vec<Receipt>,
    /// What the model said in words.
    pub(crate) words: String,
    /// Whole oldest turns of the history that were left out because the prompt was too long.
    pub(crate) forgotten: u32,
    /// Times the model was asked.
    pub(crate) rounds: u32,
    /// Calls numbered so far.
    pub(crate) calls: u32,
    /// A call with an effect was tried: from here on the reply comes from receipts.
    pub(crate) acted: bool,
    /// Someone took the command back while a call ran.
    pub(crate) cancelled: bool,
    pub(crate) timings: Timings,
}

/// A call on its way to the gate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) call: WrittenCall,
    /// The least that anything in the prompt was believed when it was written.
    pub(crate) lowest: Trust,
}

/// What a turn waits for: exactly one thing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// The model.
    Generating,
    /// A tool.
    Calling(Box<ToolCall>),
    /// A person.
    Asking {
        /// What runs after a yes.
        call: Box<ToolCall>,
        /// What was asked.
        question: String,
        /// Until when.
        until: UnixMs,
    },
}

impl Turn {
    /// `past` is what its conversation holds.
    pub(crate) fn new(
        id: TurnId,
        command: Command,
        past: Option<&Conversation>,
        user: String,
        deadline: UnixMs,
    ) -> Self {
        let lowest = past.map_or(command.trust, |past| past.lowest.min(command.trust));
        let mut messages = past.map(|past| past.messages.clone()).unwrap_or_default();
        let before = messages.len();
        messages.push(Message::User { text: user, media: command.media.clone() });
        Self {
            id,
            command,
            stage: Stage::Generating,
            deadline,
            messages,
            history: before,
            lowest,
            todo: VecDeque::new(),
            questions: 0,
            receipts: Vec::new(),
            words: String::new(),
            forgotten: 0,
            rounds: 0,
            calls: 0,
            acted: false,
            cancelled: false,
            timings: Timings::default(),
        }
    }

    /// Numbers the next call.
    pub(crate) fn next_call_id(&mut self) -> CallId {
        let index = self.calls;
        self.calls += 1;
        CallId { turn: self.id, index }
    }

    /// Adds a part to this turn's model message.
    pub(crate) fn push_part(&mut self, part: Part) {
        if let Some(Message::Model { parts }) = self.messages.last_mut() {
            parts.push(part);
        } else {
            self.messages.push(Message::Model { parts: vec![part] });
        }
    }

    /// Leaves the oldest turn of the history out. Returns whether there was one.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        if self.history == 0 {
            return false;
        }
        let before = self.messages.len();
        drop_oldest(&mut self.messages);
        self.history = self.history.saturating_sub(before - self.messages.len());
        self.forgotten += 1;
        true
    }

    /// Whether the history has something to look at or to listen to.
    pub(crate) fn history_shows(&self) -> bool {
        self.messages.iter().take(self.history).any(|message| !message.media().is_empty())
    }

    /// The messages of this turn alone.
    pub(crate) fn own_messages(&self) -> &[Message] {
        self.messages.get(self.history..).unwrap_or_default()
    }

    /// Takes up what the model wrote: words are kept, calls wait to be looked at. Says what was malformed, if anything.
    pub(crate) fn take_up(
        &mut self,
        writing: Vec<Writing>,
        tokens: Vec<u32>,
        tokenizer: TokenizerId,
    ) -> Option<String> {
        let mut malformed = None;
        let lowest = self.lowest_trust();
        // What it wrote may say what it saw, and outlives it.
        self.lowest = lowest;
        for piece in &writing {
            match piece {
                Writing::Text { text } => append_sentence(&mut self.words, text),
                Writing::Call(call) => self.todo.push_back(Written { call: call.clone(), lowest }),
                Writing::Malformed { reason, .. } => malformed = Some(reason.clone()),
            }
        }
        self.push_part(Part::Written { writing, tokens, tokenizer });
        malformed
    }

    /// Whether this very call came back with a result in this turn already, from an earlier answer of the model.
    pub(crate) fn has_done(&self, call: &WrittenCall) -> bool {
        let same = |receipt: &Receipt| receipt.tool.as_str() == call.tool && receipt.args == call.args;
        self.receipts.iter().any(|receipt| same(receipt) && matches!(receipt.outcome, Outcome::Returned { .. }))
    }

    /// The lowest trust of all that stands in the prompt, now or from earlier in the conversation, and of all that stood
    /// there before.
    fn lowest_trust(&self) -> Trust {
        lowest_of(&self.messages).min(self.lowest)
    }

    /// Notes how a call ended, for the reply and for the model.
    pub(crate) fn note(&mut self, receipt: Receipt) {
        self.push_part(Part::Response { tool: receipt.tool.clone(), value: response_value(&receipt.outcome) });
        self.timings.tool_ms += to_ms(receipt.took_ms);
        self.receipts.push(receipt);
    }
}

/// The lowest trust that messages show by themselves. What a tool returned is believed as a device; what was seen or heard,
/// as anyone: who hands a picture over did not write what stands in it. How far the words of people are believed, their
/// commands say.
pub(crate) fn lowest_of(messages: &[Message]) -> Trust {
    let returned = |part: &Part| matches!(part, Part::Response { .. });
    // The command says how far its own speaker is believed.
    let of_medium = |medium: &Medium| match medium {
        Medium::Speech { .. } => Trust::Owner,
        Medium::Camera { trust, .. } => *trust,
        Medium::Image { .. } | Medium::Audio { .. } | Medium::Document { .. } | Medium::Video { .. } => {
            Trust::Untrusted
        }
    };
    let of = |message: &Message| match message {
        Message::User { media, .. } => media.iter().map(of_medium).min().unwrap_or(Trust::Owner),
        Message::Model { parts } if parts.iter().any(returned) => Trust::Device,
        Message::Model { .. } => Trust::Owner,
    };
    messages.iter().map(of).min().unwrap_or(Trust::Owner)
}

/// Drops what a user said first, and what was answered to it.
pub(crate) fn drop_oldest(messages: &mut Vec<Message>) {
    let answers = messages.iter().skip(1).take_while(|message| matches!(message, Message::Model { .. })).count();
    messages.drain(..(1 + answers).min(messages.len()));
}

/// Milliseconds as the timings carry them.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms, which is longer than any board runs")]
pub(crate) fn to_ms(ms: u64) -> f64 {
    ms as f64
}

/// Bytes of a result that the model reads, as JSON: some 2,000 tokens. A plugin may return 256 KiB, which would push
/// everything else out of the context, and out of what a conversation may weigh on disk.
const READABLE_BYTES: usize = 8 * 1024;

/// What the model reads as the answer to its call.
fn response_value(outcome: &Outcome) -> Value {
    if let Outcome::Returned { value } = outcome {
        let bytes = value.to_string().len();
        if bytes > READABLE_BYTES {
            return json!({ "error": format!("the result has {bytes} bytes, which is too much to read") });
        }
    }
    match outcome {
        Outcome::Returned { value: Value::Object(fields) } => Value::Object(fields.clone()),
        Outcome::Returned { value } => json!({ "value": value }),
        Outcome::Failed { message: text } | Outcome::Denied { reason: text } | Outcome::Stopped { reason: text } => {
            json!({ "error": text })
        }
        Outcome::Unknown => json!({ "error": "it is not known whether this happened" }),
    }
}

/// Joins sentences with one blank between them.
pub(crate) fn append_sentence(text: &mut String, sentence: &str) {
    let sentence = sentence.trim();
    if !sentence.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_would_fill_the_context_is_not_read_out() {
        let read = |length: usize| response_value(&Outcome::Returned { value: json!({ "text": "x".repeat(length) }) });
        assert_eq!(read(10), json!({ "text": "x".repeat(10) }));
        assert!(read(READABLE_BYTES).to_string().contains("too much to read"));
    }
}
