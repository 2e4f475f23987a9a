//! From a list of tools to the exports of the contract.

use crate::bindings::exports::hob::plugin::tools::{CallContext, ToolError as Contract, ToolSpec};
use crate::bindings::hob::plugin::types;
use crate::tool::{Arguments, Risk, Tool};

pub use crate::bindings::exports::hob::plugin::tools::Guest as Plugin;

/// Exports tools: `hob_plugin::export!(turn_on, turn_off);`, once in a plugin.
#[macro_export]
macro_rules! export {
    ($($tool:ident),+ $(,)?) => {
        const _: () = {
            const TOOLS: &[$crate::Tool] = &[$($tool::TOOL),+];
            struct Exported;
            $crate::export_component!(Exported with_types_in $crate::contract);
            impl $crate::Plugin for Exported {
                fn list_tools() -> ::std::vec::Vec<$crate::contract::exports::hob::plugin::tools::ToolSpec> {
                    $crate::list_tools(TOOLS)
                }

                fn call_tool(
                    context: $crate::contract::exports::hob::plugin::tools::CallContext,
                    name: ::std::string::String,
                    arguments: ::std::string::String,
                ) -> ::std::result::Result<
                    ::std::string::String,
                    $crate::contract::exports::hob::plugin::tools::ToolError,
                > {
                    $crate::call_tool(TOOLS, &context, &name, &arguments)
                }
            }
        };
    };
}

/// What the plugin offers.
#[must_use]
pub fn list_tools(tools: &[Tool]) -> Vec<ToolSpec> {
    tools.iter().map(spec).collect()
}

fn spec(tool: &Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name.to_owned(),
        description: tool.description.to_owned(),
        schema: (tool.schema)().to_string(),
        effects: types::Effects { read_only: tool.read_only, idempotent: tool.idempotent },
        risk: match tool.risk {
            Risk::none => types::Risk::None,
            Risk::low => types::Risk::Low,
            Risk::medium => types::Risk::Medium,
            Risk::high => types::Risk::High,
        },
        replies: types::Replies { confirmed: tool.confirmed.to_owned(), sent: tool.sent.to_owned() },
        deadline_ms: tool.deadline_ms,
    }
}

/// Runs one call.
///
/// # Errors
/// What the tool answered, or that there is no such tool.
pub fn call_tool(tools: &[Tool], _context: &CallContext, name: &str, arguments: &str) -> Result<String, Contract> {
    let tool = tools.iter().find(|tool| tool.name == name).ok_or(Contract::UnknownTool)?;
    Arguments::from_json(arguments)
        .and_then(|mut arguments| (tool.call)(&mut arguments))
        .map_err(crate::ToolError::into_contract)
}
