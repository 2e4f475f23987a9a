//! How much one call may take: the tightest of manifest, grant and the owner's caps, and the bounds that are the same
//! for every plugin.

use crate::amounts::{Bytes, Millis};
use crate::manifest::Limits;
use crate::settings::Caps;

/// Memory of a plugin that names none: a compiled language lives in 1 to 2 MiB.
const DEFAULT_MEMORY: Bytes = Bytes(32 << 20);
/// Time of a plugin that names none: work on data takes microseconds, a device may take half a second.
const DEFAULT_DEADLINE: Millis = Millis(500);
/// Calls at a time of a plugin that names none: a slow one does not hold up the next.
const DEFAULT_CONCURRENCY: usize = 2;

/// Bytes that may cross the border in one host call; wasmtime's own default is 128 MiB.
pub(crate) const HOSTCALL_DATA: Bytes = Bytes(2 << 20);
/// Stack of a guest. Recursion past it is a trap.
pub(crate) const WASM_STACK: usize = 512 << 10;
/// Stack of the fiber a guest runs on; host functions need some of it on top.
pub(crate) const FIBER_STACK: usize = 2 << 20;
/// Elements of all tables: function pointers. A Python runtime has some ten thousand.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// Core instances, and memories and tables, of one component: a runtime with its adapters has a handful.
pub(crate) const CORE_INSTANCES: usize = 64;
/// WASI handles a call may hold: it has no files, so a few clocks and streams.
pub(crate) const WASI_HANDLES: usize = 256;
/// Random bytes a call may ask for at once; the host allocates them.
pub(crate) const RANDOM: Bytes = Bytes(64 << 10);
/// A result: more than any model's context has room for.
pub(crate) const RESULT: Bytes = Bytes(256 << 10);
/// How often the engine looks whether to let others run; also how far past its deadline a guest can get.
pub(crate) const EPOCH_TICK: Millis = Millis(10);
/// Log of one call.
pub(crate) const LOG_BYTES: usize = 64 << 10;
/// Log lines a call may write at once, and how many more each second brings.
pub(crate) const LOG_LINES: u32 = 20;
/// Pairs that one scan may return.
pub(crate) const SCAN_KEYS: u32 = 256;
/// Devices that one command may name.
pub(crate) const DEVICES_AT_ONCE: usize = 64;
/// A key of a plugin's store.
pub(crate) const KEY_BYTES: usize = 256;

/// The sandbox in which tools are listed: no capability, little time, little memory.
pub(crate) const LISTING: EffectiveLimits =
    EffectiveLimits { memory: Bytes(16 << 20), deadline: Millis(200), concurrency: 1 };

/// What holds for the calls of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveLimits {
    /// Linear memory.
    pub memory: Bytes,
    /// Time.
    pub deadline: Millis,
    /// Calls at a time.
    pub concurrency: usize,
}

impl EffectiveLimits {
    /// The tightest of what is asked, given and allowed at all.
    #[must_use]
    pub fn agreed(asked: Limits, given: Limits, caps: Caps) -> Self {
        let memory = asked.memory.unwrap_or(DEFAULT_MEMORY).min(caps.memory);
        let deadline = asked.deadline.unwrap_or(DEFAULT_DEADLINE).min(caps.deadline);
        let concurrency = asked.concurrency.unwrap_or(DEFAULT_CONCURRENCY).min(caps.concurrency);
        Self {
            memory: given.memory.map_or(memory, |given| given.min(memory)),
            deadline: given.deadline.map_or(deadline, |given| given.min(deadline)),
            concurrency: given.concurrency.map_or(concurrency, |given| given.min(concurrency)).max(1),
        }
    }
}
