//! `hob model prepare`: what the daemon does with a decoder before it opens it, done now and told.

use super::super::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{stage_settings, start};
use anyhow::{Context, bail};
use hob_model::{Activations, ModelFolder, Origin, PrepareSettings, Prepared, Variant};
use hob_onnx::Outcome;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The graph in the model's folder stays as it is; the rewritten one goes into `[model] cache`, and names the same weights.
hob does this by itself when it opens a model, unless `[model] prepare = false`.

Example:
  sudo -u hob hob model prepare /var/lib/hob/models/gemma-4-e2b --activations published")]
pub(in crate::cli) struct Prepare {
    /// The model's folder; that of the settings without.
    folder: Option<PathBuf>,
    /// Which graphs; those of the settings without.
    #[arg(long)]
    variant: Option<Variant>,
    /// int8 or published; as in the settings without.
    #[arg(long)]
    activations: Option<Activations>,
}

/// What became of it.
#[derive(Serialize)]
struct Told {
    variant: &'static str,
    /// Whether it lay in the cache already.
    was_kept: bool,
    bytes: usize,
    in_place: bool,
    passes: Vec<Outcome>,
}

pub(super) fn prepare(invocation: &Invocation, settings: &Settings, order: &Prepare) -> anyhow::Result<Exit> {
    let asked = stage_settings::model_settings(settings)?;
    let folder = order.folder.as_ref().unwrap_or(&asked.folder);
    // A folder that is named here has nothing to do with the variant in the settings.
    let variant = order.variant.or(if order.folder.is_none() { asked.variant } else { None });
    let folder = ModelFolder::open(folder, variant)?;
    let usual = stage_settings::prepare_settings(settings);
    let activations = order.activations.unwrap_or(usual.activations);
    let wanted = PrepareSettings { activations, ..usual };
    if let Some(owner) =
        start::owner(&wanted.folder).filter(|owner| *owner != 0 && rustix::process::geteuid().is_root())
    {
        bail!("{} belongs to user {owner}: run this as that user (sudo -u '#{owner}' hob …)", wanted.folder.display());
    }
    let opened = super::check_library(settings).and_then(|()| Prepared::open(&folder, &wanted));
    let (prepared, origin) = opened.with_context(|| format!("{} runs as published", folder.decoder.display()))?;
    let told = Told {
        variant: folder.variant.name(),
        was_kept: origin == Origin::Kept,
        bytes: prepared.graph().len(),
        in_place: prepared.in_place(),
        passes: prepared.outcomes().to_vec(),
    };
    invocation.print(&told, || {
        let how = if told.was_kept { "was prepared already" } else { "is prepared" };
        let first = format!("{} {how}: {} kB in {}", folder.name(), told.bytes.div_ceil(1000), wanted.folder.display());
        let lines = told.passes.iter().map(|outcome| format!("  {outcome}"));
        [first].into_iter().chain(lines).collect()
    })?;
    Ok(Exit::Ok)
}
