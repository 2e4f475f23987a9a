//! What must never be lost, on disk: commands on their way, their results, conversations, plugins' stores, the audit log.
//!
//! Called by the driver alone. It opens a [`Store`] at start, hands every list of records to the one [`StateWriter`], and
//! lets an effect go only when the writer has said that its records are durable. Reads go to the store, from any thread.
//!
//! It decides nothing: what a record means is written in `hob_events::record`, and this crate keeps it. It holds no
//! models, caches or logs: those are files that may be lost.
//!
//! Read `tables` for how records lie in the database and why a commit is whole or absent, `disk` for what makes it
//! durable, `open` for what happens to a damaged folder.

mod apply;
mod audit;
mod disk;
mod entries;
mod kv;
mod limits;
mod media;
mod open;
mod prune;
mod read;
mod tables;
mod writer;

pub use audit::{AuditFault, AuditLine, VerifyAuditError};
pub use entries::StoredFinal;
pub use kv::{KvChange, KvQuota, KvUsage};
pub use limits::{Bound, StateLimits};
pub use media::{Shelf, ShelfBounds, ShelveError, Upload};
pub use open::{OpenStoreError, Opened, Recovered};
pub use read::{ReadStateError, Store, StoredConversation, StoredReceipt};
pub use writer::{CommitError, Done, StateWriter, TryCommitError};
