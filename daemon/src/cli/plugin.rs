//! `hob plugin`: installing plugins, and saying what they may do. Only here: no tool and no model can reach this.

use super::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::stage_settings::host_settings;
use crate::start::{self, StartError};
use anyhow::{Context, bail};
use hob_doors::DoorClient;
use hob_events::{DeviceAction, PluginName};
use hob_plugin_host::{
    DeviceFilter, DeviceOrder, DeviceRefusal, Grant, IoFuture, KvFailure, KvQuota, KvRange, KvWrite, PluginHost,
    PluginIo, PluginReport, PluginState, PublishOrder, PublishRefusal, SeenDevice,
};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Example:\n  hob plugin install target/plugins/home\n  hob plugin grant home\nA running hob takes changes up when it is restarted."
)]
pub(super) enum Plugin {
    /// Check a package and copy it in. Grants nothing.
    Install {
        /// A folder with plugin.toml and the component.
        package: PathBuf,
    },
    /// List what is installed, and whether it can be called.
    List,
    /// Give a plugin all that its manifest asks for; edit the written file to give it less.
    Grant {
        /// Its id.
        plugin: String,
    },
    /// Take the grant back.
    Revoke {
        /// Its id.
        plugin: String,
    },
    /// Show imports, tools, limits and grant.
    Inspect {
        /// Its id; all when none is named.
        plugin: Option<String>,
    },
    /// Remove a package. What it stored and its grant stay.
    Remove {
        /// Its id.
        plugin: String,
    },
}

pub(super) async fn plugin(invocation: &Invocation, command: Plugin) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let Opened { host, cache: _cache } = open_host(&settings).await?;
    let changes = !matches!(command, Plugin::List | Plugin::Inspect { .. });
    match command {
        Plugin::Install { package } => {
            let report = host.install(&package).await?;
            let plugin = &report.manifest.plugin;
            let needs: Vec<&str> = report.needs.iter().map(|needed| needed.word()).collect();
            let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
            let first = format!("installed {} {}, a component of {}", plugin.id, plugin.version, report.component);
            let tools = report.tools.iter().map(|tool| format!("offers {}: {}", tool.name, tool.description));
            let last = format!("it may do nothing yet: hob plugin grant {}", plugin.id);
            let lines = [first, format!("needs {needs}")].into_iter().chain(tools).chain([last]);
            super::print_line(&lines.collect::<Vec<_>>().join("\n"))?;
        }
        Plugin::List => {
            let reports = host.inspect().await;
            let lines = || match reports.is_empty() {
                true => vec!["none installed".to_owned()],
                false => reports.iter().map(in_one_line).collect(),
            };
            invocation.print(&reports, lines)?;
        }
        Plugin::Grant { plugin } => {
            refuse_unknown(&host, &plugin).await?;
            let manifest = host.manifest(&name(&plugin)?)?;
            let grant = Grant::all_asked(&manifest);
            host.grant(&grant).await?;
            let path = Grant::path(&settings.plugins.grants, &grant.plugin);
            super::print_line(&format!("granted {plugin} all it asks for, in {}", path.display()))?;
        }
        Plugin::Revoke { plugin } => {
            let path = Grant::path(&settings.plugins.grants, &name(&plugin)?);
            std::fs::remove_file(&path).with_context(|| format!("there is no grant at {}", path.display()))?;
            super::print_line(&format!("revoked {plugin}"))?;
        }
        Plugin::Inspect { plugin } => {
            let mut reports = host.inspect().await;
            if let Some(wanted) = &plugin {
                reports.retain(|report| report.plugin.as_str() == wanted);
                if reports.is_empty() {
                    bail!("no plugin is called {wanted}");
                }
            }
            invocation.print(&reports, || reports.iter().flat_map(in_full).collect())?;
        }
        Plugin::Remove { plugin } => {
            host.remove(&name(&plugin)?).await?;
            super::print_line(&format!("removed {plugin}"))?;
        }
    }
    if changes && DoorClient::connect(&settings.doors.socket).await.is_ok() {
        super::print_line("a hob is running and goes on as before: restart it (systemctl restart hob)")?;
    }
    Ok(Exit::Ok)
}

/// The plugin host by itself, and the folder it compiles into when that is not hob's own.
pub(super) struct Opened {
    pub(super) host: PluginHost,
    pub(super) cache: Option<TempDir>,
}

