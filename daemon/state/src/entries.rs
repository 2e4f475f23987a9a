//! Entries as they lie in the tables, and how they are read and written.

use crate::tables::{Table, TableError, View};
use hob_events::{Command, CommandId, CommandResult, Message, Receipt, Source, Trust, TurnId, UnixMs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const COMMITS_KEY: &[u8] = b"commits";

/// Numbers that go on over restarts. Written with every commit that moves one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct Counters {
    /// For whatever needs an order of its own.
    pub(crate) next_number: u64,
    pub(crate) next_turn: u64,
    pub(crate) finals: u64,
    pub(crate) receipts: u64,
    pub(crate) conversations: u64,
    pub(crate) audit: ChainEnds,
}

/// Both ends of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainEnds {
    /// The oldest line that is kept.
    pub(crate) first: u64,
    /// The hash of the line before that, in hex.
    pub(crate) before_first: String,
    /// The number of the line to come.
    pub(crate) next: u64,
    /// The hash of the newest line, in hex.
    pub(crate) head: String,
}

impl Default for ChainEnds {
    fn default() -> Self {
        let nothing = "0".repeat(64);
        Self { first: 1, before_first: nothing.clone(), next: 1, head: nothing }
    }
}

impl Counters {
    const KEY: &[u8] = b"counters";

    pub(crate) fn load(view: &View<'_>) -> Result<Self, TableError> {
        let missing = || TableError::damaged(Table::Meta, "the counters are gone");
        get_json(view, Table::Meta, Self::KEY)?.ok_or_else(missing)
    }

    pub(crate) fn store(&self, view: &mut View<'_>) -> Result<(), TableError> {
        put_json(view, Table::Meta, Self::KEY, self)
    }

    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

/// How many commits were made, counting from the first of this folder.
pub(crate) fn commits(view: &View<'_>) -> Result<u64, TableError> {
    let value = view.get(Table::Meta, COMMITS_KEY)?.unwrap_or_else(|| vec![0; 8]);
    let damaged = |_| TableError::damaged(Table::Meta, "the number of commits is no number");
    value.try_into().map(u64::from_be_bytes).map_err(damaged)
}

/// Counts the commit that the view will become.
pub(crate) fn count_commit(view: &mut View<'_>) -> Result<(), TableError> {
    let commits = commits(view)?.saturating_add(1);
    view.put(Table::Meta, COMMITS_KEY, &commits.to_be_bytes())
}

/// An unfinished command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InboxEntry {
    pub(crate) number: u64,
    pub(crate) command: Command,
    /// Every turn that began for it; the last one counts.
    pub(crate) turns: Vec<TurnId>,
}

/// A final result, as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFinal {
    /// Its place among all results: a later one has a higher number.
    pub number: u64,
    /// When it was stored.
    pub at: UnixMs,
    /// Who is to be told.
    pub source: Source,
    /// The turns that led to it, oldest first.
    pub turns: Vec<TurnId>,
    /// The result.
    pub result: CommandResult,
    /// The result as JSON: what is published, byte for byte the same each time.
    pub payload: Vec<u8>,
}

/// What is stored before the payload, on a line of its own.
#[derive(Debug, Serialize, Deserialize)]
struct FinalHead {
    number: u64,
    at: UnixMs,
    source: Source,
    turns: Vec<TurnId>,
}

impl StoredFinal {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TableError> {
        let head =
            FinalHead { number: self.number, at: self.at, source: self.source.clone(), turns: self.turns.clone() };
        Ok([&encode(Table::Finals, &head)?, b"\n".as_slice(), &self.payload].concat())
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, TableError> {
        // JSON without layout has no line feed in it: the first one ends the head.
        let line = value.iter().position(|byte| *byte == b'\n');
        let no_line = || TableError::damaged(Table::Finals, "a final result has no head");
        let (head, payload) = value.split_at(line.ok_or_else(no_line)?);
        let payload = payload.get(1..).unwrap_or_default();
        let FinalHead { number, at, source, turns } = decode(Table::Finals, head)?;
        Ok(Self { number, at, source, turns, result: decode(Table::Finals, payload)?, payload: payload.to_vec() })
    }

    pub(crate) fn load(view: &View<'_>, id: &CommandId) -> Result<Option<Self>, TableError> {
        view.get(Table::Finals, id.as_str().as_bytes())?.map(|value| Self::decode(&value)).transpose()
    }
}

/// A receipt of a finished command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReceiptEntry {
    pub(crate) at: UnixMs,
    pub(crate) receipt: Receipt,
}

/// A conversation as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConversationEntry {
    pub(crate) number: u64,
    pub(crate) at: UnixMs,
    pub(crate) messages: Vec<Message>,
    /// Nothing in entries of before it was written down.
    #[serde(default)]
    pub(crate) lowest: Option<Trust>,
}

/// The key under which a command is known by its correlation data. Senders number their requests alike, so the response
/// topic, which is the sender's own, is part of the key.
pub(crate) fn correlation_key(response_topic: Option<&str>, correlation: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(response_topic.unwrap_or_default().as_bytes());
    // A topic never holds a zero byte.
    digest.update([0]);
    digest.update(correlation);
    digest.finalize().into()
}

/// The correlation key of a source that has one.
pub(crate) fn source_key(source: &Source) -> Option<[u8; 32]> {
    match source {
        Source::Mqtt { response_topic, correlation: Some(correlation) } => {
            Some(correlation_key(response_topic.as_deref(), correlation))
        }
        Source::Mqtt { correlation: None, .. }
        | Source::Socket { .. }
        | Source::Rule { .. }
        | Source::Microphone { .. } => None,
    }
}

/// Two numbers as a key whose order is theirs.
pub(crate) fn pair_key(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

pub(crate) fn encode<T: Serialize>(table: Table, entry: &T) -> Result<Vec<u8>, TableError> {
    serde_json::to_vec(entry).map_err(|error| TableError::damaged(table, error))
}

pub(crate) fn decode<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, TableError> {
    serde_json::from_slice(value).map_err(|error| TableError::damaged(table, error))
}

pub(crate) fn decode_id(table: Table, value: &[u8]) -> Result<CommandId, TableError> {
    let text = String::from_utf8(value.to_vec()).map_err(|error| TableError::damaged(table, error))?;
    CommandId::new(text).map_err(|error| TableError::damaged(table, error))
}

pub(crate) fn get_json<T: DeserializeOwned>(
    view: &View<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, TableError> {
    view.get(table, key)?.map(|value| decode(table, &value)).transpose()
}

pub(crate) fn put_json<T: Serialize>(
    view: &mut View<'_>,
    table: Table,
    key: &[u8],
    entry: &T,
) -> Result<(), TableError> {
    view.put(table, key, &encode(table, entry)?)
}
