//! The camera in front of a gauge: a real RTSP server, which says what its gauge shows.

use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How much the gauge climbs in a second.
const RISE: &str = "3";

/// Ends with this value.
pub(crate) struct GaugeCamera {
    port: u16,
    server: Child,
    /// What the gauge showed, and when.
    shown: Arc<Mutex<Vec<(u32, Instant)>>>,
}

impl GaugeCamera {
    pub(crate) fn start(root: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let script = root.join("scripts/gauge_camera.py");
        let mut server = Command::new("/usr/bin/python3")
            .arg(script)
            .args([&port.to_string(), RISE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 is missing")?;
        let out = server.stdout.take().context("the camera has no output")?;
        let mut lines = BufReader::new(out).lines();
        let Some(Ok(first)) = lines.next() else { bail!("the camera does not start: run `scripts/setup.sh camera`") };
        if first != "ready" {
            bail!("the camera says {first}");
        }
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&shown);
        std::thread::Builder::new().name("camera".to_owned()).spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(Ok(value)) = line.split(' ').next().map(str::parse) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push((value, Instant::now()));
                }
            }
        })?;
        Ok(Self { port, server, shown })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until somebody looks, and has the gauge climb.
    pub(crate) async fn climb(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.shown.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("nobody looks through the camera");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stdin = self.server.stdin.as_mut().context("the camera has no input")?;
        writeln!(stdin, "climb")?;
        Ok(stdin.flush()?)
    }

    /// What the gauge shows now, and when it first showed more than the limit.
    pub(crate) fn passed(&self, limit: u32) -> Option<(u32, Instant)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, at) = shown.iter().find(|(value, _)| *value > limit)?;
        Some((shown.last()?.0, *at))
    }
}

impl Drop for GaugeCamera {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
