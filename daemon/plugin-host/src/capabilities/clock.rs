//! `hob:plugin/clock`.

use crate::call_state::CallState;
use crate::contract::hob::plugin::clock::Host;
use std::time::{SystemTime, UNIX_EPOCH};

impl Host for CallState {
    async fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        if !self.rights.clock {
            return Err(wasmtime::Error::msg("the clock is not the plugin's to read here"));
        }
        // A board without a battery may start before 1970 was set right: zero says so better than a trap.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
