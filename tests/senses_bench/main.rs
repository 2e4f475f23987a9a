//! `make bench-senses`: what listening and looking cost, each as a ratio to something in the same run.
//!
//!   bench-senses MODEL...      folders with ears; all but `true-ears` are asked for a first token too

mod ears;
mod idle;
mod motion;

use anyhow::bail;
use std::io::Write;
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        bail!("usage: bench-senses MODEL...");
    }
    let runtime = hob_onnx::Runtime::find(None)?;
    let mut rows = vec![idle::listening(&runtime)?, motion::looking()?];
    for folder in &folders {
        rows.push(ears::heard(&runtime, folder)?);
    }
    say("| what | measured | beside | share | target | |");
    say("|---|---|---|---|---|---|");
    for Row { what, measured, beside, share, target } in rows {
        let reached = if share <= target { "reached" } else { "**missed**" };
        say(&format!(
            "| {what} | {measured} | {beside} | {:.1} % | {:.0} % | {reached} |",
            share * 100.0,
            target * 100.0
        ));
    }
    Ok(())
}

/// A figure beside another of the same run.
struct Row {
    what: String,
    measured: String,
    beside: String,
    /// Of what it stands beside.
    share: f64,
    /// At most.
    target: f64,
}

fn say(line: &str) {
    // Whoever closed the pipe does not want to read on.
    writeln!(std::io::stdout(), "{line}").ok();
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
