//! The contract as Rust, generated from `plugins/wit/plugin.wit`.

#![allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::str_to_string,
    clippy::semicolon_if_nothing_returned,
    clippy::uninlined_format_args,
    clippy::cast_possible_truncation,
    clippy::cast_lossless,
    reason = "generated"
)]

wasmtime::component::bindgen!({
    path: "../../plugins/wit",
    world: "tool-plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub(crate) use exports::hob::plugin::tools::{CallContext, ToolError, ToolSpec};
pub(crate) use hob::plugin::types::{Refusal, Risk};

/// The package and version every interface of the contract carries.
pub(crate) const PACKAGE: &str = "hob:plugin/";
/// The version of the contract.
pub(crate) const VERSION: &str = "0.1.0";
