//! How busy the machine is with others while something is measured, and a neighbour to make it so.

use anyhow::Context;
use std::process::{Child, Command, Stdio};

/// Below this share of the machine it counts as quiet.
pub(crate) const QUIET: f64 = 0.05;

/// Processor time so far, in the kernel's ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    busy: u64,
    all: u64,
    own: u64,
}

impl Ticks {
    /// Of the machine, and of this process, its children that have ended, and the living ones that are named.
    pub(crate) fn now(children: &[u32]) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("the kernel's count of time")?;
        let line = stat.lines().next().context("the kernel's count of time")?;
        let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what guests take is in user already.
        let all = fields.iter().take(8).sum();
        let idle: u64 = fields.iter().skip(3).take(2).sum();
        let own = of_process("self")?
            + children.iter().map(|child| of_process(&child.to_string())).sum::<anyhow::Result<u64>>()?;
        Ok(Self { busy: all - idle, all, own })
    }

    /// Which share of the machine others had since then.
    pub(crate) fn foreign_since(self, before: Self) -> f64 {
        let others = (self.busy - before.busy).saturating_sub(self.own.saturating_sub(before.own));
        ratio(others, self.all.saturating_sub(before.all).max(1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 ticks")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// utime, stime, cutime and cstime of `/proc/PID/stat`, which come after the name in parentheses.
fn of_process(name: &str) -> anyhow::Result<u64> {
    let stat =
        std::fs::read_to_string(format!("/proc/{name}/stat")).context("a process has ended that was measured")?;
    let (_, rest) = stat.rsplit_once(')').context("a line of /proc")?;
    Ok(rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// A process that does nothing, as fast as it can, until it is dropped.
#[derive(Debug)]
pub(crate) struct Neighbour(Child);

impl Neighbour {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Ok(Self(command.spawn().context("a busy neighbour cannot be started")?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
