//! `hob:plugin/log`: within the call's budget; see [`crate::log_budget`].

use crate::call_state::CallState;
use crate::contract::hob::plugin::log::{Host, Level};

impl Host for CallState {
    async fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        if !self.rights.log || !self.log.admits(message.len(), self.started.elapsed()) {
            return Ok(());
        }
        let (plugin, call) = (&self.caller.plugin, &self.caller.call);
        // Escaped: the text is the plugin's, and must not look like a line of hob's own.
        let message = message.escape_debug();
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %plugin, %call, "{message}"),
            Level::Info => tracing::info!(target: "plugin", %plugin, %call, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", %plugin, %call, "{message}"),
            Level::Error => tracing::error!(target: "plugin", %plugin, %call, "{message}"),
        }
        Ok(())
    }
}
