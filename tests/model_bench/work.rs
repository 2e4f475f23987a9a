//! The process that has one model open, and does with it what it is told, line by line.

use crate::orders::Orders;
use anyhow::{Context, bail};
use hob_events::{Allowed, GenerateOrder, Generated, ModelTimings, StopReason, Writing};
use hob_model::{
    Activations, Gemma, Interrupt, LanguageModel, MemoSettings, ModelFolder, ModelSettings, Needs, PrefixSettings,
    PrepareSettings, Prepared, Progress,
};
use hob_onnx::{PackedSettings, Runtime};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The first argument of such a process.
pub(crate) const WORKER: &str = "--worker";

/// How the model is opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) folder: PathBuf,
    pub(crate) threads: usize,
    /// Whether its decoder is rewritten first, as the daemon does; else it is run as published.
    pub(crate) prepared: bool,
    /// Where prepared graphs and packed weights outlive the run.
    pub(crate) cache: PathBuf,
    /// A folder of its own for what else hob keeps.
    pub(crate) scratch: PathBuf,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Tokens one by one, after a prompt of about `at`.
    Decode { at: usize, tokens: u32 },
    /// A prompt of about so many tokens.
    Prefill { tokens: usize },
    /// The first token after a beginning of so many tokens: nothing known, in memory, and after a restart.
    First { tokens: usize },
    /// A constrained call, as many plain steps, and the call once more.
    Call,
    /// What the process takes now.
    Memory,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Tokens a second, and the share of the time that was not spent in the graph.
    Speed { tokens_per_second: f64, own_share: f64 },
    /// Milliseconds to the first token.
    First { cold: f64, in_memory: f64, restarted: f64 },
    /// Milliseconds of a call of so many tokens, of as many plain steps, and of the call from the memo.
    Call { tokens: u32, forced: u32, call: f64, plain: f64, recalled: f64 },
    /// Bytes; the KV cache is what the tokens in it take.
    Memory { anonymous: u64, of_files: u64, kv: u64 },
}

