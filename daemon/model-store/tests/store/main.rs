//! The store against a server of the tests' own that does everything a server should not.

mod bench;
mod fetch;
mod lies;
mod resume;
mod server;
mod token;
