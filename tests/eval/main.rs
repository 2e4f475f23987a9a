//! Scores a model on cases: does the right call come out, for the right devices, and does hob know when not to act?
//!
//! Reads JSON Lines as `models/tools` writes them (`python -m pocket cases`), runs every case through the daemon's own
//! prompt, grammar and decoding, with the grammar and without, and prints a table. It names no model: a folder with
//! Gemma 4 in it is scored in the same way.

mod case;
mod goals;
mod score;

use anyhow::{Context, bail};
use case::Case;
use hob_agent::Thresholds;
use hob_agent::prompt::system_text;
use hob_events::{Allowed, GenerateOrder, Message, Offer, Priority, Prompt, Thinking, TurnId, Writing, WrittenCall};
use hob_model::{Gemma, Interrupt, LanguageModel, ModelSettings, Progress};
use hob_onnx::Runtime;
use score::{Measure, Score, Tally, percent};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longer than any answer of a case.
const MAX_TOKENS: u32 = 120;

/// Prompts of forty devices and thirteen tools have some 1,500 tokens.
const CONTEXT_TOKENS: usize = 4096;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: eval MODEL_FOLDER CASES_FOLDER [CASES_PER_SET [VARIANT]]";
    let (Some(model), Some(cases)) = (arguments.next(), arguments.next()) else { bail!("{usage}") };
    let most = arguments.next().map_or(Ok(usize::MAX), |most| most.parse()).context(usage)?;
    let variant = arguments.next();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&cases)
        .with_context(|| format!("no cases in {cases}: run python -m pocket cases"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let runtime = Runtime::find(None)?;
    let mut judge = Judge::open(&runtime, Path::new(&model), variant.as_deref())?;
    let mut table = Vec::new();
    for file in files {
        let cases = case::read(&file)?;
        let set = cases.first().map_or_else(String::new, |case| case.set.clone());
        let mut tally = Tally::default();
        for case in cases.iter().take(most) {
            tally.add(&judge.score(case)?);
        }
        writeln!(std::io::stderr(), "{set}: {} cases", tally.cases)?;
        table.push((set, tally));
    }
    let mut out = std::io::stdout().lock();
    print(&mut out, &table)?;
    if !goals::hold(&mut out, &table)? {
        bail!("a figure is below its floor");
    }
    Ok(())
}

/// The model with its grammar and without.
struct Judge {
    constrained: Gemma,
    free: Gemma,
}

impl Judge {
    fn open(runtime: &Runtime, folder: &Path, variant: Option<&str>) -> anyhow::Result<Self> {
        let settings = ModelSettings {
            variant: variant.map(str::parse).transpose()?,
            context_tokens: CONTEXT_TOKENS,
            slots: 1,
            ..ModelSettings::new(folder)
        };
        let free = ModelSettings { constrained: false, ..settings.clone() };
        Ok(Self { constrained: Gemma::open(runtime, &settings)?, free: Gemma::open(runtime, &free)? })
    }

    fn score(&mut self, case: &Case) -> anyhow::Result<Score> {
        let order = order(case);
        let constrained = write(&mut self.constrained, &order)?;
        let free = write(&mut self.free, &order)?;
        let thresholds = Thresholds::default();
        let sure = constrained.iter().all(|call| {
            let risk = case.tools.iter().find(|tool| tool.name.as_str() == call.tool).map(|tool| tool.risk);
            call.confidence.least() >= thresholds.of(risk.unwrap_or_default())
        });
        Ok(Score {
            refusal_wanted: case.expect.is_empty(),
            constrained: case.is_met_by(&constrained),
            free: case.is_met_by(&free),
            refused: constrained.is_empty(),
            sure,
        })
    }
}

fn order(case: &Case) -> GenerateOrder {
    let mut tools = case.tools.clone();
    tools.sort_by(|left, right| left.name.cmp(&right.name));
    let text = match &case.area {
        Some(area) => format!("({area}) {}", case.text),
        None => case.text.clone(),
    };
    GenerateOrder {
        turn: TurnId(0),
        prompt: Prompt {
            system: system_text(&case.instructions, &case.inventory).into(),
            offer: Arc::new(Offer { tools, inventory: case.inventory.clone() }),
            messages: vec![Message::words(text)],
            thinking: Thinking::OFF,
        },
        allowed: Allowed::CallsOrText,
        priority: Priority::Person,
        conversation: None,
        max_tokens: MAX_TOKENS,
        deadline_ms: 60_000,
    }
}

/// The calls that the model writes first. Something malformed is no call.
fn write(model: &mut Gemma, order: &GenerateOrder) -> anyhow::Result<Vec<WrittenCall>> {
    let progress = model.generate(order, &mut |_| {}, &Interrupt::default())?;
    let Progress::Ended(generated) = progress else { bail!("a generation was parked although nobody asked") };
    let calls = generated.writing.into_iter().filter_map(|writing| match writing {
        Writing::Call(call) => Some(call),
        Writing::Text { .. } | Writing::Malformed { .. } => None,
    });
    Ok(calls.collect())
}

const OF_COMMANDS: [Measure; 4] = [Measure::Constrained, Measure::Free, Measure::RightAmongActed, Measure::RightKept];
const OF_REFUSALS: [Measure; 2] = [Measure::Refused, Measure::RefusedOrAsked];

/// Prints one table for commands and one for what is to be refused.
fn print(out: &mut impl Write, table: &[(String, Tally)]) -> std::io::Result<()> {
    for (title, refusals, measures) in [("set", false, &OF_COMMANDS[..]), ("to be refused", true, &OF_REFUSALS[..])] {
        write!(out, "{title:16} {:>5}", "cases")?;
        for measure in measures {
            write!(out, " {:>18}", measure.name())?;
        }
        writeln!(out)?;
        for (set, tally) in table.iter().filter(|(_, tally)| tally.wants_refusal() == refusals) {
            write!(out, "{set:16} {:>5}", tally.cases)?;
            for measure in measures {
                write!(out, " {:>18}", tally.share(*measure).map_or("-".to_owned(), percent))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