/// The plugin host by itself, for looking and installing: its plugins reach nothing.
///
/// Root compiles into a folder of its own: code that hob's user compiled is not root's to run, and what root would leave
/// in hob's folder hob could not use.
pub(super) async fn open_host(settings: &Settings) -> anyhow::Result<Opened> {
    let mut host = host_settings(settings);
    let foreign = rustix::process::geteuid().is_root() && start::owner(&host.cache).is_none_or(|owner| owner != 0);
    let cache = foreign.then(TempDir::new).transpose().context("no folder to compile in")?;
    if let Some(cache) = &cache {
        host.cache = cache.path().to_owned();
    }
    let host = PluginHost::open(host, Arc::new(Nowhere)).await.map_err(StartError::from)?;
    Ok(Opened { host, cache })
}

async fn refuse_unknown(host: &PluginHost, plugin: &str) -> anyhow::Result<()> {
    let installed: Vec<String> = host.inspect().await.iter().map(|report| report.plugin.to_string()).collect();
    if !installed.iter().any(|name| name == plugin) {
        let names = if installed.is_empty() { "none".to_owned() } else { installed.join(", ") };
        bail!("no plugin is called {plugin}; installed: {names}");
    }
    Ok(())
}

fn name(plugin: &str) -> anyhow::Result<PluginName> {
    PluginName::new(plugin).with_context(|| format!("{plugin:?} is no plugin's id"))
}

pub(super) fn in_one_line(report: &PluginReport) -> String {
    let version = report.version.as_deref().unwrap_or("?");
    format!("{:16} {:8} {}", report.plugin, version, state_in_words(&report.state))
}

fn state_in_words(state: &PluginState) -> String {
    match state {
        PluginState::Ready => "ready".to_owned(),
        PluginState::Paused { for_ms } => format!("paused for {for_ms} ms"),
        PluginState::Ungranted { reason } | PluginState::Quarantined { reason } | PluginState::Refused { reason } => {
            reason.clone()
        }
    }
}

fn in_full(report: &PluginReport) -> Vec<String> {
    let mut lines = vec![in_one_line(report)];
    if let Some(sha256) = &report.sha256 {
        lines.push(format!("  sha256   {sha256}"));
    }
    lines.push(format!("  imports  {}", report.imports.join(", ")));
    let granted = if report.granted.is_some() { "yes" } else { "no" };
    lines.push(format!("  granted  {granted}"));
    lines.extend(report.tools.iter().map(|tool| format!("  tool     {} · {}", tool.name, tool.description)));
    lines
}

/// Where plugins of the command line are: they are only asked for their tools, and reach nothing.
#[derive(Debug)]
struct Nowhere;

const NOWHERE: &str = "hob does not run";

impl PluginIo for Nowhere {
    fn kv_get<'a>(&'a self, _: &'a PluginName, _: &'a str) -> IoFuture<'a, Result<Option<Vec<u8>>, KvFailure>> {
        Box::pin(std::future::ready(Err(KvFailure::Storage { reason: NOWHERE.to_owned() })))
    }

    fn kv_scan<'a>(&'a self, _: &'a PluginName, _: KvRange) -> IoFuture<'a, Result<Vec<(String, Vec<u8>)>, KvFailure>> {
        Box::pin(std::future::ready(Err(KvFailure::Storage { reason: NOWHERE.to_owned() })))
    }

    fn kv_commit<'a>(&'a self, _: &'a PluginName, _: Vec<KvWrite>, _: KvQuota) -> IoFuture<'a, Result<(), KvFailure>> {
        Box::pin(std::future::ready(Err(KvFailure::Storage { reason: NOWHERE.to_owned() })))
    }

    fn devices<'a>(&'a self, _: DeviceFilter) -> IoFuture<'a, Vec<SeenDevice>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn device<'a>(&'a self, _: &'a str) -> IoFuture<'a, Option<SeenDevice>> {
        Box::pin(std::future::ready(None))
    }

    fn command<'a>(&'a self, order: DeviceOrder) -> IoFuture<'a, Result<DeviceAction, DeviceRefusal>> {
        Box::pin(std::future::ready(Err(DeviceRefusal::Unknown { device: order.device })))
    }

    fn publish<'a>(&'a self, _: PublishOrder) -> IoFuture<'a, Result<(), PublishRefusal>> {
        Box::pin(std::future::ready(Err(PublishRefusal::Offline { reason: NOWHERE.to_owned() })))
    }
}
