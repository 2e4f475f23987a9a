//! The host's side of the contract: one file an interface. Each function looks at the rights again, though an interface
//! is linked only where they hold it: in the sandbox that lists tools everything is linked and nothing allowed.

mod clock;
mod devices;
mod kv;
mod log;
mod mqtt;

use crate::call_state::CallState;
use crate::capability::Capability;
use crate::contract::Refusal;
use crate::contract::hob::plugin as interfaces;
use wasmtime::component::{HasSelf, Linker};

impl interfaces::types::Host for CallState {}

/// Links what every component may import: the types of the contract, and WASI with nothing in it.
pub(crate) fn link_basics(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    interfaces::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// Links one capability.
pub(crate) fn link(linker: &mut Linker<CallState>, capability: Capability) -> wasmtime::Result<()> {
    match capability {
        Capability::Kv => interfaces::kv::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        Capability::Devices => interfaces::devices::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        Capability::Mqtt => interfaces::mqtt::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        Capability::Log => interfaces::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        Capability::Clock => interfaces::clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
    }
}

/// The refusal where a right is missing altogether.
fn no_right(capability: Capability) -> Refusal {
    Refusal::Denied(format!("the plugin has no right to {} here", capability.word()))
}

impl CallState {
    /// Refuses what changes something in a call that must not.
    fn check_acts(&self) -> Result<(), Refusal> {
        if self.rights.acts {
            Ok(())
        } else {
            Err(Refusal::Denied("the tool is declared read-only, so it can change nothing".to_owned()))
        }
    }
}
