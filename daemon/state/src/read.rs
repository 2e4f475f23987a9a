//! What is asked of the store.

use crate::apply::EVERYTHING;
use crate::audit::{self, AuditLine, VerifyAuditError};
use crate::disk::Disk;
use crate::entries::{
    ConversationEntry, Counters, InboxEntry, ReceiptEntry, StoredFinal, correlation_key, decode, decode_id, get_json,
};
use crate::kv::{self, KvUsage};
use crate::limits::StateLimits;
use crate::tables::{Table, TableError, Tables, View};
use hob_events::{
    CallId, Command, CommandId, ConversationId, Delivery, DeviceAction, MediumId, Message, PluginName, Receipt, Record,
    Trust, TurnId, Unfinished, UnfinishedCall, UnixMs,
};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// The state of one hob, open and locked to this process. Cheap to clone, readable from any thread.
///
/// A read may see a commit a moment before it is durable; what must not happen before that goes through
/// [`StateWriter`](crate::StateWriter) and waits for its answer. Reads may wait for the disk.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tables: Tables,
    pub(crate) disk: Disk,
    pub(crate) limits: StateLimits,
    pub(crate) clock: fn() -> UnixMs,
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read: {reason}; restart hob, which sets damaged files aside")]
pub struct ReadStateError {
    /// What was found.
    pub reason: String,
}

impl From<TableError> for ReadStateError {
    fn from(error: TableError) -> Self {
        Self { reason: error.to_string() }
    }
}

/// A conversation as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredConversation {
    /// Which one.
    pub id: ConversationId,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
    /// The least that anything in it was believed; nothing where that was not written down yet.
    pub lowest: Option<Trust>,
    /// When it last grew.
    pub at: UnixMs,
}

/// A receipt of a finished command.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReceipt {
    /// When it was stored.
    pub at: UnixMs,
    /// The receipt.
    pub receipt: Receipt,
}

impl Store {
    /// The number of the next turn: higher than any that was ever written.
    ///
    /// # Errors
    /// [`ReadStateError`], here and below, when the database does not answer or an entry is damaged.
    pub fn next_turn(&self) -> Result<TurnId, ReadStateError> {
        Ok(TurnId(Counters::load(&self.view())?.next_turn))
    }

