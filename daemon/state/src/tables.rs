//! Tables inside one database tree, and views of them with changes that are not applied yet.
//!
//! Everything lies in one sled tree, each table under a prefix of one byte. A sled 0.34 batch on one tree is recovered
//! whole or not at all: it is written under one log reservation that names its last position, and recovery stops before
//! a batch whose end is missing. Transactions over several trees rest on the same reservation, but read every old value
//! back first and can be retried half-way; one tree and one batch give the same promise with less machinery.
//!
//! A value longer than [`CHUNK_BYTES`] is cut up. Sled rewrites whole nodes of up to some 20 pairs, and moves a node
//! above 128 KiB into a file of its own that it neither syncs nor misses when it is gone. Pairs of 4 KiB keep every node
//! below that.

use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Bytes of a value in one database pair.
const CHUNK_BYTES: usize = 4096;

/// Bytes a value may have in all. A conversation of eight turns has some 50 kB.
pub(crate) const VALUE_BYTES: usize = 4 * 1024 * 1024;

/// What is kept. The letter is part of the format on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// `format` and `counters`.
    Meta,
    /// Command id → the command, its number, its turns.
    Inbox,
    /// Inbox number, step number → one record of an unfinished command.
    Steps,
    /// Turn → command id, while the command is unfinished.
    Turns,
    /// Command id → its final result.
    Finals,
    /// Number → command id, oldest first.
    FinalOrder,
    /// Number → command id of finals of which nobody was told yet.
    Untold,
    /// Digest of response topic and correlation data → command id.
    Correlations,
    /// Turn, index → receipt of a finished command.
    Receipts,
    /// Conversation id → its messages.
    Conversations,
    /// Number → conversation id, the one that grew last at the end.
    ConversationOrder,
    /// Name of a rule → what it remembers.
    Rules,
    /// Sequence number → line of the audit log.
    Audit,
    /// Plugin, zero byte, key → value.
    Kv,
    /// Plugin → what its store holds.
    KvUsage,
    /// The later chunks of long values of the other tables.
    Rest,
}

impl Table {
    const fn letter(self) -> u8 {
        match self {
            Self::Meta => b'm',
            Self::Inbox => b'i',
            Self::Steps => b's',
            Self::Turns => b't',
            Self::Finals => b'f',
            Self::FinalOrder => b'o',
            Self::Untold => b'u',
            Self::Correlations => b'c',
            Self::Receipts => b'r',
            Self::Conversations => b'v',
            Self::ConversationOrder => b'w',
            Self::Rules => b'l',
            Self::Audit => b'a',
            Self::Kv => b'k',
            Self::KvUsage => b'q',
            Self::Rest => b'x',
        }
    }

    fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self.letter()], key].concat()
    }

    fn rest_key(self, key: &[u8], chunk: u16) -> Vec<u8> {
        [&[Self::Rest.letter(), self.letter()], key, &chunk.to_be_bytes()].concat()
    }
}

/// Why a table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    #[error("the database does not answer: {0}")]
    Database(String),
    #[error("an entry of the {table:?} table is damaged: {reason}")]
    Damaged { table: Table, reason: String },
    #[error("an entry for the {table:?} table has {bytes} bytes and {VALUE_BYTES} are allowed")]
    TooLarge { table: Table, bytes: usize },
}

impl From<sled::Error> for TableError {
    fn from(error: sled::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl TableError {
    pub(crate) fn damaged(table: Table, reason: impl ToString) -> Self {
        Self::Damaged { table, reason: reason.to_string() }
    }
}

/// A key of a table and its whole value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// A pair as it lies in the database.
type Pair = (Vec<u8>, IVec);

/// The tables of an open database.
#[derive(Debug)]
pub(crate) struct Tables {
    tree: sled::Tree,
    // Sled lets a scan see half of a batch. Whoever reads holds this, whoever applies waits for it.
    applying: RwLock<()>,
}

impl Tables {
    pub(crate) fn new(tree: sled::Tree) -> Self {
        Self { tree, applying: RwLock::new(()) }
    }

    /// A view for reading: no change is applied while it lives.
    pub(crate) fn read(&self) -> View<'_> {
        let reading = self.applying.read().unwrap_or_else(PoisonError::into_inner);
        View { tree: &self.tree, changes: BTreeMap::new(), _reading: Some(reading) }
    }

    /// A view for the one writer, which collects changes.
    pub(crate) fn stage(&self) -> View<'_> {
        View { tree: &self.tree, changes: BTreeMap::new(), _reading: None }
    }