/// Serves until its input ends.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let opening: Opening = serde_json::from_str(&arguments.next().context("how to open the model")?)?;
    let mut work = Work::open(opening)?;
    let mut out = std::io::stdout();
    writeln!(out, "open")?;
    for line in std::io::stdin().lock().lines() {
        let answer = work.carry_out(serde_json::from_str(&line?)?)?;
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

struct Work {
    runtime: Runtime,
    settings: ModelSettings,
    model: Option<Gemma>,
    orders: Orders,
    kv_bytes_per_token: usize,
    held: usize,
}

/// A generation and how long it took, seen from outside.
struct Done {
    generated: Generated,
    ms: f64,
    /// Of it in the graph.
    graph_ms: f64,
}

impl Work {
    fn open(opening: Opening) -> anyhow::Result<Self> {
        let runtime = Runtime::find(None)?;
        let kept = |name: &str| opening.scratch.join(name);
        let mut settings = ModelSettings {
            memo: Some(MemoSettings { folder: kept("memo"), entries: 64, bytes: MemoSettings::USUAL_BYTES }),
            prefixes: Some(PrefixSettings { folder: kept("kv"), files: 4, bytes: PrefixSettings::USUAL_BYTES }),
            // llama.cpp's benchmark guesses nothing ahead either.
            draft: false,
            ..ModelSettings::new(&opening.folder)
        };
        settings.session.threads = NonZero::new(opening.threads);
        // Once for all runs: packing takes half a minute.
        let (most, least_bytes) = (8, PackedSettings::USUAL_LEAST_BYTES);
        settings.session.packed = Some(PackedSettings { folder: opening.cache.join("packed"), most, least_bytes });
        if opening.prepared {
            let folder = opening.cache.join("prepared");
            settings.prepare = Some(PrepareSettings { folder, activations: Activations::default() });
        } else {
            // What is measured once needs no room on the disk.
            settings.session.packed = None;
        }
        let mut folder = ModelFolder::open(&opening.folder, None)?;
        settings.prepare(&runtime, &mut folder);
        let in_place = folder.prepared.as_ref().is_some_and(Prepared::in_place);
        anyhow::ensure!(in_place == opening.prepared, "the graph of {} was not prepared", opening.folder.display());
        let needs = Needs::read(&folder)?;
        let model = Gemma::open(&runtime, &settings)?;
        anyhow::ensure!(model.runs_prepared() == opening.prepared, "the prepared decoder cannot be opened");
        let model = Some(model);
        let kv_bytes_per_token = needs.layout().bytes_per_token();
        // Caches that are grown in place are there from the start, as long as they may become.
        let held = if in_place { settings.context_tokens * settings.slots } else { 0 };
        Ok(Self { runtime, settings, model, orders: Orders::default(), kv_bytes_per_token, held })
    }

    fn carry_out(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        match ask {
            Ask::Decode { at, tokens } => self.decode(at, tokens),
            Ask::Prefill { tokens } => self.prefill(tokens),
            Ask::First { tokens } => self.first(tokens),
            Ask::Call => self.call(),
            Ask::Memory => self.memory(),
        }
    }

    fn generate(&mut self, order: &GenerateOrder) -> anyhow::Result<Done> {
        let model = self.model.as_mut().context("the model is open")?;
        let (began, before) = (Instant::now(), model.time_in_graph());
        let progress = model.generate(order, &mut |_| (), &Interrupt::default()).context("the model failed")?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let graph_ms = (model.time_in_graph() - before).as_secs_f64() * 1e3;
        let Progress::Ended(generated) = progress else { bail!("the model made room for nobody") };
        let ModelTimings { prompt_tokens, generated_tokens, .. } = generated.timings;
        self.held = self.held.max(usize::try_from(prompt_tokens + generated_tokens)?);
        Ok(Done { generated, ms, graph_ms })
    }

    /// Random weights may end at once; then another prompt is tried.
    fn decode(&mut self, at: usize, tokens: u32) -> anyhow::Result<Answer> {
        for _ in 0..8 {
            let text = self.orders.words(at);
            let first = self.orders.plain("", text.clone(), 1);
            self.generate(&first)?;
            let order = self.orders.plain("", text, tokens + 1);
            let Done { generated, ms, graph_ms } = self.generate(&order)?;
            let timings = generated.timings;
            if timings.generated_tokens > tokens / 2 {
                // The first step runs what is left of the prompt.
                let steps = f64::from(timings.generated_tokens - 1);
                let tokens_per_second = steps * 1e3 / timings.decode_ms;
                return Ok(Answer::Speed { tokens_per_second, own_share: 1.0 - graph_ms / ms });
            }
        }
        bail!("the model stops at once, whatever it is asked")
    }

    fn prefill(&mut self, tokens: usize) -> anyhow::Result<Answer> {
        let text = self.orders.words(tokens);
        // Not even the first words are those of a prompt before.
        let order = self.orders.plain(&text, String::new(), 1);
        let Done { generated, ms, graph_ms } = self.generate(&order)?;
        let timings = generated.timings;
        let run = f64::from(timings.prompt_tokens - timings.cached_tokens);
        Ok(Answer::Speed { tokens_per_second: run * 1e3 / timings.prefill_ms, own_share: 1.0 - graph_ms / ms })
    }

    fn first(&mut self, tokens: usize) -> anyhow::Result<Answer> {
        let system = self.orders.words(tokens);
        let ask = |work: &mut Self| -> anyhow::Result<f64> {
            let text = work.orders.words(8);
            let order = work.orders.plain(&system, text, 1);
            work.generate(&order).map(|done| done.ms)
        };
        let cold = ask(self)?;
        let in_memory = ask(self)?;
        // As the daemon does after its start; this also writes the beginning to the disk.
        let beginning = self.orders.plain(&system, String::new(), 1).prompt;
        let model = self.model.as_mut().context("the model is open")?;
        model.warm(&beginning, &Interrupt::default()).context("the beginning could not be read")?;
        self.model = None;
        self.model = Some(Gemma::open(&self.runtime, &self.settings)?);
        let restarted = ask(self)?;
        Ok(Answer::First { cold, in_memory, restarted })
    }

    /// Random weights choose between a call and the end by chance: commands are given until there is a call.
    fn call(&mut self) -> anyhow::Result<Answer> {
        const LONGEST: u32 = 64;
        for _ in 0..24 {
            let text = self.orders.words(6);
            let give = |work: &mut Self, allowed, most| {
                let order = work.orders.command(&text, allowed, most);
                work.generate(&order)
            };
            // The prompt is in its slot before anything is counted.
            give(self, Allowed::CallsOrText, 1)?;
            let call = give(self, Allowed::CallsOrEnd, LONGEST)?;
            let timings = call.generated.timings;
            // One that was cut off is not remembered.
            let whole = call.generated.stop != StopReason::Length;
            if !whole || !matches!(call.generated.writing.as_slice(), [Writing::Call(_), ..]) {
                continue;
            }
            let recalled = give(self, Allowed::CallsOrEnd, LONGEST)?;
            anyhow::ensure!(recalled.generated.timings.from_memo, "a known command was decoded");
            let plain = give(self, Allowed::CallsOrText, timings.generated_tokens)?;
            let steps = f64::from(plain.generated.timings.generated_tokens.max(1));
            let plain = plain.ms / steps * f64::from(timings.generated_tokens);
            return Ok(Answer::Call {
                tokens: timings.generated_tokens,
                forced: timings.forced_tokens,
                call: call.ms,
                plain,
                recalled: recalled.ms,
            });
        }
        bail!("the model calls no tool, whatever it is asked")
    }

    fn memory(&self) -> anyhow::Result<Answer> {
        let status = std::fs::read_to_string("/proc/self/status").context("the kernel's count of memory")?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc")?;
            let kib: u64 = line.split_whitespace().next().context("a number")?.parse()?;
            Ok(kib * 1024)
        };
        let kv = u64::try_from(self.held * self.kv_bytes_per_token)?;
        Ok(Answer::Memory { anonymous: field("RssAnon:")?, of_files: field("RssFile:")?, kv })
    }
}

/// Where a process keeps what it keeps.
pub(crate) fn scratch(of: &Path, name: &str) -> PathBuf {
    of.join(name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"))
}
