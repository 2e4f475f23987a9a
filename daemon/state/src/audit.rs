//! The audit log: numbered lines, each holding its entry and bound to the line before it by a hash.
//!
//! A stored line is the 32 bytes of `sha256(hash of the line before ‖ json)` followed by `json`, the entry with its
//! number as JSON with sorted keys and no blanks. The chain shows what was changed, cut out or cut off by anyone who did
//! not write the whole log anew; against that, keep a copy of the newest hash elsewhere.

use crate::entries::{ChainEnds, Counters, decode};
use crate::tables::{Table, TableError, View};
use hob_events::{AuditEntry, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Lines that [`verify`] holds in memory at a time.
const LINES_AT_ONCE: usize = 256;

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Counted from 1, without gaps.
    pub seq: u64,
    /// What it tells.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The chain up to this line, in hex.
    #[serde(default)]
    pub hash: String,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// Its number is missing.
    #[error("it is gone")]
    Missing,
    /// Its hash is not that of its text and the line before it.
    #[error("its hash does not fit its text and the line before it")]
    Hash,
    /// There are lines behind the newest known one.
    #[error("it is not part of the log")]
    Extra,
    /// The newest line is not the one that was written last.
    #[error("it is not the line that was written last")]
    Head,
}

/// Why the audit log cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyAuditError {
    /// The first line that does not fit.
    #[error("line {line} of the audit log is broken: {fault}")]
    Broken {
        /// Its number.
        line: u64,
        /// What is wrong with it.
        fault: AuditFault,
    },
    /// The log could not be read.
    #[error("the audit log cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl From<TableError> for VerifyAuditError {
    fn from(error: TableError) -> Self {
        Self::Unreadable { reason: error.to_string() }
    }
}

/// Appends an entry.
pub(crate) fn append(view: &mut View<'_>, ends: &mut ChainEnds, entry: &AuditEntry) -> Result<(), TableError> {
    let json = canonical(ends.next, entry)?;
    let hash = chained(&from_hex(&ends.head)?, &json);
    view.put(Table::Audit, &ends.next.to_be_bytes(), &[hash.as_slice(), &json].concat())?;
    ends.next += 1;
    ends.head = to_hex(&hash);
    Ok(())
}

/// Drops up to `at_most` of the oldest lines above `count`; the hash of the last one dropped stays as the beginning.
pub(crate) fn drop_oldest(
    view: &mut View<'_>,
    ends: &mut ChainEnds,
    count: u64,
    older_than: Option<UnixMs>,
    at_most: usize,
) -> Result<(), TableError> {
    for _ in 0..at_most {
        let key = ends.first.to_be_bytes();
        let Some(value) = view.get(Table::Audit, &key)? else { return Ok(()) };
        let (hash, json) = split(&value)?;
        let too_many = ends.next - ends.first > count;
        let too_old = match older_than {
            Some(limit) => decode::<AuditLine>(Table::Audit, json)?.entry.at < limit,
            None => false,
        };
        // The newest line always stays: without it the log would not show that it was written at all.
        if !(too_many || too_old) || ends.first + 1 == ends.next {
            return Ok(());
        }
        ends.before_first = to_hex(hash);
        ends.first += 1;
        view.remove(Table::Audit, &key)?;
    }
    Ok(())
}

/// Lines behind number `after`, at most `limit`.
pub(crate) fn lines(view: &View<'_>, after: u64, limit: usize) -> Result<Vec<AuditLine>, TableError> {
    let found = view.scan(Table::Audit, b"", Some(&after.to_be_bytes()), limit)?;
    let line = |(_, value): (Vec<u8>, Vec<u8>)| {
        let (hash, json) = split(&value)?;
        let line: AuditLine = decode(Table::Audit, json)?;
        Ok(AuditLine { hash: to_hex(hash), ..line })
    };
    found.into_iter().map(line).collect()
}

/// Checks every line that is kept. Returns how many there are.
pub(crate) fn verify(view: &View<'_>) -> Result<u64, VerifyAuditError> {
    let ends = Counters::load(view)?.audit;
    let mut before = from_hex(&ends.before_first)?;
    let mut wanted = ends.first;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let part = view.scan(Table::Audit, b"", after.as_deref(), LINES_AT_ONCE)?;
        let Some((last, _)) = part.last() else { break };
        after = Some(last.clone());
        for (key, value) in part {
            if wanted == ends.next || key.as_slice() < wanted.to_be_bytes().as_slice() {
                let line = key.try_into().map_or(0, u64::from_be_bytes);
                return Err(VerifyAuditError::Broken { line, fault: AuditFault::Extra });
            }
            before = check_line(wanted, &before, &key, &value)?;
            wanted += 1;
        }
    }
    if wanted != ends.next {
        return Err(VerifyAuditError::Broken { line: wanted, fault: AuditFault::Missing });
    }
    if to_hex(&before) != ends.head {
        return Err(VerifyAuditError::Broken { line: wanted.saturating_sub(1), fault: AuditFault::Head });
    }
    Ok(ends.next - ends.first)
}

