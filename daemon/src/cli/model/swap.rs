//! `hob model swap`: another model for a running hob.

use super::in_use::is_same;
use super::named_folder;
use crate::cli::Invocation;
use crate::exit::Exit;
use anyhow::{Context, bail};
use hob_doors::{DoorClient, Reply, Request};
use hob_model_store::Store;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Swap {
    /// A model of the store, or a folder.
    model: String,
    /// Which graphs, when there are more than one set: q4f16, q4, …
    #[arg(long)]
    variant: Option<String>,
}

pub(super) async fn swap(invocation: &Invocation, order: &Swap) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let folder = named_folder(&Store::at(&settings.model.store), &order.model)?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be found", folder.display()))?;
    let mut client = DoorClient::connect(&settings.doors.socket)
        .await
        .context("only a running hob has a model to change; otherwise set `[model] folder`")?;
    client.send(&Request::ModelSwap { folder: folder.clone(), variant: order.variant.clone() }).await?;
    let changed = loop {
        match client.next().await? {
            Reply::Progress { message } => writeln!(std::io::stderr().lock(), "{message} …")?,
            Reply::Data { value } => break value,
            Reply::Error { code, message } => bail!("{message} [{code}]"),
            other @ (Reply::Accepted { .. }
            | Reply::Status(_)
            | Reply::Reading { .. }
            | Reply::Text { .. }
            | Reply::Final { .. }
            | Reply::Done) => {
                bail!("hob answered something else: {other:?}")
            }
        }
    };
    let named = order.variant.as_deref().unwrap_or_default();
    let stays = is_same(&settings.model.folder, &folder) && settings.model.variant == named;
    let text = |key: &str| changed.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let (name, variant) = (text("name"), text("variant"));
    let mut value = changed;
    value["stays"] = json!(stays);
    invocation.print(&value, || {
        let mut lines = vec![format!("{name} {variant} answers now")];
        if !stays {
            let config = invocation.config.display();
            lines.push(format!("A restarted hob opens what the settings name. To keep this one, write into {config}:"));
            lines.push(format!("  [model]\n  folder = \"{}\"\n  variant = \"{named}\"", folder.display()));
        }
        lines
    })?;
    Ok(Exit::Ok)
}
