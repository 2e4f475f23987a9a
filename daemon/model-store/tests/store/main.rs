//! The store against a server of the tests' own that does everything a server should not.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

mod any_server;
mod bench;
mod derive;
mod fetch;
mod lies;
mod resume;
mod server;
mod shelf;
mod token;
