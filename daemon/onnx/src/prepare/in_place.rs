//! Caches that can be grown where they lie: past and present are one block of memory with room for the whole context, and
//! the operator writes the new rows into it. That holds where nothing but attention operators looks at a cache, each told
//! how many tokens there are: the length of the block says nothing.

use super::counts::is_told;
use super::draft::Draft;
use super::names::{PAST, PRESENT};
use super::report::{Outcome, Pass};
use super::shapes::ends;
use super::wire::{fields, tag};
use super::world::{Tokens, World};
use crate::graph::Node;
use crate::graph::proto::Entry;
use prost::Message;

/// The mark of such a graph among its metadata.
pub(super) const MARK: (&str, &str) = ("hob.kv", "in_place");

/// Whether a graph that was rewritten here grows its caches in place.
#[must_use]
pub fn grows_in_place(rewritten: &[u8]) -> bool {
    let entries = fields(rewritten).unwrap_or_default().into_iter().filter(|field| field.tag == tag::MODEL_METADATA);
    entries
        .filter_map(|field| Entry::decode(field.content).ok())
        .any(|entry| (entry.key.as_str(), entry.value.as_str()) == MARK)
}

/// Marks a graph whose caches can be grown in place.
pub(super) fn mark(draft: &mut Draft) -> Outcome {
    let mut outcome = Outcome::of(Pass::InPlace);
    let caches: Vec<String> =
        draft.inputs.iter().map(|input| input.name.clone()).filter(|name| name.starts_with(PAST)).collect();
    for past in &caches {
        if let Err(reason) = can_grow(draft, past) {
            outcome.left(past, reason);
        }
    }
    if caches.is_empty() {
        outcome.note = Some("the graph has no caches".to_owned());
    } else if outcome.left.is_empty() {
        outcome.took = caches.len();
        draft.mark(MARK.0, MARK.1);
    } else {
        outcome.note = Some("all or none".to_owned());
    }
    outcome
}

fn can_grow(draft: &Draft, past: &str) -> Result<(), &'static str> {
    let present = past.replacen(PAST, PRESENT, 1);
    let mut readers = draft.readers(past).filter(|(node, _)| !reads_other_lengths(node));
    let (Some((node, place)), None) = (readers.next(), readers.next()) else {
        return Err("more than one operator reads it, or none");
    };
    let grown = match place {
        3 => node.output(1),
        4 => node.output(2),
        _ => None,
    };
    if !is_told(draft, node) || grown != Some(present.as_str()) || !draft.is_output(&present) {
        return Err("no attention operator grows it");
    }
    if keys_are(draft, node, |tokens| tokens.new) != Some(true) {
        return Err("it does not grow by the new tokens");
    }
    if !is_plain(node) {
        return Err("its operator keeps it in another way");
    }
    let shares = |(reader, at): (&Node, usize)| {
        let no_keys = keys_are(draft, reader, |_| 0) == Some(true);
        is_told(draft, reader)
            && at == place
            && no_keys
            && reader.output(1).is_none()
            && reader.output(2).is_none()
            && is_plain(reader)
    };
    let mut others = draft.readers(&present).filter(|(node, _)| !reads_other_lengths(node));
    if others.all(shares) { Ok(()) } else { Err("something else looks at it") }
}

/// Whether a node asks a cache for its dimensions other than the number of tokens: those are the same in place.
fn reads_other_lengths(node: &Node) -> bool {
    const TOKENS: usize = 2;
    let asked = node.is("Shape").then(|| ends(node, 4)).flatten();
    asked.is_some_and(|(start, end)| !(start..end).contains(&TOKENS))
}

/// Whether an attention operator brings so many keys and values.
fn keys_are(draft: &Draft, node: &Node, wanted: impl Fn(Tokens) -> usize) -> Option<bool> {
    let looks = [Tokens { past: 13, new: 7 }, Tokens { past: 0, new: 3 }];
    for tokens in looks {
        for place in [1, 2] {
            let value = node.input(place)?;
            let world = World::behind(draft, tokens, value);
            if *world.shape(value)?.get(1)? != wanted(tokens) {
                return Some(false);
            }
        }
    }
    Some(true)
}

/// Whether it keeps caches whole: not cut to a window, not quantized.
pub(super) fn is_plain(node: &Node) -> bool {
    let off = |name: &str| node.integer(name).unwrap_or(0) == 0;
    let quantized = node.attributes.iter().any(|attribute| attribute.name.contains("quant"));
    off("sliding_window_cache") && !quantized
}
