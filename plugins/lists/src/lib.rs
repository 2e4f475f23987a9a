//! The `lists` plugin: shopping lists and the like, kept in its own small store, one key a list.

mod list;

use hob_plugin::{Done, ToolError, kv, tool};
use list::{List, list_name};
use serde_json::{Map, Value, json};

/// Puts an item on a list.
#[tool(idempotent, risk = low, replies(confirmed = "{item} is on the {list} list."))]
fn list_add(#[length(1..=120)] item: String, #[length(1..=120)] list: Option<String>) -> Result<Done, ToolError> {
    change(list, &item, |list| Some(list.add(&item)))
}

/// Takes an item off a list.
#[tool(idempotent, risk = low, replies(confirmed = "{item} is off the {list} list."))]
fn list_remove(#[length(1..=120)] item: String, #[length(1..=120)] list: Option<String>) -> Result<Done, ToolError> {
    change(list, &item, |list| list.remove(&item))
}

/// Ticks an item of a list off as done.
#[tool(idempotent, risk = low, replies(confirmed = "{item} is ticked off the {list} list."))]
fn list_complete(#[length(1..=120)] item: String, #[length(1..=120)] list: Option<String>) -> Result<Done, ToolError> {
    change(list, &item, |list| list.complete(&item))
}

/// Reads a list out.
#[tool(read_only, idempotent, risk = none)]
fn list_read(#[length(1..=120)] list: Option<String>) -> Result<Map<String, Value>, ToolError> {
    let name = list_name(list.as_deref());
    let list: List = kv::get(&key(&name))?.unwrap_or_default();
    Ok(Map::from_iter([("items".to_owned(), json!(list.open_items())), ("list".to_owned(), name.into())]))
}

/// Loads the list, changes it, and keeps it. `act` gives the item as it stands on the list.
fn change(list: Option<String>, item: &str, act: impl FnOnce(&mut List) -> Option<String>) -> Result<Done, ToolError> {
    let name = list_name(list.as_deref());
    let mut list: List = kv::get(&key(&name))?.unwrap_or_default();
    let Some(item) = act(&mut list) else {
        return Err(ToolError::failed(format!("{} is not on the {name} list", item.trim())));
    };
    kv::put(&key(&name), &list)?;
    Ok(Done::new().with("item", item).with("list", name))
}

fn key(name: &str) -> String {
    format!("list/{name}")
}

hob_plugin::export!(list_add, list_remove, list_complete, list_read);