    /// Applies what a view collected, all or nothing. Not durable until the disk was synced.
    pub(crate) fn apply(&self, changes: Changes) -> Result<(), TableError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let _applying = self.applying.write().unwrap_or_else(PoisonError::into_inner);
        Ok(self.tree.apply_batch(batch)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }
}

/// Changes that were collected and not applied: database key → value, or none to remove it.
#[derive(Debug)]
pub(crate) struct Changes(BTreeMap<Vec<u8>, Option<IVec>>);

/// The tables as they would be with the collected changes.
#[derive(Debug)]
pub(crate) struct View<'a> {
    tree: &'a sled::Tree,
    changes: BTreeMap<Vec<u8>, Option<IVec>>,
    _reading: Option<RwLockReadGuard<'a, ()>>,
}

impl View<'_> {
    pub(crate) fn into_changes(self) -> Changes {
        Changes(self.changes)
    }

    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match self.pair(&table.key(key))? {
            Some(first) => self.assemble(table, key, &first).map(Some),
            None => Ok(None),
        }
    }

    /// Sets a key.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        if value.len() > VALUE_BYTES {
            return Err(TableError::TooLarge { table, bytes: value.len() });
        }
        self.remove(table, key)?;
        let (first, rest) = value.split_at(value.len().min(CHUNK_BYTES));
        let mut chunks: u16 = 0;
        for part in rest.chunks(CHUNK_BYTES) {
            self.changes.insert(table.rest_key(key, chunks), Some(IVec::from(part)));
            chunks += 1;
        }
        let first = [&chunks.to_be_bytes(), first].concat();
        self.changes.insert(table.key(key), Some(IVec::from(first)));
        Ok(())
    }

    /// Forgets a key, which need not exist.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), TableError> {
        let first_key = table.key(key);
        let Some(first) = self.pair(&first_key)? else { return Ok(()) };
        let (chunks, _) = split_first(table, &first)?;
        for chunk in 0..chunks {
            self.changes.insert(table.rest_key(key, chunk), None);
        }
        self.changes.insert(first_key, None);
        Ok(())
    }

    /// Up to `limit` entries whose keys begin with `prefix`, in order; only those behind `after`, when it is given.
    pub(crate) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, TableError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(table.key(after)),
            Some(_) | None => Bound::Included(table.key(prefix)),
        };
        let pairs = self.pairs(from, &table.key(prefix), limit)?;
        let entry = |(key, first): Pair| {
            let key = key.get(1..).unwrap_or_default().to_vec();
            let value = self.assemble(table, &key, &first)?;
            Ok((key, value))
        };
        pairs.into_iter().map(entry).collect()
    }

    fn pair(&self, key: &[u8]) -> Result<Option<IVec>, TableError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.tree.get(key)?),
        }
    }

    /// Pairs of the database and of the changes, merged in order; a change wins.
    fn pairs(&self, from: Bound<Vec<u8>>, prefix: &[u8], limit: usize) -> Result<Vec<Pair>, TableError> {
        let inside = |key: &[u8]| key.starts_with(prefix);
        let mut stored = self.tree.range((from.clone(), Bound::Unbounded)).peekable();
        let mut changed = self.changes.range((from, Bound::Unbounded)).take_while(|(key, _)| inside(key)).peekable();
        let mut found = Vec::new();
        while found.len() < limit {
            let stored_key = match stored.peek() {
                Some(Ok((key, _))) if inside(key) => Some(key.clone()),
                Some(Ok(_)) | None => None,
                Some(Err(error)) => return Err(error.clone().into()),
            };
            let changed_key = changed.peek().map(|(key, _)| *key);
            match (stored_key, changed_key) {
                (None, None) => break,
                (Some(stored_key), changed_key)
                    if changed_key.is_none_or(|key| stored_key.as_ref() < key.as_slice()) =>
                {
                    if let Some(pair) = stored.next().transpose()? {
                        found.push((pair.0.to_vec(), pair.1));
                    }
                }
                (stored_key, _) => {
                    let Some((key, value)) = changed.next() else { break };
                    if stored_key.is_some_and(|stored_key| stored_key == *key) {
                        stored.next().transpose()?;
                    }
                    if let Some(value) = value {
                        found.push((key.clone(), value.clone()));
                    }
                }
            }
        }
        Ok(found)
    }

    fn assemble(&self, table: Table, key: &[u8], first: &IVec) -> Result<Vec<u8>, TableError> {
        let (chunks, part) = split_first(table, first)?;
        let mut value = part.to_vec();
        for chunk in 0..chunks {
            let missing = || TableError::damaged(table, format!("part {chunk} of a value is gone"));
            value.extend_from_slice(&self.pair(&table.rest_key(key, chunk))?.ok_or_else(missing)?);
        }
        Ok(value)
    }
}

