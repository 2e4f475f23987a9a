//! Who is measured, in which order, and against what.

use crate::llama::Llama;
use crate::load::{Neighbour, QUIET, Ticks};
use crate::options::{Model, Options, Part, processors};
use crate::series::Series;
use crate::subject::Subject;
use crate::table::{Row, Table, Target, Unit};
use crate::work::{Answer, Ask};
use anyhow::{Context, bail};
use std::io::Write;
use std::time::Instant;
use tempfile::TempDir;

/// Where decoding is measured, in tokens of prompt.
const AT: u32 = 128;

/// The prompt whose prefill is measured, and the beginning that is known or not.
const PROMPT: u32 = 512;
const BEGINNING: usize = 1500;

/// llama.cpp can be a hundred times slower beside a neighbour.
const TOKENS_WHEN_BUSY: u32 = 12;

const MEBIBYTE: f64 = 1_048_576.0;

/// What one model has to reach against llama.cpp with 4 bits.
#[derive(Debug, Clone, Copy)]
struct Goals {
    decode: Target,
    busy: Target,
    prefill: Target,
    /// The others are the same for all: reached by everyone, or only reported.
    held: bool,
    /// Run as published, and measured once: it is slow, and only there to tell what preparing brings.
    as_published: bool,
}

impl Goals {
    const REPORTED: Self =
        Self { decode: Target::None, busy: Target::None, prefill: Target::None, held: false, as_published: false };
}

/// A model, what it has to reach, and what was seen.
struct Contestant {
    subject: Subject,
    goals: Goals,
    decode: Series,
    own_share: Series,
    prefill: Series,
    busy: Series,
    cold: Series,
    in_memory: Series,
    restarted: Series,
    call: Series,
    recalled: Series,
    anonymous: Series,
    /// Tokens of a call, and how many of them were forced.
    calls: Vec<(u32, u32)>,
}

/// llama.cpp with one file, and what was seen.
struct Rival {
    llama: Llama,
    decode: Series,
    prefill: Series,
    busy: Series,
}

/// All of them.
pub(crate) struct Bench<'a> {
    options: &'a Options,
    contestants: Vec<Contestant>,
    rivals: Vec<Rival>,
    foreign: Series,
    foreign_when_busy: Series,
    /// Of llama.cpp.
    threads: usize,
    _scratch: TempDir,
}

/// Folder, name and goals of each model.
fn contestants(model: Model) -> Vec<(&'static str, &'static str, Goals)> {
    let least = |decode, prefill| Goals {
        decode: Target::AtLeast(decode),
        busy: Target::AtLeast(5.0),
        prefill: Target::AtLeast(prefill),
        held: true,
        as_published: false,
    };
    match model {
        Model::E2b => vec![
            ("e2b", "block 32", least(1.05, 2.5)),
            ("e2b", "block 32, not prepared", Goals { as_published: true, ..Goals::REPORTED }),
            ("e2b-block128", "block 128", least(1.35, 3.5)),
            ("e2b-2bit", "2 bits", Goals { decode: Target::AtLeast(1.8), ..Goals::REPORTED }),
        ],
        Model::E4b => vec![("e4b", "block 32", Goals::REPORTED), ("e4b-block128", "block 128", Goals::REPORTED)],
    }
}

/// Name and file of each rival; the first is the one that the goals speak of.
fn rivals(model: Model) -> &'static [(&'static str, &'static str)] {
    match model {
        Model::E2b => &[("Q4_0", "e2b.gguf"), ("TQ2_0", "e2b-tq2_0.gguf"), ("Q2_K", "e2b-q2_k.gguf")],
        Model::E4b => &[("Q4_0", "e4b.gguf")],
    }
}

