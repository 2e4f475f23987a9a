//! The broker: one connection, kept up; topics; the command contract's transport.
//!
//! rumqttc is named here and nowhere else, behind a surface that another client could fill. What it leaves to its user
//! is done here: waiting between attempts while the broker is away, an own bounded outgoing queue, subscribing again when
//! the broker forgot the session, acknowledging a command only when the driver says that it is durable, and never
//! sending again what was in flight when the connection broke.
//!
//! Read `client` first; `connection` holds the loop, `outbox` what may wait, `backoff` when to try again, `topics` the names.

mod backoff;
pub mod client;
mod connection;
mod outbox;
pub mod settings;
pub mod subscriptions;
mod topics;

pub use client::{Delivered, MqttClient, TellError};
pub use connection::{Ack, Arrived, Connection, MicrophoneOrder, MqttEvent};
pub use outbox::{Class, Outgoing};
pub use settings::{MqttSettings, StartMqttError};
pub use topics::Topics;
