//! llama.cpp, by its own benchmark.

use anyhow::{Context, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file for llama.cpp, and what runs it.
#[derive(Debug, Clone)]
pub(crate) struct Llama {
    pub(crate) name: &'static str,
    program: PathBuf,
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Row {
    avg_ts: f64,
}

impl Llama {
    pub(crate) fn find(name: &'static str, program: &Path, file: PathBuf) -> anyhow::Result<Self> {
        ensure!(program.is_file(), "there is no {}: run scripts/fetch-llama-cpp.sh", program.display());
        ensure!(file.is_file(), "there is no {}: run scripts/model-true-size.sh for it", file.display());
        Ok(Self { name, program: program.to_owned(), file })
    }

    /// Tokens a second, one by one, after `at` tokens that are not counted.
    pub(crate) fn decode(&self, threads: usize, at: u32, tokens: u32) -> anyhow::Result<f64> {
        let (depth, tokens) = (at.to_string(), tokens.to_string());
        self.run(threads, &["-p", "0", "-n", &tokens, "-d", &depth])
    }

    /// Tokens a second of a prompt of so many.
    pub(crate) fn prefill(&self, threads: usize, tokens: u32) -> anyhow::Result<f64> {
        self.run(threads, &["-p", &tokens.to_string(), "-n", "0"])
    }

    fn run(&self, threads: usize, what: &[&str]) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(&self.file).args(["-t", &threads.to_string(), "-r", "1", "-o", "json", "--no-warmup"]);
        let done = command.args(what).stdin(Stdio::null()).output().context("llama-bench cannot be started")?;
        let said = || String::from_utf8_lossy(&done.stderr).lines().rev().take(5).collect::<Vec<_>>().join("; ");
        ensure!(done.status.success(), "llama-bench failed: {}", said());
        let rows: Vec<Row> = serde_json::from_slice(&done.stdout).context("llama-bench says something else")?;
        Ok(rows.first().context("llama-bench says nothing")?.avg_ts)
    }
}
