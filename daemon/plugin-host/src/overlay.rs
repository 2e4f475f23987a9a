//! The store of a plugin as one call sees it: its own writes over what is kept. Nothing leaves before the commit.

use crate::capability::KvBounds;
use crate::contract::Refusal;
use crate::io::{KvFailure, KvRange, KvWrite, PluginIo};
use crate::limits::{KEY_BYTES, SCAN_KEYS};
use hob_events::PluginName;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Different keys and ranges that one call may read: what was read is remembered until the commit.
const READS_PER_CALL: usize = 4_096;

/// What was there when the call looked, as a hash: enough to see at the commit whether another call changed it.
type Seen = [u8; 32];

/// The writes of one call, and what it saw before.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Nothing stands for a deleted key.
    writes: BTreeMap<String, Option<Vec<u8>>>,
    seen_keys: BTreeMap<String, Seen>,
    seen_ranges: Vec<(KvRange, Seen)>,
}

impl Overlay {
    /// The value as the call left it, else as it is kept.
    pub(crate) async fn get(
        &mut self,
        io: &dyn PluginIo,
        plugin: &PluginName,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        check_key(key)?;
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        self.check_reads()?;
        let kept = io.kv_get(plugin, key).await.map_err(refused)?;
        self.seen_keys.entry(key.to_owned()).or_insert_with(|| hash_of(kept.as_deref()));
        Ok(kept)
    }

    /// Sets a key for this call, and for good once it commits.
    pub(crate) fn put(&mut self, bounds: KvBounds, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        check_key(&key)?;
        if value.len() > bounds.max_value.in_memory() {
            return Err(Refusal::Limit(format!("a value has at most {}", bounds.max_value)));
        }
        let others = self.writes.iter().filter(|(written, _)| **written != key);
        let bytes: usize = others.map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        if bytes + key.len() + value.len() > bounds.max_bytes.in_memory() {
            return Err(Refusal::Limit(format!("the store holds at most {}", bounds.max_bytes)));
        }
        self.write(bounds, key, Some(value))
    }

    /// Forgets a key for this call, and for good once it commits.
    pub(crate) fn delete(&mut self, bounds: KvBounds, key: String) -> Result<(), Refusal> {
        check_key(&key)?;
        self.write(bounds, key, None)
    }

    fn write(&mut self, bounds: KvBounds, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        // Deletions count too: they are kept in memory until the commit.
        let keys = u32::try_from(self.writes.len()).unwrap_or(u32::MAX);
        if keys >= bounds.max_keys && !self.writes.contains_key(&key) {
            return Err(Refusal::Limit(format!("one call writes at most {} keys", bounds.max_keys)));
        }
        self.writes.insert(key, value);
        Ok(())
    }

    /// Pairs of a range, the call's own writes among them.
    pub(crate) async fn scan(
        &mut self,
        io: &dyn PluginIo,
        plugin: &PluginName,
        mut range: KvRange,
    ) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        self.check_reads()?;
        let wanted = range.limit.min(usize::try_from(SCAN_KEYS).unwrap_or(usize::MAX));
        // Every kept pair may be hidden by a write, so so many more are needed.
        range.limit = wanted + self.writes.len();
        let kept = io.kv_scan(plugin, range.clone()).await.map_err(refused)?;
        self.seen_ranges.push((range.clone(), hash_of_pairs(&kept)));
        let mut pairs: BTreeMap<String, Vec<u8>> = kept.into_iter().collect();
        let inside =
            |key: &str| key.starts_with(&range.prefix) && range.after.as_deref().is_none_or(|after| key > after);
        for (key, value) in self.writes.iter().filter(|(key, _)| inside(key)) {
            match value {
                Some(value) => pairs.insert(key.clone(), value.clone()),
                None => pairs.remove(key),
            };
        }
        Ok(pairs.into_iter().take(wanted).collect())
    }

    fn check_reads(&self) -> Result<(), Refusal> {
        if self.seen_keys.len() + self.seen_ranges.len() < READS_PER_CALL {
            Ok(())
        } else {
            Err(Refusal::Limit(format!("one call reads at most {READS_PER_CALL} keys")))
        }
    }

    /// Whether the call wrote anything.
    pub(crate) fn is_clean(&self) -> bool {
        self.writes.is_empty()
    }

    /// Whether what the call saw is still so. Asked under the plugin's commit lock, so that the answer stays true until
    /// the commit is done.
    pub(crate) async fn still_true(&self, io: &dyn PluginIo, plugin: &PluginName) -> Result<bool, KvFailure> {
        for (key, seen) in &self.seen_keys {
            if hash_of(io.kv_get(plugin, key).await?.as_deref()) != *seen {
                return Ok(false);
            }
        }
        for (range, seen) in &self.seen_ranges {
            if hash_of_pairs(&io.kv_scan(plugin, range.clone()).await?) != *seen {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The writes, in order of their keys.
    pub(crate) fn into_writes(self) -> Vec<KvWrite> {
        self.writes
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => KvWrite::Put { key, value },
                None => KvWrite::Delete { key },
            })
            .collect()
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    match key.len() {
        0 => Err(Refusal::Limit("a key must not be empty".to_owned())),
        length if length > KEY_BYTES => Err(Refusal::Limit(format!("a key has at most {KEY_BYTES} bytes"))),
        _ => Ok(()),
    }
}

fn refused(failure: KvFailure) -> Refusal {
    match failure {
        KvFailure::Quota { .. } => Refusal::Limit(failure.to_string()),
        KvFailure::Storage { .. } => Refusal::Failed(failure.to_string()),
    }
}

fn hash_of(value: Option<&[u8]>) -> Seen {
    let mut hash = Sha256::new();
    hash.update([u8::from(value.is_some())]);
    hash.update(value.unwrap_or_default());
    hash.finalize().into()
}

fn hash_of_pairs(pairs: &[(String, Vec<u8>)]) -> Seen {
    let mut hash = Sha256::new();
    for (key, value) in pairs {
        hash.update(key.len().to_le_bytes());
        hash.update(key);
        hash.update(value.len().to_le_bytes());
        hash.update(value);
    }
    hash.finalize().into()
}
