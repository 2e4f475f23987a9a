//! Dropping the oldest of what has become too much.

use crate::audit;
use crate::entries::{ConversationEntry, Counters, ReceiptEntry, StoredFinal, decode, decode_id, get_json, source_key};
use crate::limits::{Bound, StateLimits};
use crate::tables::{Table, TableError, View};
use hob_events::UnixMs;

/// Entries that one commit drops of each kind at most, so that a lowered limit does not make one commit long. More than
/// one commit adds in the long run, so it is caught up with.
const AT_ONCE: usize = 16;

/// Drops what the limits do not allow any more.
pub(crate) fn prune(
    view: &mut View<'_>,
    counters: &mut Counters,
    now: UnixMs,
    limits: &StateLimits,
) -> Result<(), TableError> {
    finals(view, counters, now, limits.finals)?;
    receipts(view, counters, now, limits.receipts)?;
    conversations(view, counters, now, limits.conversations)?;
    let older_than = limits.audit.age_ms.map(|age| UnixMs(now.0.saturating_sub(age)));
    audit::drop_oldest(view, &mut counters.audit, limits.audit.count, older_than, AT_ONCE)
}

impl Bound {
    /// Whether the oldest of `count` entries, written `at`, has to go.
    fn drops(&self, count: u64, at: UnixMs, now: UnixMs) -> bool {
        count > self.count || self.age_ms.is_some_and(|age| now.since(at) > age)
    }
}

fn finals(view: &mut View<'_>, counters: &mut Counters, now: UnixMs, bound: Bound) -> Result<(), TableError> {
    for (number, id) in view.scan(Table::FinalOrder, b"", None, AT_ONCE)? {
        let id = decode_id(Table::FinalOrder, &id)?;
        if let Some(kept) = StoredFinal::load(view, &id)? {
            if !bound.drops(counters.finals, kept.at, now) {
                break;
            }
            if let Some(correlation) = source_key(&kept.source) {
                forget_correlation(view, &correlation, id.as_str())?;
            }
            view.remove(Table::Finals, id.as_str().as_bytes())?;
            counters.finals = counters.finals.saturating_sub(1);
        }
        view.remove(Table::FinalOrder, &number)?;
        view.remove(Table::Untold, &number)?;
    }
    Ok(())
}

/// The same correlation data may have come with a later command.
fn forget_correlation(view: &mut View<'_>, correlation: &[u8], id: &str) -> Result<(), TableError> {
    if view.get(Table::Correlations, correlation)?.as_deref() == Some(id.as_bytes()) {
        view.remove(Table::Correlations, correlation)?;
    }
    Ok(())
}

fn receipts(view: &mut View<'_>, counters: &mut Counters, now: UnixMs, bound: Bound) -> Result<(), TableError> {
    for (key, value) in view.scan(Table::Receipts, b"", None, AT_ONCE)? {
        let entry: ReceiptEntry = decode(Table::Receipts, &value)?;
        if !bound.drops(counters.receipts, entry.at, now) {
            break;
        }
        view.remove(Table::Receipts, &key)?;
        counters.receipts = counters.receipts.saturating_sub(1);
    }
    Ok(())
}

fn conversations(view: &mut View<'_>, counters: &mut Counters, now: UnixMs, bound: Bound) -> Result<(), TableError> {
    for (number, id) in view.scan(Table::ConversationOrder, b"", None, AT_ONCE)? {
        if let Some(entry) = get_json::<ConversationEntry>(view, Table::Conversations, &id)? {
            if !bound.drops(counters.conversations, entry.at, now) {
                break;
            }
            view.remove(Table::Conversations, &id)?;
            counters.conversations = counters.conversations.saturating_sub(1);
        }
        view.remove(Table::ConversationOrder, &number)?;
    }
    Ok(())
}
