//! A store in a folder of its own, and records to put into it.

use hob_events::{
    Ask, AuditEntry, AuditKind, CallId, Command, CommandId, CommandResult, Delivery, DeviceAction, DeviceState,
    Outcome, PluginName, Receipt, Record, Source, Status, Timings, ToolName, Trust, TurnId, UnixMs,
};
use hob_state::{CommitError, Opened, StateLimits, StateWriter, Store};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::mpsc;

pub(crate) fn limits() -> StateLimits {
    StateLimits { min_free_bytes: 0, ..StateLimits::default() }
}

pub(crate) fn open(folder: &Path) -> Store {
    let Opened { store, recovered } = Store::open(folder, limits()).unwrap();
    assert_eq!(recovered, []);
    store
}

/// Commits and waits for the answer.
pub(crate) fn commit(writer: &StateWriter, records: Vec<Record>) -> Result<(), CommitError> {
    let (done, answer) = mpsc::channel();
    writer.try_commit(records, move |result| done.send(result).unwrap()).unwrap();
    answer.recv().unwrap()
}

/// Opens, commits, and closes again.
pub(crate) fn write(folder: &Path, records: Vec<Record>) {
    let store = open(folder);
    let writer = StateWriter::start(&store).unwrap();
    commit(&writer, records).unwrap();
    writer.stop();
}

pub(crate) fn id(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

pub(crate) fn plugin() -> PluginName {
    PluginName::new("lists").unwrap()
}

pub(crate) fn mqtt(topic: &str, correlation: &[u8]) -> Source {
    Source::Mqtt { response_topic: Some(topic.into()), correlation: Some(correlation.to_vec()) }
}

pub(crate) fn command(name: &str, source: Source) -> Command {
    Command {
        id: id(name),
        ask: Ask::Text("lights off".into()),
        media: Vec::new(),
        conversation: None,
        area: None,
        dry_run: false,
        think: None,
        source,
        trust: Trust::Person,
        received: UnixMs(1),
        expires: None,
    }
}

pub(crate) fn accepted(name: &str) -> Record {
    Record::Accepted { command: command(name, Source::Socket { uid: 0 }) }
}

pub(crate) fn began(name: &str, turn: u64) -> Record {
    Record::Began { command: id(name), turn: TurnId(turn) }
}

pub(crate) fn call(turn: u64, index: u32) -> CallId {
    CallId { turn: TurnId(turn), index }
}

fn tool() -> ToolName {
    ToolName::new("turn_off").unwrap()
}

fn args() -> Map<String, Value> {
    json!({"device": "hall lamp"}).as_object().unwrap().clone()
}

fn change() -> DeviceState {
    json!({"state": "off"}).as_object().unwrap().clone()
}

pub(crate) fn calling(name: &str, call: CallId) -> Record {
    Record::Calling { call, command: id(name), tool: tool(), args: args(), idempotent: false }
}

pub(crate) fn sending(name: &str, call: CallId) -> Record {
    Record::Sending { call, command: id(name), device: "hall lamp".into(), change: change(), idempotent: false }
}

pub(crate) fn sent(call: CallId, delivery: Delivery) -> Record {
    Record::Sent { call, action: action(delivery) }
}

pub(crate) fn action(delivery: Delivery) -> DeviceAction {
    DeviceAction { device: "hall lamp".into(), change: change(), delivery, state: None }
}

pub(crate) fn receipt(name: &str, id_of_call: CallId) -> Record {
    let outcome = Outcome::Returned { value: json!({"ok": true}) };
    let receipt = Receipt { id: id_of_call, tool: tool(), args: args(), outcome, actions: Vec::new(), took_ms: 3 };
    Record::Receipt { command: id(name), receipt }
}

pub(crate) fn result(name: &str) -> CommandResult {
    CommandResult {
        id: id(name),
        status: Status::Succeeded,
        speech: "hall lamp is off".into(),
        actions: Vec::new(),
        error: None,
        // A number that some parsers of JSON do not read back as it was written.
        timings: Timings { total_ms: 0.1 + 0.2, decode_ms: 1.117_823_654_991_234e-8, ..Timings::default() },
        model: None,
        dry_run: false,
        forgotten_turns: 0,
    }
}

pub(crate) fn finished(name: &str) -> Record {
    Record::Final { result: result(name), source: Source::Socket { uid: 0 } }
}

pub(crate) fn told(name: &str) -> Record {
    Record::Told { command: id(name) }
}

pub(crate) fn audit(text: &str) -> Record {
    Record::Audit(AuditEntry { at: UnixMs(7), kind: AuditKind::Daemon { change: text.into() } })
}
