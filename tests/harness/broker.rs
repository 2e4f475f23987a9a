//! A real broker: mosquitto as a child of the test.

use crate::wait::until;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Another process may take a free port before mosquitto does; so often is another one tried.
const TRIES: usize = 5;

/// Mosquitto on a free port of the loopback, with a folder of its own. Ends with this value.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Broker {
    /// Starts one and waits until it takes connections.
    ///
    /// # Errors
    /// When mosquitto is missing or does not start; the message ends with what it wrote.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hob-broker-").tempdir()?;
        let mut broker = Self { port: 0, folder, child: None };
        for _ in 1..TRIES {
            broker.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            if broker.restart().await.is_ok() {
                return Ok(broker);
            }
        }
        broker.restart().await?;
        Ok(broker)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it in order: sessions and retained messages are kept for [`restart`](Self::restart).
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, Signal::TERM)?;
        until("mosquitto to end", async || Ok(child.try_wait()?)).await?;
        Ok(())
    }

    /// Starts it (again) on its port and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not start; the message ends with what it wrote.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        let log = self.folder.path().join("mosquitto.log");
        let settings = self.folder.path().join("mosquitto.conf");
        fs::write(&settings, settings_text(self.port, self.folder.path()))?;
        let mut child = Command::new(mosquitto())
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(fs::OpenOptions::new().append(true).open(&log)?)
            .spawn()
            .context("mosquitto does not start: run `make setup`")?;
        let port = self.port;
        let ready = until("mosquitto to take connections", async || {
            if let Some(status) = child.try_wait()? {
                bail!("mosquitto ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).await.ok())
        });
        ready.await?;
        self.child = Some(child);
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; then there is nothing left to do.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Debian keeps it where only root's path looks.
fn mosquitto() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

fn settings_text(port: u16, folder: &Path) -> String {
    // Without `user root` it would give up root and then could not write its folder; others are not changed by it.
    format!(
        "listener {port} 127.0.0.1\n\
         allow_anonymous true\n\
         set_tcp_nodelay true\n\
         user root\n\
         persistence true\n\
         persistence_location {}/\n\
         max_queued_messages 10000\n\
         log_dest stdout\n",
        folder.display()
    )
}

/// Sends a signal to a child that was not waited for yet.
pub(crate) fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a child has a process id")?;
    kill_process(pid, signal).context("the signal could not be sent")
}