impl<'a> Bench<'a> {
    /// Opens everything that is to be measured.
    pub(crate) fn open(options: &'a Options) -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let mut rivals_found = Vec::new();
        if [Part::Decode, Part::Prefill, Part::Busy].into_iter().any(|part| options.wants(part)) {
            for (name, file) in rivals(options.model) {
                let llama = Llama::find(name, &options.llama, options.folders.join(file))?;
                let [decode, prefill, busy] = std::array::from_fn(|_| Series::default());
                rivals_found.push(Rival { llama, decode, prefill, busy });
            }
        }
        let (mut found, cache) = (Vec::new(), options.folders.join(".cache"));
        for (folder, name, goals) in contestants(options.model) {
            let subject = Subject::open(
                name,
                &options.folders.join(folder),
                &cache,
                options.threads,
                !goals.as_published,
                scratch.path(),
            )?;
            say(&format!("{name}: opened in {:.1} s", subject.opened_in))?;
            found.push(Contestant::new(subject, goals));
        }
        Ok(Self {
            options,
            contestants: found,
            rivals: rivals_found,
            foreign: Series::default(),
            foreign_when_busy: Series::default(),
            threads: 1,
            _scratch: scratch,
        })
    }

    /// Measures, and says on standard error how far it is.
    pub(crate) fn run(mut self) -> anyhow::Result<Table> {
        self.find_threads()?;
        for round in 1..=self.options.rounds {
            let (began, before) = (Instant::now(), self.ticks(None)?);
            self.round()?;
            let foreign = self.ticks(None)?.foreign_since(before);
            self.foreign.add(foreign * 100.0);
            say(&format!(
                "round {round} of {}: {} s, others had {:.0} % of the machine",
                self.options.rounds,
                began.elapsed().as_secs(),
                foreign * 100.0
            ))?;
        }
        if self.options.wants(Part::Busy) {
            for round in 1..=self.options.rounds {
                self.busy_round(round)?;
            }
        }
        self.memory()?;
        Ok(self.table())
    }

    fn ticks(&self, neighbour: Option<&Neighbour>) -> anyhow::Result<Ticks> {
        let mut children: Vec<u32> = self.contestants.iter().map(|one| one.subject.id()).collect();
        children.extend(neighbour.map(Neighbour::id));
        Ticks::now(&children)
    }

    /// llama.cpp runs with what suits it best.
    fn find_threads(&mut self) -> anyhow::Result<()> {
        let Some(rival) = self.rivals.first() else { return Ok(()) };
        let mut best = 0.0;
        for threads in 1..=processors() {
            let speed = rival.llama.decode(threads, AT, TOKENS_WHEN_BUSY)?;
            say(&format!("llama.cpp with {threads} threads: {speed:.2} tokens/s"))?;
            if speed > best {
                (best, self.threads) = (speed, threads);
            }
        }
        Ok(())
    }

    /// Everything once, in turn.
    fn round(&mut self) -> anyhow::Result<()> {
        let (options, threads) = (self.options, self.threads);
        if options.wants(Part::Decode) || options.wants(Part::Share) {
            for one in self.contestants.iter_mut().filter(|one| one.decode.is_empty() || !one.goals.as_published) {
                one.decode(AT, options.tokens)?;
            }
        }
        if options.wants(Part::Decode) {
            for rival in &mut self.rivals {
                rival.decode.add(rival.llama.decode(threads, AT, options.tokens)?);
                say(&format!("decode, llama.cpp {}: {} tokens/s", rival.llama.name, rival.decode))?;
            }
        }
        if options.wants(Part::Prefill) {
            for one in self.contestants.iter_mut().filter(|one| one.prefill.is_empty() || !one.goals.as_published) {
                one.prefill(PROMPT)?;
            }
            for rival in &mut self.rivals {
                rival.prefill.add(rival.llama.prefill(threads, PROMPT)?);
                say(&format!("prefill, llama.cpp {}: {} tokens/s", rival.llama.name, rival.prefill))?;
            }
        }
        for one in self.contestants.iter_mut().filter(|one| !one.goals.as_published) {
            if options.wants(Part::Constrained) || options.wants(Part::Memo) {
                one.one_call()?;
            }
            if options.wants(Part::First) && (one.goals.held || options.model == Model::E4b) {
                one.first(BEGINNING)?;
            }
        }
        Ok(())
    }

