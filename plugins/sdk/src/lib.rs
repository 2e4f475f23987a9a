//! Write plugins for hob: one function a tool, one line to export them.
//!
//! ```
//! use hob_plugin::{Done, Target, ToolError, devices, tool};
//!
//! /// Turns a device, or all of a kind, on.
//! #[tool(idempotent, replies(confirmed = "{target} is on.", sent = "{target} was told to turn on."))]
//! fn turn_on(#[takes(light, switch)] target: Target) -> Result<Done, ToolError> {
//!     devices::change(&target, &serde_json::json!({"state": "on"}), 1_500)
//! }
//!
//! hob_plugin::export!(turn_on);
//! # fn main() {}
//! ```
//!
//! What the model sees comes from the function: its name, its doc comment, and a JSON Schema made of its parameters:
//!
//! | parameter | schema |
//! |---|---|
//! | `#[takes(light, fan)] target: Target` | `device`, or `kind` with or without `area`; hob fills in the names |
//! | `#[range(0..=100)] percent: u8` | an integer with bounds |
//! | `#[range(5..=35)] celsius: f64` | a number with bounds |
//! | `#[length(1..=120)] item: String` | a text with bounds |
//! | `loud: bool` | a flag |
//! | `list: Option<String>` | the same, but not required |
//!
//! A doc comment on a parameter becomes its description. `#[tool(…)]` takes `read_only`, `idempotent`,
//! `risk = none | low | medium | high` (default `low`), `deadline_ms = 500` and
//! `replies(confirmed = "…", sent = "…")`, whose `{name}`s stand for fields of the result.
//!
//! Capabilities are modules: [`kv`], [`devices`], [`mqtt`], [`log`], [`clock`]. Each needs a line in `plugin.toml` and
//! the owner's grant; what a plugin does not call is not imported and needs neither. The crate has no state and no
//! threads: every call runs in a fresh instance, and what must last goes into [`kv`].

#[doc(hidden)]
pub mod bindings;
pub mod clock;
pub mod devices;
mod error;
mod guest;
pub mod kv;
pub mod log;
pub mod mqtt;
pub mod schema;
mod target;
mod tool;

pub use error::{Refusal, ToolError};
pub use hob_plugin_macros::tool;
pub use target::Target;
pub use tool::{Arguments, Done, Risk, Tool, answer};

#[doc(hidden)]
pub use {
    bindings as contract, bindings::export as export_component, guest::Plugin, guest::call_tool, guest::list_tools,
};
