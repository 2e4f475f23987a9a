//! Wires the stages of hob together and runs them.
//!
//! Read [`start`] first: it builds everything from top to bottom in the order the data flows. [`driver`] is the only
//! place where stages meet; [`cli`] is what the binary offers. `main.rs` holds the exit codes.

pub mod devices;
pub mod exit;
pub mod settings;
pub mod supervisor;
pub mod telemetry;