    fn busy_round(&mut self, round: usize) -> anyhow::Result<()> {
        let neighbour = Neighbour::start()?;
        let before = self.ticks(Some(&neighbour))?;
        for one in self.contestants.iter_mut().filter(|one| !one.goals.as_published) {
            one.decode_beside_neighbour(AT, TOKENS_WHEN_BUSY)?;
        }
        if let Some(rival) = self.rivals.first_mut() {
            rival.busy.add(rival.llama.decode(self.options.threads, AT, TOKENS_WHEN_BUSY)?);
            say(&format!("beside a neighbour, llama.cpp {}: {} tokens/s", rival.llama.name, rival.busy))?;
        }
        let foreign = self.ticks(Some(&neighbour))?.foreign_since(before);
        self.foreign_when_busy.add(foreign * 100.0);
        say(&format!("round {round} beside a neighbour: yet others had {:.0} % of the machine", foreign * 100.0))
    }

    fn memory(&mut self) -> anyhow::Result<()> {
        if !self.options.wants(Part::Memory) {
            return Ok(());
        }
        for one in &mut self.contestants {
            let Answer::Memory { anonymous, of_files, kv } = one.subject.ask(Ask::Memory)? else {
                bail!("{} answers something else", one.subject.name)
            };
            one.anonymous.add(mebibytes(anonymous.saturating_sub(kv)));
            say(&format!(
                "{}: {:.0} MiB anonymous, of it {:.0} MiB keys and values; {:.0} MiB are pages of files",
                one.subject.name,
                mebibytes(anonymous),
                mebibytes(kv),
                mebibytes(of_files)
            ))?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut rows = Vec::new();
        for one in &self.contestants {
            one.tell(&mut rows, self.rivals.first());
        }
        for rival in self.rivals.iter().skip(1) {
            let name = format!("llama.cpp {}", rival.llama.name);
            let first = self.rivals.first();
            rows.extend(
                first.map(|first| Row::speed(format!("{name}: decode"), &rival.decode, &first.decode, Target::None)),
            );
            rows.extend(first.map(|first| {
                Row::speed(format!("{name}: prefill of {PROMPT}"), &rival.prefill, &first.prefill, Target::None)
            }));
        }
        rows.retain(Row::was_measured);
        Table { rows, remarks: self.remarks() }
    }

    fn remarks(&self) -> Vec<String> {
        let model = match self.options.model {
            Model::E2b => "Gemma 4 E2B",
            Model::E4b => "Gemma 4 E4B",
        };
        let quiet = if self.foreign.median() < QUIET * 100.0 {
            "a quiet machine"
        } else {
            "a busy machine, so compare nothing with other runs"
        };
        let mut remarks = vec![
            format!(
                "{model}, random weights; {} rounds, medians (least–most); hob with {} threads",
                self.options.rounds, self.options.threads
            ),
            format!("others had {} % of the machine: {quiet}", self.foreign),
        ];
        if !self.rivals.is_empty() {
            remarks.push(format!("llama.cpp with {} threads, the best of 1 to {}", self.threads, processors()));
        }
        if !self.foreign_when_busy.is_empty() {
            remarks.push(format!(
                "beside the neighbour, both with {} threads and for {TOKENS_WHEN_BUSY} tokens; yet others had {} %",
                self.options.threads, self.foreign_when_busy
            ));
        }
        for one in self.contestants.iter().filter(|one| !one.calls.is_empty()) {
            let calls: Vec<String> = one.calls.iter().map(|(all, forced)| format!("{all} ({forced} forced)")).collect();
            remarks.push(format!("{}: tokens of the calls: {}", one.subject.name, calls.join(", ")));
        }
        remarks
    }
}

impl Contestant {
    fn new(subject: Subject, goals: Goals) -> Self {
        let [decode, own_share, prefill, busy, cold] = std::array::from_fn(|_| Series::default());
        let [in_memory, restarted, call, recalled, anonymous] = std::array::from_fn(|_| Series::default());
        let calls = Vec::new();
        Self {
            subject,
            goals,
            decode,
            own_share,
            prefill,
            busy,
            cold,
            in_memory,
            restarted,
            call,
            recalled,
            anonymous,
            calls,
        }
    }

