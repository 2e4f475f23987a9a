//! What each record does to the tables.

use crate::audit;
use crate::entries::{
    ConversationEntry, Counters, InboxEntry, ReceiptEntry, StoredFinal, decode, decode_id, encode, get_json, pair_key,
    put_json, source_key,
};
use crate::limits::StateLimits;
use crate::prune::prune;
use crate::tables::{Table, TableError, View};
use hob_events::{
    CallId, Command, CommandId, CommandResult, ConversationId, Message, Receipt, Record, Source, Trust, TurnId, UnixMs,
};
use serde_json::Value;

/// Why the records of a commit cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApplyError {
    AlreadyKnown(CommandId),
    Table(TableError),
}

impl From<TableError> for ApplyError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// Everything about a command that lasts longer than one record of it.
pub(crate) const EVERYTHING: usize = usize::MAX;

/// Puts all records into the view, in order, and drops what has become too much.
pub(crate) fn apply(
    view: &mut View<'_>,
    records: &[Record],
    now: UnixMs,
    limits: &StateLimits,
) -> Result<(), ApplyError> {
    let mut counters = Counters::load(view)?;
    let before = counters.clone();
    for record in records {
        put(view, &mut counters, record, now)?;
    }
    prune(view, &mut counters, now, limits)?;
    if counters != before {
        counters.store(view)?;
    }
    Ok(())
}

fn put(view: &mut View<'_>, counters: &mut Counters, record: &Record, now: UnixMs) -> Result<(), ApplyError> {
    match record {
        Record::Accepted { command } => accept(view, counters, command),
        Record::Began { command, turn } => Ok(begin(view, counters, command, *turn)?),
        Record::Calling { command, .. } | Record::Sending { command, .. } => Ok(step(view, counters, command, record)?),
        Record::Sent { call, .. } => Ok(sent(view, counters, *call, record)?),
        Record::Receipt { command, receipt } => Ok(receive(view, counters, command, receipt, record, now)?),
        Record::Final { result, source } => finish(view, counters, result, source, now),
        Record::Told { command } => Ok(told(view, command)?),
        Record::Conversation { id, messages, lowest, at } => Ok(converse(view, counters, id, messages, *lowest, *at)?),
        Record::Remembered { piece, memory } => Ok(remember(view, piece, memory.as_ref())?),
        Record::Audit(entry) => Ok(audit::append(view, &mut counters.audit, entry)?),
    }
}

fn accept(view: &mut View<'_>, counters: &mut Counters, command: &Command) -> Result<(), ApplyError> {
    let key = command.id.as_str().as_bytes();
    if view.get(Table::Inbox, key)?.is_some() || view.get(Table::Finals, key)?.is_some() {
        return Err(ApplyError::AlreadyKnown(command.id.clone()));
    }
    let entry = InboxEntry { number: counters.take_number(), command: command.clone(), turns: Vec::new() };
    put_json(view, Table::Inbox, key, &entry)?;
    if let Some(correlation) = source_key(&command.source) {
        view.put(Table::Correlations, &correlation, key)?;
    }
    Ok(())
}

fn begin(view: &mut View<'_>, counters: &mut Counters, command: &CommandId, turn: TurnId) -> Result<(), TableError> {
    counters.next_turn = counters.next_turn.max(turn.0.saturating_add(1));
    let key = command.as_str().as_bytes();
    let Some(mut entry) = get_json::<InboxEntry>(view, Table::Inbox, key)? else {
        tracing::warn!(%command, %turn, "a turn began for a command that is not in the inbox");
        return Ok(());
    };
    entry.turns.push(turn);
    put_json(view, Table::Inbox, key, &entry)?;
    view.put(Table::Turns, &turn.0.to_be_bytes(), key)
}

fn step(view: &mut View<'_>, counters: &mut Counters, command: &CommandId, record: &Record) -> Result<(), TableError> {
    let Some(entry) = get_json::<InboxEntry>(view, Table::Inbox, command.as_str().as_bytes())? else {
        tracing::warn!(%command, "a step of a command that is not in the inbox was not kept");
        return Ok(());
    };
    put_json(view, Table::Steps, &pair_key(entry.number, counters.take_number()), record)
}

fn sent(view: &mut View<'_>, counters: &mut Counters, call: CallId, record: &Record) -> Result<(), TableError> {
    match view.get(Table::Turns, &call.turn.0.to_be_bytes())? {
        Some(command) => step(view, counters, &decode_id(Table::Turns, &command)?, record),
        // The command has ended meanwhile, and its result says "unknown" for this action.
        None => Ok(()),
    }
}

