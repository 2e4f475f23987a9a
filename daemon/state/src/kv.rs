//! Plugins' stores: small keys and values, each plugin for itself, bounded by its grant.

use crate::entries::{get_json, put_json};
use crate::tables::{Table, TableError, View};
use hob_events::PluginName;
use serde::{Deserialize, Serialize};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvChange {
    /// Sets a key.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Forgets a key, which need not exist.
    Delete {
        /// The key.
        key: String,
    },
}

/// What a plugin's store may hold after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvQuota {
    /// Bytes of keys and values together.
    pub max_bytes: u64,
    /// Number of keys.
    pub max_keys: u64,
}

/// What a plugin's store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct KvUsage {
    /// Bytes of keys and values together.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}

/// Why the writes of a plugin were not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApplyKvError {
    Quota(KvUsage),
    Table(TableError),
}

impl From<TableError> for ApplyKvError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// Puts a plugin's writes into the view, in order. Refused as a whole when its store would end up over the quota, unless
/// it shrinks: a plugin whose quota was lowered must be able to get below it.
pub(crate) fn apply(
    view: &mut View<'_>,
    plugin: &PluginName,
    changes: &[KvChange],
    quota: KvQuota,
) -> Result<(), ApplyKvError> {
    let before = usage(view, plugin)?;
    let mut after = before;
    for change in changes {
        match change {
            KvChange::Put { key, value } => {
                forget(view, &mut after, plugin, key)?;
                after.keys += 1;
                after.bytes += pair_bytes(key, value);
                view.put(Table::Kv, &full_key(plugin, key), value)?;
            }
            KvChange::Delete { key } => forget(view, &mut after, plugin, key)?,
        }
    }
    let over = after.bytes > quota.max_bytes || after.keys > quota.max_keys;
    let grew = after.bytes > before.bytes || after.keys > before.keys;
    if over && grew {
        return Err(ApplyKvError::Quota(after));
    }
    Ok(put_json(view, Table::KvUsage, plugin.as_str().as_bytes(), &after)?)
}

fn forget(view: &mut View<'_>, usage: &mut KvUsage, plugin: &PluginName, key: &str) -> Result<(), TableError> {
    if let Some(old) = view.get(Table::Kv, &full_key(plugin, key))? {
        usage.keys = usage.keys.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(pair_bytes(key, &old));
        view.remove(Table::Kv, &full_key(plugin, key))?;
    }
    Ok(())
}

pub(crate) fn usage(view: &View<'_>, plugin: &PluginName) -> Result<KvUsage, TableError> {
    Ok(get_json(view, Table::KvUsage, plugin.as_str().as_bytes())?.unwrap_or_default())
}

pub(crate) fn get(view: &View<'_>, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, TableError> {
    view.get(Table::Kv, &full_key(plugin, key))
}

pub(crate) fn scan(
    view: &View<'_>,
    plugin: &PluginName,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, TableError> {
    let after = after.map(|after| full_key(plugin, after));
    let found = view.scan(Table::Kv, &full_key(plugin, prefix), after.as_deref(), limit)?;
    let own_key = |(key, value): (Vec<u8>, Vec<u8>)| {
        let own = key.get(plugin.as_str().len() + 1..).unwrap_or_default().to_vec();
        let own = String::from_utf8(own).map_err(|error| TableError::damaged(Table::Kv, error))?;
        Ok((own, value))
    };
    found.into_iter().map(own_key).collect()
}

/// A plugin's name never holds a zero byte, so that no plugin's keys lie among another's.
fn full_key(plugin: &PluginName, key: &str) -> Vec<u8> {
    [plugin.as_str().as_bytes(), &[0], key.as_bytes()].concat()
}

fn pair_bytes(key: &str, value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}