    fn speed(&mut self, ask: Ask) -> anyhow::Result<(f64, f64)> {
        match self.subject.ask(ask)? {
            Answer::Speed { tokens_per_second, own_share } => Ok((tokens_per_second, own_share)),
            Answer::First { .. } | Answer::Call { .. } | Answer::Memory { .. } => {
                bail!("{} answers something else", self.subject.name)
            }
        }
    }

    fn decode(&mut self, at: u32, tokens: u32) -> anyhow::Result<()> {
        let (speed, own_share) = self.speed(Ask::Decode { at: usize::try_from(at)?, tokens })?;
        self.decode.add(speed);
        self.own_share.add(own_share * 100.0);
        say(&format!(
            "decode, {}: {speed:.2} tokens/s, of the time {:.1} % hob's own",
            self.subject.name,
            own_share * 100.0
        ))
    }

    fn decode_beside_neighbour(&mut self, at: u32, tokens: u32) -> anyhow::Result<()> {
        let (speed, _) = self.speed(Ask::Decode { at: usize::try_from(at)?, tokens })?;
        self.busy.add(speed);
        say(&format!("beside a neighbour, {}: {speed:.2} tokens/s", self.subject.name))
    }

    fn prefill(&mut self, tokens: u32) -> anyhow::Result<()> {
        let (speed, _) = self.speed(Ask::Prefill { tokens: usize::try_from(tokens)? })?;
        self.prefill.add(speed);
        say(&format!("prefill, {}: {speed:.1} tokens/s", self.subject.name))
    }

    fn first(&mut self, tokens: usize) -> anyhow::Result<()> {
        let Answer::First { cold, in_memory, restarted } = self.subject.ask(Ask::First { tokens })? else {
            bail!("{} answers something else", self.subject.name)
        };
        self.cold.add(cold);
        self.in_memory.add(in_memory);
        self.restarted.add(restarted);
        say(&format!(
            "first token, {}: cold {cold:.0} ms, in memory {in_memory:.0}, restarted {restarted:.0}",
            self.subject.name
        ))
    }

    fn one_call(&mut self) -> anyhow::Result<()> {
        let Answer::Call { tokens, forced, call, plain, recalled } = self.subject.ask(Ask::Call)? else {
            bail!("{} answers something else", self.subject.name)
        };
        self.call.add(call / plain * 100.0);
        self.recalled.add(recalled / call * 100.0);
        self.calls.push((tokens, forced));
        say(&format!(
            "call, {}: {tokens} tokens ({forced} forced) in {call:.0} ms, plain {plain:.0}, from the memo {recalled:.2}",
            self.subject.name
        ))
    }

    fn tell(&self, rows: &mut Vec<Row>, rival: Option<&Rival>) {
        let of = |what: &str| format!("{}: {what}", self.subject.name);
        let held = |target| if self.goals.held { target } else { Target::None };
        if let Some(rival) = rival {
            rows.push(Row::speed(of("decode"), &self.decode, &rival.decode, self.goals.decode));
            rows.push(Row::speed(of("decode beside a busy neighbour"), &self.busy, &rival.busy, self.goals.busy));
            rows.push(Row::speed(
                of(&format!("prefill of {PROMPT}")),
                &self.prefill,
                &rival.prefill,
                self.goals.prefill,
            ));
        }
        let part = |what: &str, series: &Series, cold: &Series, target| Row::part(of(what), series, cold, target);
        rows.push(part("first token, beginning in memory", &self.in_memory, &self.cold, held(Target::AtMost(10.0))));
        rows.push(part("first token, after a restart", &self.restarted, &self.cold, held(Target::AtMost(10.0))));
        let alone =
            |what: &str, series: &Series, unit, most| Row::alone(of(what), series, unit, held(Target::AtMost(most)));
        rows.push(alone("a constrained call against plain steps", &self.call, Unit::Percent, 60.0));
        rows.push(alone("a known command against decoding it", &self.recalled, Unit::Percent, 1.0));
        rows.push(alone("hob's own share of decoding", &self.own_share, Unit::Percent, 3.0));
        rows.push(alone("anonymous memory besides KV", &self.anonymous, Unit::Mebibytes, 400.0));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

fn say(what: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{what}").context("standard error")
}
