//! `hob model prepare`: what the daemon does with a decoder before it opens it, done now and told.

use super::super::Invocation;
use super::requantize::{self, Order};
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{stage_settings, start};
use anyhow::{Context, bail};
use hob_model::{Activations, ModelFolder, Origin, PrepareSettings, Prepared, Variant};
use hob_onnx::Outcome;
use serde::Serialize;
use std::path::PathBuf;
use tokio::runtime::Runtime;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The graph in the model's folder stays as it is; the rewritten one goes into `[model] cache`, and names the same weights.
hob does this by itself when it opens a model, unless `[model] prepare = false`.

With --block the weights change too, so hob never does that by itself: a model of its own is made in --out, whose decoder has
one scale for 128 weights where the published one has one for 32. It is faster and less exact; how much less is measured,
printed, and kept in requantized.json. The published folder stays as it is.

Examples:
  sudo -u hob hob model prepare /var/lib/hob/models/gemma-4-e2b --activations published
  sudo -u hob hob model prepare /var/lib/hob/models/gemma-4-e2b --block 128 --out /var/lib/hob/models/gemma-4-e2b-b128")]
pub(in crate::cli) struct Prepare {
    /// The model's folder; that of the settings without.
    folder: Option<PathBuf>,
    /// Which graphs; those of the settings without.
    #[arg(long)]
    variant: Option<Variant>,
    /// int8 or published; as in the settings without.
    #[arg(long)]
    activations: Option<Activations>,
    /// Requantize the decoder's 4-bit weights to blocks of 128, into a new model.
    #[arg(long, value_parser = ["128"], requires = "out")]
    block: Option<String>,
    /// The new model's folder; it must not be there.
    #[arg(long, value_name = "DIR", requires = "block")]
    out: Option<PathBuf>,
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

pub(super) fn prepare(
    invocation: &Invocation,
    settings: &Settings,
    order: &Prepare,
    runtime: &Runtime,
) -> anyhow::Result<Exit> {
    let asked = stage_settings::model_settings(settings)?;
    let folder = order.folder.as_ref().unwrap_or(&asked.folder);
    // A folder that is named here has nothing to do with the variant in the settings.
    let variant = order.variant.or(if order.folder.is_none() { asked.variant } else { None });
    let folder = ModelFolder::open(folder, variant)?;
    let usual = stage_settings::prepare_settings(settings);
    let activations = order.activations.unwrap_or(usual.activations);
    let wanted = PrepareSettings { activations, ..usual };
    if let Some(out) = &order.out {
        return requantize::requantize(invocation, &Order { folder: &folder, out, settings, prepare: wanted }, runtime);
    }
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