    /// Commands without a final result, in the order in which they were accepted.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, ReadStateError> {
        Ok(unfinished(&self.view())?)
    }

    /// The command of that id, when it has no final result yet.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn unfinished_command(&self, id: &CommandId) -> Result<Option<Command>, ReadStateError> {
        let entry: Option<InboxEntry> = get_json(&self.view(), Table::Inbox, id.as_str().as_bytes())?;
        Ok(entry.map(|entry| entry.command))
    }

    /// The final result of a command.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn final_of(&self, id: &CommandId) -> Result<Option<StoredFinal>, ReadStateError> {
        Ok(StoredFinal::load(&self.view(), id)?)
    }

    /// The command, finished or not, that came with this correlation data from whoever listens on that response topic.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn correlated(
        &self,
        response_topic: Option<&str>,
        correlation: &[u8],
    ) -> Result<Option<CommandId>, ReadStateError> {
        let key = correlation_key(response_topic, correlation);
        let found = self.view().get(Table::Correlations, &key)?;
        Ok(found.map(|id| decode_id(Table::Correlations, &id)).transpose()?)
    }

    /// The newest known command whose name is `beginning` and then `-<unix ms>-<number>`, as the driver names commands
    /// that came without a name.
    ///
    /// # Errors
    /// [`ReadStateError`] when a table cannot be read.
    pub fn latest_named(&self, beginning: &str) -> Result<Option<CommandId>, ReadStateError> {
        let view = self.view();
        let prefix = format!("{beginning}-");
        let mut names = Vec::new();
        for table in [Table::Inbox, Table::Finals] {
            names.extend(view.scan(table, prefix.as_bytes(), None, EVERYTHING)?.into_iter().map(|(name, _)| name));
        }
        let newest = names.into_iter().max();
        Ok(newest.map(|name| decode_id(Table::Finals, &name)).transpose()?)
    }

    /// Final results of which nobody was told yet, oldest first.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn untold(&self) -> Result<Vec<StoredFinal>, ReadStateError> {
        Ok(untold(&self.view())?)
    }

    /// Receipts that are kept of a turn of a finished command, in order.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn receipts_of(&self, turn: TurnId) -> Result<Vec<StoredReceipt>, ReadStateError> {
        let found = self.view().scan(Table::Receipts, &turn.0.to_be_bytes(), None, EVERYTHING)?;
        let receipt = |(_, value): (Vec<u8>, Vec<u8>)| {
            let ReceiptEntry { at, receipt } = decode(Table::Receipts, &value)?;
            Ok(StoredReceipt { at, receipt })
        };
        found.into_iter().map(receipt).collect()
    }

    /// Every conversation, the one that grew last at the end.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn conversations(&self) -> Result<Vec<StoredConversation>, ReadStateError> {
        let view = self.view();
        let mut found = Vec::new();
        for (_, id) in view.scan(Table::ConversationOrder, b"", None, EVERYTHING)? {
            let Some(entry) = get_json::<ConversationEntry>(&view, Table::Conversations, &id)? else { continue };
            let id = String::from_utf8_lossy(&id).into_owned();
            let id = ConversationId::new(id).map_err(|error| TableError::damaged(Table::ConversationOrder, error))?;
            found.push(StoredConversation { id, messages: entry.messages, lowest: entry.lowest, at: entry.at });
        }
        Ok(found)
    }

    /// What the rules remember, piece by piece.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn remembered(&self) -> Result<Vec<(String, Value)>, ReadStateError> {
        let found = self.view().scan(Table::Rules, b"", None, EVERYTHING)?;
        let piece = |(name, value): (Vec<u8>, Vec<u8>)| {
            let name = String::from_utf8_lossy(&name).into_owned();
            // A rule that has forgotten is better than a hob that does not start.
            let memory = decode(Table::Rules, &value)
                .inspect_err(|error| tracing::warn!(rule = name, %error, "what a rule remembered cannot be read"));
            Some((name, memory.ok()?))
        };
        Ok(found.into_iter().filter_map(piece).collect())
    }

    /// The media that commands on their way and conversations name.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn needed_media(&self) -> Result<HashSet<MediumId>, ReadStateError> {
        let commands = self.unfinished()?.into_iter().flat_map(|unfinished| unfinished.command.media);
        let messages = self.conversations()?.into_iter().flat_map(|conversation| conversation.messages);
        let spoken = messages.flat_map(|message| message.media().to_vec());
        Ok(commands.chain(spoken).flat_map(|medium| medium.shelved().collect::<Vec<_>>()).collect())
    }

    /// The value of a key of a plugin's store.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn kv_get(&self, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, ReadStateError> {
        Ok(kv::get(&self.view(), plugin, key)?)
    }

    /// Up to `limit` pairs of a plugin's store whose keys begin with `prefix`, in order of the keys' bytes; only those
    /// behind `after`, when it is given.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn kv_scan(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, ReadStateError> {
        Ok(kv::scan(&self.view(), plugin, prefix, after, limit)?)
    }

    /// What a plugin's store holds.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn kv_usage(&self, plugin: &PluginName) -> Result<KvUsage, ReadStateError> {
        Ok(kv::usage(&self.view(), plugin)?)
    }

    /// The newest `count` lines of the audit log, oldest first.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn audit_tail(&self, count: usize) -> Result<Vec<AuditLine>, ReadStateError> {
        let view = self.view();
        let next = Counters::load(&view)?.audit.next;
        let after = next.saturating_sub(1).saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(audit::lines(&view, after, count)?)
    }

    /// Up to `limit` lines of the audit log behind number `after`; 0 begins with the oldest that is kept.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadStateError> {
        Ok(audit::lines(&self.view(), after, limit)?)
    }

    /// Checks the chain over every line that is kept, and returns how many there are. Holds up commits meanwhile.
    ///
    /// # Errors
    /// [`VerifyAuditError`], naming the first line that is broken.
    pub fn verify_audit(&self) -> Result<u64, VerifyAuditError> {
        audit::verify(&self.view())
    }

    /// Bytes the database takes on disk.
    ///
    /// # Errors
    /// See [`next_turn`](Self::next_turn).
    pub fn bytes_on_disk(&self) -> Result<u64, ReadStateError> {
        Ok(self.shared.disk.used_bytes().map_err(TableError::from)?)
    }

    fn view(&self) -> View<'_> {
        self.shared.tables.read()
    }
}

