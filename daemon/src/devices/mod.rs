//! The owner's devices: what they are called, how they are reached, what they last said.
//!
//! [`inventory`] reads `devices.toml`; [`zigbee2mqtt`] turns a wanted change into a payload and a payload into a state;
//! [`states`] keeps what every device last said, and wakes whoever waits for a read-back. Nothing here does I/O but
//! reading the file.

pub mod inventory;
pub mod states;
pub mod zigbee2mqtt;

pub use inventory::{Devices, OpenDevicesError, Reach};
pub use states::States;
