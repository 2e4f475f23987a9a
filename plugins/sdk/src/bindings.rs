//! The contract as Rust, generated from `wit/plugin.wit`.

#![allow(unsafe_code, unreachable_pub, unused_qualifications, reason = "generated: the calls across the border")]

wit_bindgen::generate!({
    path: "../wit",
    world: "tool-plugin",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "hob_plugin::bindings",
    generate_all,
});
