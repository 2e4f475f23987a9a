//! The real daemon, in a folder of its own.

use crate::broker::signal;
use crate::client::Client;
use crate::house::House;
use crate::places::Places;
use crate::wait::{DEADLINE, until};
use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Lines of the daemon's log that are shown when it did not do what was waited for.
const SHOWN_LINES: usize = 30;

/// A hob of its own: settings, inventory, plugins, state and log lie in one folder that goes when this value goes.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    places: Places,
    variables: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Daemon {
    /// Lays out the folder; starts nothing yet.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn prepare(port: u16, node: &str, house: &House, places: Places) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hob-").tempdir()?;
        let daemon = Self { folder, places, variables: BTreeMap::new(), child: None };
        fs::write(daemon.path("devices.toml"), house.inventory())?;
        fs::write(daemon.settings(), daemon.settings_text(port, node))?;
        for plugin in &daemon.places.plugins {
            daemon.done(&["plugin", "install", &plugin.folder().to_string_lossy()])?;
            daemon.done(&["plugin", "grant", plugin.id()])?;
        }
        Ok(daemon)
    }

    /// Sets `section.key` for the next start, over what the settings file says.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// The same for a daemon that has run already.
    pub fn set(&mut self, key: &str, value: &str) {
        let name = format!("HOB_{}", key.to_uppercase().replace('.', "__"));
        self.variables.insert(name, value.to_owned());
    }

    /// Sets any variable of its environment for the next start.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Starts it and waits until it says over the broker that it is there.
    ///
    /// # Errors
    /// When it ends instead, or says nothing; the message ends with its log.
    pub async fn start(&mut self, client: &Client) -> anyhow::Result<()> {
        let from = client.mark();
        self.spawn()?;
        let child = self.child.as_mut().context("it was just started")?;
        let ended = until_ended(child);
        tokio::select! {
            online = client.availability("online", from) => online.with_context(|| self.last_lines()),
            status = ended => bail!("hob ended with {}\n{}", status?, self.last_lines()),
        }
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// When it is running already, or cannot be started.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "it is running already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("the hob binary cannot be started")?);
        Ok(())
    }

    /// Runs a command of the binary with this daemon's settings, and waits for it.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments).stdin(Stdio::null()).output().context("the hob binary cannot be started")
    }

    /// Runs a command of the binary that must go well.
    fn done(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.cli(arguments)?;
        ensure!(output.status.success(), "hob {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Asks one thing at its control socket, and gives the first line of the answer.
    ///
    /// # Errors
    /// When nobody listens there, or the answer is no JSON.
    pub async fn door(&self, request: &Value) -> anyhow::Result<Value> {
        let mut socket = UnixStream::connect(self.path("control.sock")).await.context("nobody listens at the door")?;
        socket.write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = String::new();
        timeout(DEADLINE, BufReader::new(socket).read_line(&mut line)).await.context("the door says nothing")??;
        serde_json::from_str(&line).with_context(|| format!("not an answer: {line}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.places.binary);
        command.args(arguments).arg("--config").arg(self.settings()).envs(&self.variables).env_remove("NOTIFY_SOCKET");
        command
    }

    /// Kills it as a power cut would, as far as the process is concerned.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.send(Signal::KILL)?;
        self.ended().await?;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.send(Signal::TERM)?;
        self.ended().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("it is not running")?;
        let status = until_ended(&mut child).await;
        if status.is_err() {
            self.child = Some(child);
        }
        status.with_context(|| self.last_lines())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn send(&self, what: Signal) -> anyhow::Result<()> {
        signal(self.child.as_ref().context("it is not running")?, what)
    }

    /// Everything it has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        format!("the end of hob's log:\n{shown}")
    }

    /// A file or folder of its own.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its settings file.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.path("hob.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.path("hob.log")
    }

    fn settings_text(&self, port: u16, node: &str) -> String {
        let quoted = |path: &Path| format!("'{}'", path.display());
        format!(
            "[node]\nname = '{node}'\n\n\
             [model]\nfolder = {}\ncache = 'model-cache'\n\n\
             [onnx]\nlibrary = {}\n\n\
             [mqtt]\nport = {port}\n\n\
             [doors]\nsocket = 'control.sock'\n\n\
             [plugins]\nfolder = 'plugins'\ngrants = 'grants'\ncache = 'cache'\n\n\
             [devices]\nfile = 'devices.toml'\n\n\
             [state]\nfolder = 'state'\n\n\
             [log]\nto = 'stderr'\n",
            quoted(&self.places.model),
            quoted(&self.places.onnxruntime),
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; then there is nothing left to do.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn until_ended(child: &mut Child) -> anyhow::Result<ExitStatus> {
    until("hob to end", async || Ok(child.try_wait()?)).await
}
