//! Makes a component of a core module that `wit-bindgen` left its contract in: `componentize MODULE COMPONENT`.
//!
//! Only the Debian route of `scripts/build-plugins.sh` needs it; the target `wasm32-wasip2` links components by itself.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, component] = paths.as_slice() else { bail!("usage: componentize MODULE COMPONENT") };
    let core = std::fs::read(module).with_context(|| format!("{} cannot be read", module.display()))?;
    let encoded = ComponentEncoder::default()
        .module(&core)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("{} cannot be made a component", module.display()))?;
    std::fs::write(component, encoded).with_context(|| format!("{} cannot be written", component.display()))
}
