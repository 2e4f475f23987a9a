//! The `#[tool]` attribute of `hob-plugin`. Use it through that crate, which documents it with examples.
//!
//! Two steps, a module each: [`read`] understands the function (what the tool is called, takes and may do), [`write`]
//! turns that into the function itself and a `Tool` that the export line can find.

mod read;
mod write;

use proc_macro::TokenStream;

/// Makes a tool of a function: its name, its doc comment and its parameters are what the model sees.
///
/// See the crate documentation of `hob-plugin`.
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, function: TokenStream) -> TokenStream {
    match read::tool(attribute.into(), function.into()) {
        Ok(tool) => write::tool(&tool).into(),
        Err(error) => error.to_compile_error().into(),
    }
}
