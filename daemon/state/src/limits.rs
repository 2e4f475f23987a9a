//! How much is kept.

/// How much one kind of thing may grow. The oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// At most so many.
    pub count: u64,
    /// None older than this, in milliseconds; none to keep by count alone.
    pub age_ms: Option<u64>,
}

/// Bounds on everything that grows with use. Commands on their way are bounded by the driver, which answers "busy", and
/// plugins' stores by their grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Final results: a repeated command is answered from them.
    pub finals: Bound,
    /// Receipts of finished commands.
    pub receipts: Bound,
    /// Conversations.
    pub conversations: Bound,
    /// Lines of the audit log; the chain goes on over what was dropped.
    pub audit: Bound,
    /// Bytes that must be free on the disk after a commit. Below that nothing is accepted, and the database, which
    /// does not survive a full disk while it is open, is never brought into that place.
    pub min_free_bytes: u64,
    /// Bytes of the database's page cache.
    pub cache_bytes: u64,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Default for StateLimits {
    /// The defaults of `configs/hob.toml`: some 40 MB at most, on a disk that keeps 16 MB free.
    fn default() -> Self {
        Self {
            finals: Bound { count: 10_000, age_ms: Some(7 * DAY_MS) },
            receipts: Bound { count: 10_000, age_ms: Some(7 * DAY_MS) },
            conversations: Bound { count: 32, age_ms: Some(30 * DAY_MS) },
            audit: Bound { count: 100_000, age_ms: None },
            min_free_bytes: 16 * 1024 * 1024,
            cache_bytes: 8 * 1024 * 1024,
        }
    }
}
