//! What the end-to-end tests and the demo stand on: a real broker, a simulated home, a client, and the real daemon.
//!
//! Everything here lives outside the daemon and reaches it only through its public doors: the broker, the control socket,
//! signals, and the binary's command line. Nothing of the daemon's code is linked in but the vocabulary of its messages.
//!
//! - [`Broker`]: Debian's mosquitto as a child on a free port; can be stopped and started again on the same port.
//! - [`Home`]: devices that answer on MQTT as Zigbee2MQTT's do, and count what they were told.
//! - [`Client`]: sends commands and waits for what comes back.
//! - [`Daemon`]: the hob binary in a folder of its own; can be killed, stopped, frozen and started again.
//!
//! All waits are for a condition, end at [`DEADLINE`], and say what they waited for.

mod broker;
mod client;
mod daemon;
mod home;
mod house;
mod link;
mod places;
mod task;
mod wait;
mod world;

pub use broker::Broker;
pub use client::{Client, Mark, Message, Request, Sent};
pub use daemon::Daemon;
pub use home::{Home, Told};
pub use house::House;
pub use places::{Places, Plugin};
pub use task::{Task, spawn};
pub use wait::{DEADLINE, until};
pub use world::World;
