//! A small store of the plugin's own. Writes become durable together when the tool returns `Ok`; else none does.
//!
//! Needs `kv = {}` under `[capabilities]`.

use crate::bindings::hob::plugin::kv as border;
use crate::error::{Refusal, ToolError};
use serde::{Serialize, de::DeserializeOwned};

/// The value of a key, read as JSON.
///
/// # Errors
/// A missing right, a store that does not answer, or a value of another shape.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ToolError> {
    border::get(key)?.map(|bytes| serde_json::from_slice(&bytes).map_err(ToolError::from)).transpose()
}

/// Writes a value as JSON.
///
/// # Errors
/// A missing right, or more bytes or keys than the plugin may keep.
pub fn put<T: Serialize>(key: &str, value: &T) -> Result<(), ToolError> {
    Ok(border::put(key, &serde_json::to_vec(value)?)?)
}

/// Forgets a key; an absent one is fine.
///
/// # Errors
/// A missing right.
pub fn delete(key: &str) -> Result<(), ToolError> {
    Ok(border::delete(key)?)
}

/// Keys that begin with `prefix` and their bytes, in order, those behind `after` only, at most `limit` of them.
///
/// # Errors
/// A missing right, or a store that does not answer.
pub fn scan(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    border::scan(prefix, after, limit)
}