fn check_line(wanted: u64, before: &[u8; 32], key: &[u8], value: &[u8]) -> Result<[u8; 32], VerifyAuditError> {
    let broken = |fault| Err(VerifyAuditError::Broken { line: wanted, fault });
    if key != wanted.to_be_bytes() {
        return broken(AuditFault::Missing);
    }
    let Some((hash, json)) = value.split_first_chunk::<32>() else { return broken(AuditFault::Hash) };
    // The number is part of the text, so a line moved to another place is found as well.
    let numbered = decode::<AuditLine>(Table::Audit, json).is_ok_and(|line| line.seq == wanted);
    if chained(before, json) != *hash || !numbered {
        return broken(AuditFault::Hash);
    }
    Ok(*hash)
}

fn chained(before: &[u8; 32], json: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update(json);
    digest.finalize().into()
}

fn canonical(seq: u64, entry: &AuditEntry) -> Result<Vec<u8>, TableError> {
    let mut value = serde_json::to_value(entry).map_err(|error| TableError::damaged(Table::Audit, error))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("seq".to_owned(), seq.into());
    }
    serde_json::to_vec(&sorted(value)).map_err(|error| TableError::damaged(Table::Audit, error))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(fields.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn split(value: &[u8]) -> Result<(&[u8; 32], &[u8]), TableError> {
    value.split_first_chunk().ok_or_else(|| TableError::damaged(Table::Audit, "a line is shorter than a hash"))
}

fn to_hex(hash: &[u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn from_hex(text: &str) -> Result<[u8; 32], TableError> {
    let damaged = || TableError::damaged(Table::Meta, "a hash of the audit chain is no hash");
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)?.try_into().ok()).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect();
    if text.len() != 64 {
        return Err(damaged());
    }
    bytes.try_into().map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Tables;
    use hob_events::AuditKind;

    fn entry(change: &str) -> AuditEntry {
        AuditEntry { at: UnixMs(7), kind: AuditKind::Owner { change: change.into() } }
    }

    fn written() -> Tables {
        let tables = Tables::new(sled::Config::new().temporary(true).open().unwrap().open_tree("t").unwrap());
        let mut view = tables.stage();
        let mut counters = Counters::default();
        for change in ["granted mqtt.publish", "installed lists", "a third thing"] {
            append(&mut view, &mut counters.audit, &entry(change)).unwrap();
        }
        counters.store(&mut view).unwrap();
        tables.apply(view.into_changes()).unwrap();
        tables
    }

    fn broken(view: &View<'_>) -> Option<(u64, AuditFault)> {
        match verify(view) {
            Ok(_) => None,
            Err(VerifyAuditError::Broken { line, fault }) => Some((line, fault)),
            Err(error @ VerifyAuditError::Unreadable { .. }) => panic!("{error}"),
        }
    }

    #[test]
    fn a_line_is_its_hash_and_its_text_with_sorted_keys() {
        let tables = written();
        let line = tables.read().get(Table::Audit, &2_u64.to_be_bytes()).unwrap().unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&line[32..]), @r#"{"at":7,"change":"installed lists","seq":2,"what":"owner"}"#);
        let lines = lines(&tables.read(), 1, 9).unwrap();
        assert_eq!(lines[0].entry, entry("installed lists"));
        assert_eq!(lines[0].hash, to_hex(line.first_chunk().unwrap()));
        assert_eq!(verify(&tables.read()), Ok(3));
    }

    #[test]
    fn a_change_of_any_byte_of_any_line_is_found_at_that_line() {
        let tables = written();
        for line in 1..=3_u64 {
            let stored = tables.read().get(Table::Audit, &line.to_be_bytes()).unwrap().unwrap();
            for at in 0..stored.len() {
                let mut changed = stored.clone();
                changed[at] ^= 1;
                let mut view = tables.stage();
                view.put(Table::Audit, &line.to_be_bytes(), &changed).unwrap();
                assert_eq!(broken(&view), Some((line, AuditFault::Hash)), "byte {at}");
            }
        }
    }

    #[test]
    fn a_line_that_is_gone_moved_or_added_is_found() {
        let tables = written();
        let change = |change: &dyn Fn(&mut View<'_>)| {
            let mut view = tables.stage();
            change(&mut view);
            broken(&view)
        };
        let key = |line: u64| line.to_be_bytes();
        let remove = |line| change(&|view| view.remove(Table::Audit, &key(line)).unwrap());
        assert_eq!(remove(1), Some((1, AuditFault::Missing)));
        assert_eq!(remove(2), Some((2, AuditFault::Missing)));
        assert_eq!(remove(3), Some((3, AuditFault::Missing)));
        let copy = |from, to| {
            let line = tables.read().get(Table::Audit, &key(from)).unwrap().unwrap();
            change(&|view| view.put(Table::Audit, &key(to), &line).unwrap())
        };
        assert_eq!(copy(1, 2), Some((2, AuditFault::Hash)));
        assert_eq!(copy(3, 4), Some((4, AuditFault::Extra)));
        assert_eq!(copy(1, 0), Some((0, AuditFault::Extra)));
    }

    #[test]
    fn what_was_dropped_leaves_the_chain_whole() {
        let tables = written();
        let mut view = tables.stage();
        let mut counters = Counters::load(&view).unwrap();
        drop_oldest(&mut view, &mut counters.audit, 2, None, 9).unwrap();
        counters.store(&mut view).unwrap();
        assert_eq!(verify(&view), Ok(2));
        drop_oldest(&mut view, &mut counters.audit, 0, Some(UnixMs(8)), 9).unwrap();
        counters.store(&mut view).unwrap();
        assert_eq!(verify(&view), Ok(1));
    }
}
