//! The host over real components: the shipped plugins, and hostile ones.

#![expect(clippy::unwrap_used, reason = "a test whose house cannot be set up says so at once")]

mod fixture;
mod hostile;
mod install;
mod kv;
mod memory_io;
mod shipped;
