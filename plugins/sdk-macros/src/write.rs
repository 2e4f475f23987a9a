//! Writes the code of a [`Tool`]: the function as it was, and a type of the same name that carries its `TOOL`.

use crate::read::{Parameter, ParameterKind, Tool};
use proc_macro2::TokenStream;
use quote::quote;

/// An enum without variants lives among the types only, so it may share its name with the function; `export!` finds the
/// one by the other.
pub(crate) fn tool(tool: &Tool) -> TokenStream {
    let Tool { function, description, options, parameters } = tool;
    let visibility = &function.vis;
    let name = &function.sig.ident;
    let text = name.to_string();
    let (read_only, idempotent) = (options.read_only, options.idempotent);
    let (risk, confirmed, sent) = (&options.risk, &options.confirmed, &options.sent);
    let deadline_ms = &options.deadline_ms;
    let declared = parameters.iter().map(declare);
    let taken = parameters.iter().map(take);
    quote! {
        #function

        #[doc(hidden)]
        #[expect(non_camel_case_types, reason = "it carries the function's name, so that one line can export it")]
        #visibility enum #name {}

        impl #name {
            #[doc(hidden)]
            #visibility const TOOL: ::hob_plugin::Tool = ::hob_plugin::Tool {
                name: #text,
                description: #description,
                read_only: #read_only,
                idempotent: #idempotent,
                risk: ::hob_plugin::Risk::#risk,
                confirmed: #confirmed,
                sent: #sent,
                deadline_ms: #deadline_ms,
                schema: || ::hob_plugin::schema::Schema::new()#(#declared)*.finish(),
                call: |arguments| ::hob_plugin::answer(#name(#(#taken),*)),
            };
        }
    }
}

/// A link of the chain that builds the schema.
fn declare(parameter: &Parameter) -> TokenStream {
    let Parameter { name, kind, description, optional } = parameter;
    let name = name.to_string();
    let required = !optional;
    let property = match kind {
        ParameterKind::Target(kinds) => {
            let kinds = kinds.iter().map(ToString::to_string);
            return quote! { .target(&[#(#kinds),*]) };
        }
        ParameterKind::Text { length: None } => quote! { text() },
        ParameterKind::Text { length: Some((low, high)) } => quote! { text().length(#low, #high) },
        ParameterKind::Integer { range: None } => quote! { integer() },
        ParameterKind::Integer { range: Some((low, high)) } => quote! { integer().range(#low, #high) },
        ParameterKind::Number { range: None } => quote! { number() },
        ParameterKind::Number { range: Some((low, high)) } => quote! { number().range(#low, #high) },
        ParameterKind::Flag => quote! { flag() },
    };
    quote! { .property(#name, #required, ::hob_plugin::schema::Property::#property.described(#description)) }
}

/// The expression that takes the parameter out of the arguments.
fn take(parameter: &Parameter) -> TokenStream {
    let name = parameter.name.to_string();
    match parameter.kind {
        ParameterKind::Target(_) => quote! { ::hob_plugin::Target::from_arguments(arguments)? },
        ParameterKind::Text { .. }
        | ParameterKind::Integer { .. }
        | ParameterKind::Number { .. }
        | ParameterKind::Flag => quote! { arguments.take(#name)? },
    }
}
