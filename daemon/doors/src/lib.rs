//! Doors: ways for people and programs on this board to reach a running hob.
//!
//! Now there is one, the control socket: a Unix socket on which JSON lines of the command contract and operator
//! requests go in, and replies come out. [`wire`] is what is said on it, [`socket`] the listening side, [`client`] the
//! calling side that the command line uses. A door decides nothing: it turns its protocol into [`DoorRequest`]s for the
//! driver in `hob`, and writes back what the driver answers.

pub mod client;
pub mod socket;
pub mod wire;

pub use client::{CallDoorError, DoorClient};
pub use socket::{BindDoorError, Door, DoorRequest, DoorSettings, Peer};
pub use wire::{Reply, Request};
