//! Reads an annotated function into a [`Tool`].

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitInt, LitStr, Pat, Result, Token, Type};

/// What the attribute and the function say together.
pub(crate) struct Tool {
    /// The function without the attributes that only we understand.
    pub(crate) function: ItemFn,
    pub(crate) description: String,
    pub(crate) options: Options,
    pub(crate) parameters: Vec<Parameter>,
}

/// What stands between the brackets of `#[tool(…)]`.
pub(crate) struct Options {
    pub(crate) read_only: bool,
    pub(crate) idempotent: bool,
    pub(crate) risk: Ident,
    pub(crate) confirmed: String,
    pub(crate) sent: String,
    pub(crate) deadline_ms: LitInt,
}

pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) kind: ParameterKind,
    pub(crate) description: String,
    pub(crate) optional: bool,
}

pub(crate) enum ParameterKind {
    /// One device, or all of a kind, of these kinds.
    Target(Vec<Ident>),
    Text {
        length: Option<(LitInt, LitInt)>,
    },
    Integer {
        range: Option<(Expr, Expr)>,
    },
    Number {
        range: Option<(Expr, Expr)>,
    },
    Flag,
}

pub(crate) fn tool(attribute: TokenStream, function: TokenStream) -> Result<Tool> {
    let mut function: ItemFn = syn::parse2(function)?;
    let options = options(attribute)?;
    let description = doc_text(&function.attrs);
    if description.is_empty() {
        return Err(Error::new(function.sig.ident.span(), "a tool needs a doc comment: it is what the model reads"));
    }
    if let Some(asyncness) = function.sig.asyncness {
        return Err(Error::new(asyncness.span(), "a tool is a plain function: hob's calls already wait"));
    }
    let mut parameters = Vec::new();
    for argument in &mut function.sig.inputs {
        parameters.push(parameter(argument)?);
    }
    let targets = parameters.iter().filter(|parameter| matches!(parameter.kind, ParameterKind::Target(_))).count();
    if targets > 1 {
        return Err(Error::new(function.sig.inputs.span(), "a tool takes at most one `Target`"));
    }
    Ok(Tool { function, description, options, parameters })
}

fn options(attribute: TokenStream) -> Result<Options> {
    let mut options = Options {
        read_only: false,
        idempotent: false,
        risk: Ident::new("low", proc_macro2::Span::call_site()),
        confirmed: String::new(),
        sent: String::new(),
        deadline_ms: LitInt::new("500", proc_macro2::Span::call_site()),
    };
    let read = syn::meta::parser(|meta| {
        if meta.path.is_ident("read_only") {
            options.read_only = true;
        } else if meta.path.is_ident("idempotent") {
            options.idempotent = true;
        } else if meta.path.is_ident("risk") {
            options.risk = meta.value()?.parse()?;
        } else if meta.path.is_ident("deadline_ms") {
            options.deadline_ms = meta.value()?.parse()?;
        } else if meta.path.is_ident("replies") {
            meta.parse_nested_meta(|reply| {
                let text = reply.value()?.parse::<LitStr>()?.value();
                if reply.path.is_ident("confirmed") {
                    options.confirmed = text;
                } else if reply.path.is_ident("sent") {
                    options.sent = text;
                } else {
                    return Err(reply.error("expected `confirmed` or `sent`"));
                }
                Ok(())
            })?;
        } else {
            return Err(meta.error("expected `read_only`, `idempotent`, `risk`, `deadline_ms` or `replies`"));
        }
        Ok(())
    });
    read.parse2(attribute)?;
    Ok(options)
}

/// Understands one parameter and takes our attributes and its doc comment off, which rustc would refuse there.
fn parameter(argument: &mut FnArg) -> Result<Parameter> {
    let FnArg::Typed(typed) = argument else {
        return Err(Error::new(argument.span(), "a tool is a function of its own, without `self`"));
    };
    let Pat::Ident(pattern) = typed.pat.as_ref() else {
        return Err(Error::new(typed.pat.span(), "a parameter of a tool needs a plain name: it is part of the schema"));
    };
    let attributes = std::mem::take(&mut typed.attrs);
    let (optional, inner) = match inside(&typed.ty, "Option") {
        Some(inner) => (true, inner),
        None => (false, typed.ty.as_ref()),
    };
    let kind = parameter_kind(inner, &attributes)?;
    if optional && matches!(kind, ParameterKind::Target(_)) {
        return Err(Error::new(typed.ty.span(), "a `Target` is never optional"));
    }
    Ok(Parameter { name: pattern.ident.clone(), kind, description: doc_text(&attributes), optional })
}

fn parameter_kind(ty: &Type, attributes: &[Attribute]) -> Result<ParameterKind> {
    let mut kinds = None;
    let mut range = None;
    let mut length = None;
    for attribute in attributes {
        if attribute.path().is_ident("takes") {
            let list = attribute.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated)?;
            kinds = Some(list.into_iter().collect());
        } else if attribute.path().is_ident("range") {
            range = Some(bounds(attribute)?);
        } else if attribute.path().is_ident("length") {
            length = Some(lengths(attribute)?);
        } else if !attribute.path().is_ident("doc") {
            return Err(Error::new(attribute.span(), "expected `takes(…)`, `range(…)` or `length(…)`"));
        }
    }
    match last_segment(ty).as_deref() {
        Some("Target") => kinds.map(ParameterKind::Target).ok_or_else(|| {
            Error::new(ty.span(), "say which kinds of device it takes: `#[takes(light, switch)] target: Target`")
        }),
        Some("String") => Ok(ParameterKind::Text { length }),
        Some("u8" | "u16" | "u32" | "i8" | "i16" | "i32" | "i64") => Ok(ParameterKind::Integer { range }),
        Some("f32" | "f64") => Ok(ParameterKind::Number { range }),
        Some("bool") => Ok(ParameterKind::Flag),
        Some(_) | None => Err(Error::new(
            ty.span(),
            "a tool takes `Target`, `String`, `bool`, integers, `f64`, and `Option`s of them",
        )),
    }
}

/// `#[range(5..=35)]`: an inclusive range of literals, kept as written, since 5 and 5.0 differ in a schema.
fn bounds(attribute: &Attribute) -> Result<(Expr, Expr)> {
    let range: syn::ExprRange = attribute.parse_args()?;
    match (range.start, range.limits, range.end) {
        (Some(low), syn::RangeLimits::Closed(_), Some(high)) => Ok((*low, *high)),
        (_, syn::RangeLimits::Closed(_) | syn::RangeLimits::HalfOpen(_), _) => {
            Err(Error::new(attribute.span(), "expected an inclusive range such as `0..=100`"))
        }
    }
}

fn lengths(attribute: &Attribute) -> Result<(LitInt, LitInt)> {
    let (low, high) = bounds(attribute)?;
    Ok((whole(low)?, whole(high)?))
}

fn whole(expression: Expr) -> Result<LitInt> {
    if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = expression {
        return Ok(number);
    }
    Err(Error::new(expression.span(), "expected a whole number"))
}

/// The type between the angle brackets of `wrapper<…>`.
fn inside<'a>(ty: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == wrapper)?;
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(inner)) => Some(inner),
        Some(_) | None => None,
    }
}

fn last_segment(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    path.path.segments.last().map(|segment| segment.ident.to_string())
}

/// The lines of a doc comment as one paragraph.
fn doc_text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let pair = attribute.meta.require_name_value().ok().filter(|pair| pair.path.is_ident("doc"))?;
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    Some(text.value().trim().to_owned())
}
