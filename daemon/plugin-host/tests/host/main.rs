//! The host over real components: the shipped plugins, and hostile ones.

mod fixture;
mod hostile;
mod install;
mod kv;
mod memory_io;
mod shipped;
