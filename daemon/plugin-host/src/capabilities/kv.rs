//! `hob:plugin/kv`: see [`crate::overlay`].

use crate::call_state::CallState;
use crate::capabilities::no_right;
use crate::capability::{Capability, KvBounds};
use crate::contract::Refusal;
use crate::contract::hob::plugin::kv::Host;
use crate::io::KvRange;

impl CallState {
    fn kv_bounds(&self) -> Result<KvBounds, Refusal> {
        self.rights.kv.ok_or_else(|| no_right(Capability::Kv))
    }

    fn kv_write_bounds(&self) -> Result<KvBounds, Refusal> {
        let bounds = self.kv_bounds()?;
        self.check_acts().map(|()| bounds)
    }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Refusal>> {
        Ok(match self.kv_bounds() {
            Ok(_) => self.kv.get(self.io.as_ref(), &self.caller.plugin, &key).await,
            Err(refusal) => Err(refusal),
        })
    }

    async fn put(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Refusal>> {
        Ok(self.kv_write_bounds().and_then(|bounds| self.kv.put(bounds, key, value)))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Refusal>> {
        Ok(self.kv_write_bounds().and_then(|bounds| self.kv.delete(bounds, key)))
    }

    async fn scan(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<(String, Vec<u8>)>, Refusal>> {
        let range = KvRange { prefix, after, limit: usize::try_from(limit).unwrap_or(usize::MAX) };
        Ok(match self.kv_bounds() {
            Ok(_) => self.kv.scan(self.io.as_ref(), &self.caller.plugin, range).await,
            Err(refusal) => Err(refusal),
        })
    }
}
