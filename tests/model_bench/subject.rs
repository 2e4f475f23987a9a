//! A model of true size in a process of its own.

use crate::work::{Answer, Ask, Opening, WORKER, scratch};
use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// What is compared: one folder, opened in one way.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    child: Child,
    asks: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// How long it took to open it.
    pub(crate) opened_in: f64,
}

impl Subject {
    pub(crate) fn open(
        name: &'static str,
        folder: &Path,
        cache: &Path,
        threads: usize,
        prepared: bool,
        scratches: &Path,
    ) -> anyhow::Result<Self> {
        ensure!(folder.is_dir(), "there is no {}: run scripts/model-true-size.sh for it", folder.display());
        let cache = cache.to_owned();
        let opening =
            Opening { folder: folder.to_owned(), threads, prepared, cache, scratch: scratch(scratches, name) };
        let began = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args([WORKER, &serde_json::to_string(&opening)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let said = answers.next().with_context(|| format!("{name} could not be opened"))??;
        ensure!(said == "open", "{name}: {said}");
        Ok(Self { name, child, asks, answers, opened_in: began.elapsed().as_secs_f64() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has something done, and waits for it.
    pub(crate) fn ask(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        let Some(asks) = &mut self.asks else { bail!("{} is closed", self.name) };
        writeln!(asks, "{}", serde_json::to_string(&ask)?)?;
        let line = self.answers.next().with_context(|| format!("{} gave up at {ask:?}", self.name))??;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        self.asks = None;
        self.child.wait().ok();
    }
}
