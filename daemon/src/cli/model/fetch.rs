//! `hob model fetch`: which manifest, which hub, whose token; the store does the rest.

use super::progress::Meter;
use super::{about_hashes, what_next};
use crate::cli::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use anyhow::Context;
use hob_model_store::{
    FetchOrder, Fetched, HubAddress, Manifest, ModelName, NetworkSettings, Plan, Revision, Store, Token, VariantName,
    in_words,
};
use std::ffi::OsString;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
HTTPS_PROXY, ALL_PROXY and NO_PROXY count. SSL_CERT_FILE names authorities to trust in place of
the built-in ones. A token comes from --token-file, else $CREDENTIALS_DIRECTORY/model-token, else
HF_TOKEN; the last two go to no other hub than the one in the settings.

Example:
  sudo -u hob hob model fetch gemma-4-e2b --variant q4f16 --jobs 2")]
pub(in crate::cli) struct Fetch {
    /// gemma-4-e2b, gemma-4-e2b-mobile or gemma-4-e4b.
    #[arg(required_unless_present = "manifest", conflicts_with = "manifest")]
    model: Option<String>,
    /// A list of files of your own, written as those in models/*.toml.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Which graphs; the smallest without.
    #[arg(long)]
    variant: Option<VariantName>,
    /// What to call it in the store.
    #[arg(long)]
    name: Option<ModelName>,
    /// The hub's address, in place of the one in the settings.
    #[arg(long, value_name = "URL")]
    from: Option<HubAddress>,
    /// Another state of the repository than the manifest's. Nothing is known of its hashes.
    #[arg(long)]
    revision: Option<Revision>,
    /// Files fetched side by side, 1 to 16.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// A file that holds a token and nothing else.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn fetch(
    invocation: &Invocation,
    settings: &Settings,
    store: &Store,
    order: &Fetch,
) -> anyhow::Result<Exit> {
    let plan = plan(order)?;
    let usual: HubAddress = settings.model.hub.parse().context("`[model] hub` in the settings")?;
    let hub = order.from.as_ref().unwrap_or(&usual);
    let token = token(order.token_file.as_deref(), hub.is_same_server(&usual), |name| std::env::var_os(name))?;
    let meter = Meter::new();
    let fetched = store.fetch(&FetchOrder {
        plan: &plan,
        hub,
        token,
        jobs: NonZero::new(usize::from(order.jobs)).unwrap_or(NonZero::<usize>::MIN),
        network: NetworkSettings {
            authorities: std::env::var_os("SSL_CERT_FILE").map(PathBuf::from),
            ..NetworkSettings::default()
        },
        report: &|progress| meter.tell(progress),
    });
    meter.end();
    let fetched = fetched?;
    let value = serde_json::json!({
        "folder": fetched.folder, "was_there": fetched.was_there, "model": fetched.record,
    });
    invocation.print(&value, || in_full(invocation, &fetched))?;
    Ok(Exit::Ok)
}

fn plan(order: &Fetch) -> anyhow::Result<Plan> {
    let manifest = match &order.manifest {
        Some(path) => Manifest::read(path)?,
        None => Manifest::shipped(order.model.as_deref().unwrap_or_default())?,
    };
    let mut plan = manifest.plan(order.variant.as_ref(), order.revision.clone())?;
    if let Some(name) = &order.name {
        plan.name = name.clone();
    }
    Ok(plan)
}

/// The token to send. One that lies around is meant for the hub in the settings; another hub gets only what was named
/// for it.
fn token(
    file: Option<&Path>,
    usual_hub: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> anyhow::Result<Option<Token>> {
    if let Some(path) = file {
        return Ok(Some(Token::read(path)?));
    }
    let credential = variable("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join("model-token"));
    let credential = credential.filter(|path| path.exists());
    let spoken = variable("HF_TOKEN").filter(|token| !token.is_empty());
    if !usual_hub {
        if credential.is_some() || spoken.is_some() {
            let said =
                "hob: the token is meant for the hub in the settings and is not sent to another; use --token-file";
            writeln!(std::io::stderr().lock(), "{said}")?;
        }
        return Ok(None);
    }
    match (credential, spoken) {
        (Some(path), _) => Ok(Some(Token::read(&path)?)),
        (None, Some(text)) => Ok(Some(Token::new(&text.to_string_lossy(), "HF_TOKEN")?)),
        (None, None) => Ok(None),
    }
}

fn in_full(invocation: &Invocation, fetched: &Fetched) -> Vec<String> {
    let record = &fetched.record;
    let verb = if fetched.was_there { "there already:" } else { "fetched" };
    let size = format!("{} files, {}", record.files.len(), in_words(record.bytes()));
    let first = format!("{verb} {} {}, {size}, in {}", record.name, record.variant, fetched.folder.display());
    [first].into_iter().chain(about_hashes(record)).chain(what_next(invocation, record, &fetched.folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_lies_around_goes_to_the_usual_hub_only() {
        let folder = tempfile::tempdir().unwrap();
        let around = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(folder.path().into()),
            _ => Some("spoken".into()),
        };
        let file = folder.path().join("model-token");
        let is = |text| Some(Token::new(text, "the test").unwrap());
        assert_eq!(token(None, true, around).unwrap(), is("spoken"));
        std::fs::write(&file, "credential\n").unwrap();
        assert_eq!(token(None, true, around).unwrap(), is("credential"));
        assert_eq!(token(None, false, around).unwrap(), None);
        assert_eq!(token(Some(&file), false, |_| None).unwrap(), is("credential"));
        assert!(token(Some(Path::new("/nowhere")), true, around).is_err());
    }
}
