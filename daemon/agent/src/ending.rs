//! The end of a turn: what is said, what is written down, what the conversation keeps.

use crate::agent::{Agent, Conversation, audit};
use crate::reply;
use crate::step::{Decisions, Effect};
use crate::turn::{Turn, drop_oldest, lowest_of, to_ms};
use hob_events::{
    AuditKind, Command, CommandResult, ErrorReport, Message, Outcome, Receipt, Record, Source, Status, Timings,
    Unfinished, UnixMs,
};

/// How a turn ends.
pub(crate) enum Ending {
    /// As its receipts say.
    Done,
    /// Something else went wrong.
    Failed { code: &'static str, message: String },
    /// Nobody said yes.
    Denied { message: String },
    /// Someone took it back.
    Cancelled,
}

impl Agent {
    pub(crate) fn finish(&mut self, at: UnixMs, mut turn: Turn, ending: Ending, out: &mut Decisions) {
        turn.timings.total_ms = to_ms(at.since(turn.command.received));
        let told = reply::compose(&self.offer, &turn.receipts, &turn.words);
        let (status, error) = match ending {
            Ending::Done => of_receipts(&turn.receipts),
            Ending::Failed { code, message } => (Status::Failed, Some(error(code, message))),
            Ending::Denied { message } => (Status::Denied, Some(error("denied", message))),
            Ending::Cancelled => (Status::Cancelled, Some(error("cancelled", "it was taken back".to_owned()))),
        };
        let speech = match (&error, told.is_empty()) {
            (Some(error), true) => format!("That did not work: {}.", error.message),
            (None, true) => "I have nothing to say to that.".to_owned(),
            (_, false) => told,
        };
        self.remember(at, &turn, out);
        let result = CommandResult {
            id: turn.command.id.clone(),
            status,
            speech,
            actions: turn.receipts.iter().map(reply::report).collect(),
            error,
            timings: turn.timings,
            model: self.model.clone().filter(|_| turn.rounds > 0),
            dry_run: turn.command.dry_run,
            forgotten_turns: turn.forgotten,
        };
        conclude(at, turn.command.source, result, out);
    }

    pub(crate) fn finish_unbegun(
        &self,
        at: UnixMs,
        command: Command,
        status: Status,
        code: &str,
        message: &str,
        out: &mut Decisions,
    ) {
        let mut result = CommandResult {
            id: command.id.clone(),
            status,
            speech: format!("Nothing was done: {message}."),
            actions: Vec::new(),
            error: Some(error(code, message.to_owned())),
            timings: Timings::default(),
            model: None,
            dry_run: command.dry_run,
            forgotten_turns: 0,
        };
        result.timings.total_ms = to_ms(at.since(command.received));
        result.timings.queue_ms = result.timings.total_ms;
        conclude(at, command.source, result, out);
    }

    pub(crate) fn end_interrupted(&self, at: UnixMs, left: Unfinished, out: &mut Decisions) {
        let mut receipts = Vec::new();
        for call in left.calls {
            let lost = Receipt {
                id: call.id,
                tool: call.tool,
                args: call.args,
                outcome: Outcome::Unknown,
                actions: call.actions,
                took_ms: 0,
            };
            receipts.push(call.receipt.unwrap_or(lost));
        }
        let message = "hob was interrupted while it acted, and does not act twice".to_owned();
        let mut result = CommandResult {
            id: left.command.id.clone(),
            status: Status::Failed,
            speech: match reply::compose(&self.offer, &receipts, "") {
                told if told.is_empty() => format!("That did not work: {message}."),
                told => told,
            },
            actions: receipts.iter().map(reply::report).collect(),
            error: Some(error("interrupted", message)),
            timings: Timings::default(),
            model: None,
            dry_run: left.command.dry_run,
            forgotten_turns: 0,
        };
        result.timings.total_ms = to_ms(at.since(left.command.received));
        conclude(at, left.command.source, result, out);
    }

    /// Keeps a finished turn in its conversation; whole oldest turns, then whole oldest conversations make room.
    pub(crate) fn remember(&mut self, at: UnixMs, turn: &Turn, out: &mut Decisions) {
        let Some(id) = turn.command.conversation.clone() else { return };
        let mut messages = turn.messages.clone();
        let lowest = lowest_of(&messages).min(turn.lowest);
        let users =
            |messages: &[Message]| messages.iter().filter(|message| matches!(message, Message::User { .. })).count();
        while users(&messages) > self.settings.conversation_turns.max(1) {
            drop_oldest(&mut messages);
        }
        out.record(Record::Conversation { id: id.clone(), messages: messages.clone(), lowest, at });
        self.conversations.insert(id, Conversation { messages, lowest, at });
        while self.conversations.len() > self.settings.conversations.max(1) {
            let oldest = self.conversations.iter().min_by_key(|(_, kept)| kept.at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            self.conversations.remove(&oldest);
        }
    }
}

/// The status that receipts give a turn: the worst of them.
fn of_receipts(receipts: &[Receipt]) -> (Status, Option<ErrorReport>) {
    for receipt in receipts {
        let (status, code, message) = match &receipt.outcome {
            Outcome::Returned { .. } => continue,
            Outcome::Failed { message } => (Status::Failed, "tool", message.clone()),
            Outcome::Denied { reason } => (Status::Denied, "denied", reason.clone()),
            Outcome::Stopped { reason } => (Status::Failed, "tool", reason.clone()),
            Outcome::Unknown => (Status::Failed, "interrupted", "it is not known whether this happened".to_owned()),
        };
        return (status, Some(error(code, message)));
    }
    (Status::Succeeded, None)
}

fn error(code: &str, message: String) -> ErrorReport {
    ErrorReport { code: code.to_owned(), message }
}

/// Writes down the end of a command and lets it be told.
fn conclude(at: UnixMs, source: Source, result: CommandResult, out: &mut Decisions) {
    let kind = AuditKind::Finished { command: result.id.clone(), status: result.status, speech: result.speech.clone() };
    audit(at, kind, out);
    out.record(Record::Final { result: result.clone(), source: source.clone() });
    out.effect(Effect::Finish { result, source });
}
