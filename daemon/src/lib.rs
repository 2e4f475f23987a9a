//! Wires the stages of hob together and runs them.
//!
//! Read [`start`] first: it builds everything from top to bottom in the order the data flows. [`driver`] is the only
//! place where stages meet; [`cli`] is what the binary offers. `main.rs` holds the exit codes.

pub mod cameras;
pub mod cli;
pub mod clock;
pub mod devices;
pub mod driver;
mod entrance;
pub mod exit;
pub mod followers;
pub mod house;
pub mod intake;
pub mod microphones;
pub mod models;
mod notices;
mod operator;
pub mod recording;
mod repeated;
pub mod rules;
pub mod service;
pub mod settings;
mod shelf;
mod sights;
mod spoken;
mod stage_settings;
pub mod start;
pub mod supervisor;
mod swap;
pub mod telemetry;
mod telling;
pub mod voice;