/// How many chunks follow, and the first one.
fn split_first(table: Table, first: &[u8]) -> Result<(u16, &[u8]), TableError> {
    match first.split_first_chunk() {
        Some((count, part)) => Ok((u16::from_be_bytes(*count), part)),
        None => Err(TableError::damaged(table, "a value is shorter than its head")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tables() -> Tables {
        Tables::new(sled::Config::new().temporary(true).open().unwrap().open_tree("t").unwrap())
    }

    #[test]
    fn a_long_value_comes_back_whole_and_leaves_nothing_behind() {
        let tables = tables();
        let long: Vec<u8> = (0..50_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut view = tables.stage();
        view.put(Table::Kv, b"a", &long).unwrap();
        view.put(Table::Kv, b"a\0\0", b"other").unwrap();
        assert_eq!(view.get(Table::Kv, b"a").unwrap().as_deref(), Some(long.as_slice()));
        tables.apply(view.into_changes()).unwrap();
        assert_eq!(tables.read().get(Table::Kv, b"a").unwrap(), Some(long));
        assert_eq!(tables.read().scan(Table::Kv, b"", None, 9).unwrap().len(), 2);
        let mut view = tables.stage();
        view.put(Table::Kv, b"a", b"short").unwrap();
        view.remove(Table::Kv, b"a\0\0").unwrap();
        tables.apply(view.into_changes()).unwrap();
        assert_eq!(tables.tree.len(), 1);
    }

    #[test]
    fn a_value_above_the_bound_is_refused() {
        let tables = tables();
        let refused = tables.stage().put(Table::Kv, b"a", &vec![0; VALUE_BYTES + 1]);
        assert!(matches!(refused, Err(TableError::TooLarge { .. })), "{refused:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn a_view_is_the_tables_with_its_changes(
            applied in prop::collection::btree_map("[ab]{1,3}", 0..9000_usize, 0..8),
            changed in prop::collection::vec(("[ab]{1,3}", prop::option::of(0..9000_usize)), 0..8),
            prefix in "[ab]{0,2}", after in prop::option::of("[ab]{1,3}"), limit in 0..9_usize,
        ) {
            let tables = tables();
            let mut view = tables.stage();
            for (key, length) in &applied {
                view.put(Table::Kv, key.as_bytes(), &vec![1; *length]).unwrap();
            }
            view.put(Table::Inbox, b"a", b"of another table").unwrap();
            tables.apply(view.into_changes()).unwrap();
            let mut model = applied;
            let mut view = tables.stage();
            for (key, value) in changed {
                match value {
                    Some(length) => {
                        view.put(Table::Kv, key.as_bytes(), &vec![1; length]).unwrap();
                        model.insert(key, length);
                    }
                    None => {
                        view.remove(Table::Kv, key.as_bytes()).unwrap();
                        model.remove(&key);
                    }
                }
            }
            let wanted: Vec<(String, usize)> = model.iter()
                .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
                .take(limit).map(|(key, length)| (key.clone(), *length)).collect();
            let scan = |view: &View<'_>| -> Vec<(String, usize)> {
                let found = view.scan(Table::Kv, prefix.as_bytes(), after.as_deref().map(str::as_bytes), limit).unwrap();
                found.into_iter().map(|(key, value)| (String::from_utf8(key).unwrap(), value.len())).collect()
            };
            prop_assert_eq!(&scan(&view), &wanted);
            tables.apply(view.into_changes()).unwrap();
            prop_assert_eq!(scan(&tables.read()), wanted);
        }
    }
}