/// A receipt of an unfinished command is one of its steps; one that comes late is kept like those of finished commands.
fn receive(
    view: &mut View<'_>,
    counters: &mut Counters,
    command: &CommandId,
    receipt: &Receipt,
    record: &Record,
    now: UnixMs,
) -> Result<(), TableError> {
    if view.get(Table::Inbox, command.as_str().as_bytes())?.is_some() {
        return step(view, counters, command, record);
    }
    keep_receipt(view, counters, receipt, now)
}

fn keep_receipt(
    view: &mut View<'_>,
    counters: &mut Counters,
    receipt: &Receipt,
    now: UnixMs,
) -> Result<(), TableError> {
    let key = pair_key(receipt.id.turn.0, receipt.id.index.into());
    if view.get(Table::Receipts, &key)?.is_none() {
        counters.receipts += 1;
    }
    put_json(view, Table::Receipts, &key, &ReceiptEntry { at: now, receipt: receipt.clone() })
}

fn finish(
    view: &mut View<'_>,
    counters: &mut Counters,
    result: &CommandResult,
    source: &Source,
    now: UnixMs,
) -> Result<(), ApplyError> {
    let key = result.id.as_str().as_bytes();
    if view.get(Table::Finals, key)?.is_some() {
        return Err(ApplyError::AlreadyKnown(result.id.clone()));
    }
    let turns = close(view, counters, &result.id, now)?;
    let payload = encode(Table::Finals, result)?;
    let number = counters.take_number();
    let kept = StoredFinal { number, at: now, source: source.clone(), turns, result: result.clone(), payload };
    view.put(Table::Finals, key, &kept.encode()?)?;
    let number = number.to_be_bytes();
    view.put(Table::FinalOrder, &number, key)?;
    view.put(Table::Untold, &number, key)?;
    if let Some(correlation) = source_key(source) {
        view.put(Table::Correlations, &correlation, key)?;
    }
    counters.finals += 1;
    Ok(())
}

/// Takes a command out of the inbox, its receipts into their own table, and returns its turns.
fn close(
    view: &mut View<'_>,
    counters: &mut Counters,
    command: &CommandId,
    now: UnixMs,
) -> Result<Vec<TurnId>, TableError> {
    let key = command.as_str().as_bytes();
    let Some(entry) = get_json::<InboxEntry>(view, Table::Inbox, key)? else { return Ok(Vec::new()) };
    for (step, value) in view.scan(Table::Steps, &entry.number.to_be_bytes(), None, EVERYTHING)? {
        match decode(Table::Steps, &value)? {
            Record::Receipt { receipt, .. } => keep_receipt(view, counters, &receipt, now)?,
            Record::Accepted { .. }
            | Record::Began { .. }
            | Record::Calling { .. }
            | Record::Sending { .. }
            | Record::Sent { .. }
            | Record::Final { .. }
            | Record::Told { .. }
            | Record::Conversation { .. }
            | Record::Remembered { .. }
            | Record::Audit(_) => {}
        }
        view.remove(Table::Steps, &step)?;
    }
    for turn in &entry.turns {
        view.remove(Table::Turns, &turn.0.to_be_bytes())?;
    }
    view.remove(Table::Inbox, key)?;
    Ok(entry.turns)
}

fn told(view: &mut View<'_>, command: &CommandId) -> Result<(), TableError> {
    match StoredFinal::load(view, command)? {
        Some(kept) => view.remove(Table::Untold, &kept.number.to_be_bytes()),
        None => Ok(()),
    }
}

fn converse(
    view: &mut View<'_>,
    counters: &mut Counters,
    id: &ConversationId,
    messages: &[Message],
    lowest: Trust,
    at: UnixMs,
) -> Result<(), TableError> {
    let key = id.as_str().as_bytes();
    match get_json::<ConversationEntry>(view, Table::Conversations, key)? {
        Some(old) => view.remove(Table::ConversationOrder, &old.number.to_be_bytes())?,
        None => counters.conversations += 1,
    }
    let entry =
        ConversationEntry { number: counters.take_number(), at, messages: messages.to_vec(), lowest: Some(lowest) };
    put_json(view, Table::Conversations, key, &entry)?;
    view.put(Table::ConversationOrder, &entry.number.to_be_bytes(), key)
}

fn remember(view: &mut View<'_>, piece: &str, memory: Option<&Value>) -> Result<(), TableError> {
    match memory {
        Some(memory) => put_json(view, Table::Rules, piece.as_bytes(), memory),
        None => view.remove(Table::Rules, piece.as_bytes()),
    }
}
