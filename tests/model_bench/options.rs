//! What is measured: all of it, or a part.

use anyhow::{Context, bail};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const USAGE: &str =
    "usage: bench-model [--model e2b|e4b] [--only PART[,PART…]] [--rounds N] [--tokens N] [--threads N] [--folders DIR]
  parts: decode prefill busy first constrained memo share memory
  --rounds   how often each is measured (3)
  --tokens   tokens of one decoding (32)
  --threads  of hob (as many as the machine has processors)
  --folders  where the models lie (target/true-size)";

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Decode,
    Prefill,
    Busy,
    First,
    Constrained,
    Memo,
    Share,
    Memory,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Decode,
        Self::Prefill,
        Self::Busy,
        Self::First,
        Self::Constrained,
        Self::Memo,
        Self::Share,
        Self::Memory,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Prefill => "prefill",
            Self::Busy => "busy",
            Self::First => "first",
            Self::Constrained => "constrained",
            Self::Memo => "memo",
            Self::Share => "share",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name).with_context(|| format!("no part '{name}'\n{USAGE}"))
    }
}

/// Which models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    E2b,
    E4b,
}

impl Model {
    /// As its folders are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::E2b => "e2b",
            Self::E4b => "e4b",
        }
    }
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) model: Model,
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) tokens: u32,
    pub(crate) threads: usize,
    /// Where the folders of true size lie.
    pub(crate) folders: PathBuf,
    /// llama.cpp's own benchmark.
    pub(crate) llama: PathBuf,
    given: String,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            model: Model::E2b,
            parts: Part::ALL.to_vec(),
            rounds: 3,
            tokens: 32,
            threads: processors(),
            folders: PathBuf::from("target/true-size"),
            llama: PathBuf::from(".cache/llama-cpp/llama-bench"),
            given: String::new(),
        };
        while let Some(option) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{option} wants a value\n{USAGE}"))?;
            let number = || value.parse::<usize>().ok().filter(|number| *number > 0).context(USAGE);
            match option.as_str() {
                "--model" => {
                    let all = [Model::E2b, Model::E4b];
                    options.model = all.into_iter().find(|model| model.name() == value).context(USAGE)?;
                }
                "--only" => options.parts = value.split(',').map(str::parse).collect::<anyhow::Result<_>>()?,
                "--rounds" => options.rounds = number()?,
                "--tokens" => options.tokens = u32::try_from(number()?)?,
                "--folders" => options.folders = PathBuf::from(&value),
                "--threads" => options.threads = number()?,
                _ => bail!("there is no option {option}\n{USAGE}"),
            }
            options.given.push_str(&format!(" {option} {value}"));
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The command that makes the same table again.
    pub(crate) fn command(&self) -> String {
        match self.given.trim() {
            "" => "make bench-model".to_owned(),
            given => format!("make bench-model OPTIONS=\"{given}\""),
        }
    }
}

/// How many processors the machine lends to this process.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