impl Shared {
    /// Reads what a start depends on, so that damage there is found while the folder can still be set aside.
    pub(crate) fn check_start(&self) -> Result<(), TableError> {
        let view = self.tables.read();
        Counters::load(&view)?;
        unfinished(&view)?;
        untold(&view)?;
        Ok(())
    }
}

fn untold(view: &View<'_>) -> Result<Vec<StoredFinal>, TableError> {
    let mut found = Vec::new();
    for (_, id) in view.scan(Table::Untold, b"", None, EVERYTHING)? {
        found.extend(StoredFinal::load(view, &decode_id(Table::Untold, &id)?)?);
    }
    Ok(found)
}

fn unfinished(view: &View<'_>) -> Result<Vec<Unfinished>, TableError> {
    let mut entries = Vec::new();
    for (_, value) in view.scan(Table::Inbox, b"", None, EVERYTHING)? {
        entries.push(decode::<InboxEntry>(Table::Inbox, &value)?);
    }
    entries.sort_by_key(|entry| entry.number);
    let mut found = Vec::new();
    for InboxEntry { number, command, turns } in entries {
        let mut calls = Vec::new();
        for (_, value) in view.scan(Table::Steps, &number.to_be_bytes(), None, EVERYTHING)? {
            add_step(&mut calls, decode(Table::Steps, &value)?);
        }
        found.push(Unfinished { command, turn: turns.last().copied(), begun: turns.len(), calls });
    }
    Ok(found)
}

fn add_step(calls: &mut Vec<UnfinishedCall>, step: Record) {
    match step {
        Record::Calling { call, tool, args, idempotent, .. } => {
            calls.push(UnfinishedCall { id: call, tool, args, idempotent, receipt: None, actions: Vec::new() });
        }
        Record::Sending { call, device, change, .. } => {
            if let Some(open) = of_call(calls, call) {
                open.actions.push(DeviceAction { device, change, delivery: Delivery::Unknown, state: None });
            }
        }
        Record::Sent { call, action } => {
            let Some(open) = of_call(calls, call) else { return };
            let same = |known: &&mut DeviceAction| {
                known.delivery == Delivery::Unknown && known.device == action.device && known.change == action.change
            };
            match open.actions.iter_mut().find(same) {
                Some(known) => *known = action,
                None => open.actions.push(action),
            }
        }
        Record::Receipt { receipt, .. } => match of_call(calls, receipt.id) {
            Some(open) => open.receipt = Some(receipt),
            // A call without an effect is not announced; its receipt is all there is of it.
            None => calls.push(UnfinishedCall {
                id: receipt.id,
                tool: receipt.tool.clone(),
                args: receipt.args.clone(),
                idempotent: true,
                actions: receipt.actions.clone(),
                receipt: Some(receipt),
            }),
        },
        Record::Accepted { .. }
        | Record::Began { .. }
        | Record::Final { .. }
        | Record::Told { .. }
        | Record::Conversation { .. }
        | Record::Remembered { .. }
        | Record::Audit(_) => {}
    }
}

fn of_call(calls: &mut [UnfinishedCall], id: CallId) -> Option<&mut UnfinishedCall> {
    calls.iter_mut().find(|call| call.id == id)
}
