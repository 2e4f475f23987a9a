//! `hob rules`: what the owner's rules are, what they decided, and what they would.

use super::look::ask_daemon;
use super::{Invocation, print_line};
use crate::devices::Devices;
use crate::exit::Exit;
use crate::recording::{Recorded, read_recording};
use crate::rules::open_rules;
use crate::start::StartError;
use anyhow::bail;
use hob_agent::rules::Decision;
use hob_agent::{Engine, Rule, RuleMemory, Ruling};
use hob_doors::Request;
use hob_events::UnixMs;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Rules {
    /// List them, in their order.
    List,
    /// Say what each rule decided about the last messages that any of them looked at, and why.
    #[command(
        after_help = "Examples:\n  hob rules why            the last ten\n  hob rules why 17         one of them"
    )]
    Why {
        /// The number of an event, as `hob rules why` prints it.
        event: Option<u64>,
        /// How many of the newest.
        #[arg(long, default_value_t = 10, value_name = "N")]
        last: usize,
    },
    /// Play a recording to the rules of the settings file, and say what each decides. Nothing is done.
    #[command(after_help = RECORDING)]
    Test {
        /// The recording.
        recording: PathBuf,
        /// Print only what acts, and what was expected otherwise.
        #[arg(long)]
        quiet: bool,
    },
}

const RECORDING: &str = "\
A recording has a JSON object in each line, as Mosquitto writes them:
  mosquitto_sub -t 'zigbee2mqtt/#' -F %j > evening.ndjson
  hob rules test evening.ndjson
By hand: {\"topic\": …, \"payload\": …}, with `at` or `after_ms` (a second where neither is given), `retained`, and `expect`: the
names of the rules that have to act. A line without a topic lets time pass.

Exit codes: 0 as expected · 1 otherwise";

pub(super) async fn rules(invocation: &Invocation, command: Rules) -> anyhow::Result<Exit> {
    match command {
        Rules::List => list(invocation),
        Rules::Why { event, last } => why(invocation, event, last).await,
        Rules::Test { recording, quiet } => test(invocation, &recording, quiet),
    }
}

fn list(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let shown = |rule: &Rule| json!({ "name": rule.name, "listens_on": rule.listens_on() });
    let rules: Vec<Value> = settings.rule.iter().map(shown).collect();
    let lines = || {
        let line = |rule: &Rule| format!("{:24} {}", rule.name, rule.listens_on().join(", "));
        settings.rule.iter().map(line).collect()
    };
    invocation.print(&rules, lines)?;
    Ok(Exit::Ok)
}

async fn why(invocation: &Invocation, event: Option<u64>, last: usize) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let last = if event.is_some() { usize::MAX } else { last };
    let Some(looked) = ask_daemon(&settings.doors.socket, Request::Rules { last }).await? else {
        bail!("no hob listens on {}", settings.doors.socket.display());
    };
    let all: Vec<&Value> = looked.as_array().into_iter().flatten().collect();
    let wanted = |looked: &&&Value| event.is_none_or(|event| looked["event"].as_u64() == Some(event));
    let those: Vec<&Value> = all.iter().filter(wanted).copied().collect();
    if let (Some(event), true) = (event, those.is_empty()) {
        bail!("no event {event} is known: the newest are kept, `hob rules why` prints them");
    }
    invocation.print(&those, || those.iter().flat_map(|looked| told(looked)).collect())?;
    Ok(Exit::Ok)
}

/// An event in lines: the message, and under it what each rule decided.
fn told(looked: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let head = match looked["topic"].as_str() {
        Some(topic) => format!("{}  {topic}  {}", looked["event"], text(&looked["payload"])),
        None => format!("{}  time", looked["event"]),
    };
    let ruling = |ruling: &Value| format!("    {:24} {}", text(&ruling["rule"]), text(&ruling["decision"]));
    [head].into_iter().chain(looked["rulings"].as_array().into_iter().flatten().map(ruling)).collect()
}

fn test(invocation: &Invocation, recording: &std::path::Path, quiet: bool) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let devices = Devices::open(&settings.devices.file).map_err(StartError::from)?;
    let moments = read_recording(recording)?;
    let begin = moments.first().map_or(UnixMs(0), |moment| moment.at);
    let engine = open_rules(&settings, &devices, RuleMemory::default(), begin);
    let mut engine = engine.map_err(StartError::from)?;
    let known = |name: &&String| settings.rule.iter().any(|rule| rule.name == **name);
    for moment in &moments {
        if let Some(name) = moment.expect.iter().flatten().find(|name| !known(name)) {
            bail!("{}, line {}: it expects '{name}', and there is no such rule", recording.display(), moment.line);
        }
    }
    let (mut acted, mut wrong) = (0_usize, 0_usize);
    for moment in &moments {
        let rulings = play(&mut engine, moment);
        let acts: Vec<&str> = rulings.iter().filter(|ruling| acts(ruling)).map(|ruling| &*ruling.rule).collect();
        acted += acts.len();
        let expected =
            moment.expect.as_ref().is_none_or(|expect| expect.iter().map(String::as_str).eq(acts.iter().copied()));
        wrong += usize::from(!expected);
        if !quiet || !acts.is_empty() || !expected {
            show(moment, &rulings)?;
        }
        if !expected {
            let expect = moment.expect.clone().unwrap_or_default();
            print_line(&format!(
                "    expected to act: {}",
                if expect.is_empty() { "none".to_owned() } else { expect.join(", ") }
            ))?;
        }
    }
    let held = moments.iter().filter(|moment| moment.expect.is_some()).count();
    print_line(&format!("{} lines, {acted} acts; {} of {held} expectations hold", moments.len(), held - wrong))?;
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Failed })
}

/// What the rules decide up to a moment and at it.
fn play(engine: &mut Engine, moment: &Recorded) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    while let Some(wake) = engine.next_wake().filter(|wake| *wake <= moment.at) {
        rulings.extend(engine.wake(wake));
        // Nothing is written down here.
        engine.changes(wake);
    }
    if let Some(said) = &moment.said {
        rulings.extend(engine.message(moment.at, &said.topic, &said.payload, said.retained));
    }
    rulings
}

fn acts(ruling: &Ruling) -> bool {
    matches!(ruling.decision, Decision::Acts(_) | Decision::Ignores)
}

fn show(moment: &Recorded, rulings: &[Ruling]) -> anyhow::Result<()> {
    match &moment.said {
        Some(said) => print_line(&format!("{:4}  {}  {}", moment.line, said.topic, said.payload))?,
        None => print_line(&format!("{:4}  time passes", moment.line))?,
    }
    rulings.iter().try_for_each(|Ruling { rule, decision, .. }| print_line(&format!("    {rule:24} {decision}")))
}
