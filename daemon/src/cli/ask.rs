//! `hob ask`: one command, followed to its end.

mod convert;
mod enclosed;
mod progress;

use super::{Invocation, on_terminal, says_yes};
use crate::exit::Exit;
use crate::settings::Settings;
use crate::start;
use anyhow::{Context, bail};
use enclosed::Files;
use hob_doors::{CallDoorError, DoorClient, DoorRequest, Peer, Reply, Request};
use hob_events::{CommandId, CommandResult, Status, StatusUpdate, Thinking};
use progress::{Progress, Reading};
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long to wait for the broker before a turn by itself: devices cannot be reached before.
const BROKER_PATIENCE: Duration = Duration::from_secs(2);

/// Replies that may wait while a person thinks about a question.
const REPLIES: usize = 256;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hob ask \"lights off here\" --area kitchen\n  hob ask --yes \"unlock the front door\"\n  hob ask --image meter.jpg \"what does the meter say?\"\n  hob ask --file boiler-manual.txt \"how is it bled?\"\n  hob ask --audio memo.wav --video yard.mp4 \"who came, and when?\"\n\nCtrl-C takes the command back; a second one leaves at once."
)]
pub(super) struct Ask {
    /// What to do, or what to say.
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// A conversation to go on with.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// The room you are in.
    #[arg(long)]
    area: Option<String>,
    /// Have the model think first, for so many tokens at most (512 without a number); "off" for not at all.
    #[arg(long, value_name = "TOKENS", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    think: Option<Thinking>,
    /// Decide and answer, but act on nothing.
    #[arg(long)]
    dry_run: bool,
    /// Answer questions with yes.
    #[arg(long, conflicts_with = "no")]
    yes: bool,
    /// Answer questions with no.
    #[arg(long)]
    no: bool,
    #[command(flatten)]
    files: Files,
}

/// A way to a hob that decides: a running one, or one of our own.
enum Line {
    Daemon(Box<DoorClient>),
    Alone { requests: mpsc::Sender<DoorRequest>, replies_in: mpsc::Sender<Reply>, replies: mpsc::Receiver<Reply> },
}

impl Line {
    async fn send(&mut self, request: Request) -> anyhow::Result<()> {
        match self {
            Self::Daemon(client) => Ok(client.send(&request).await?),
            Self::Alone { requests, replies_in, .. } => {
                let asked = DoorRequest { peer: Peer { uid: 0 }, request, replies: replies_in.clone() };
                requests.send(asked).await.context("hob stopped")
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<Reply> {
        match self {
            Self::Daemon(client) => Ok(client.next().await?),
            Self::Alone { replies, .. } => replies.recv().await.context("hob stopped"),
        }
    }
}

pub(super) async fn ask(invocation: &Invocation, ask: Ask) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    match DoorClient::connect(&settings.doors.socket).await {
        Ok(client) => follow(invocation, &ask, &settings, &mut Line::Daemon(Box::new(client))).await,
        Err(CallDoorError::Nobody { .. }) => Box::pin(alone(invocation, &ask, settings)).await,
        Err(error) => Err(error.into()),
    }
}

/// One turn without a daemon: the same stages, asked from inside.
async fn alone(invocation: &Invocation, ask: &Ask, settings: Settings) -> anyhow::Result<Exit> {
    let progress = Progress::begin("loading the model");
    let mut built = start::build(settings.clone()).await?;
    // Nothing is accepted before: what cannot be worked on would be begun by the next hob.
    built.model_opened().await?;
    let (requests, door) = mpsc::channel(1);
    let (replies_in, replies) = mpsc::channel(REPLIES);
    let stop = CancellationToken::new();
    let broker = built.broker();
    let run = built.run_alone(door, stop.clone());
    let talk = async {
        if let Some(broker) = broker {
            progress.say("connecting to the broker");
            let connected = async {
                while !broker.is_connected() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            if tokio::time::timeout(BROKER_PATIENCE, connected).await.is_err() {
                writeln!(std::io::stderr().lock(), "hob: the broker is away; devices cannot be reached").ok();
            }
        }
        drop(progress);
        let mut line = Line::Alone { requests, replies_in, replies };
        let exit = follow(invocation, ask, &settings, &mut line).await;
        stop.cancel();
        exit
    };
    let (ran, exit) = tokio::join!(run, talk);
    ran?;
    exit
}

async fn follow(invocation: &Invocation, ask: &Ask, settings: &Settings, line: &mut Line) -> anyhow::Result<Exit> {
    let media = ask.files.hand_over(line, &settings.media.ffmpeg).await?;
    let mut command = json!({ "text": ask.words.join(" ") });
    for (key, value) in [("conversation", &ask.conversation), ("area", &ask.area)] {
        if let Some(value) = value {
            command[key] = json!(value);
        }
    }
    command["dry_run"] = json!(ask.dry_run);
    if !media.is_empty() {
        command["media"] = json!(media);
    }
    if let Some(think) = ask.think {
        command["think"] = json!(think);
    }
    line.send(Request::Command { command }).await?;
    let mut streamed = String::new();
    let mut reading = Reading::new(on_terminal() && !invocation.json);
    let (mut under_way, mut taken_back) = (None::<CommandId>, false);
    loop {
        let reply = tokio::select! {
            reply = line.next() => reply?,
            interrupted = tokio::signal::ctrl_c(), if under_way.is_some() => {
                interrupted?;
                match under_way.clone().filter(|_| !taken_back) {
                    Some(id) => line.send(Request::Cancel { id }).await?,
                    None => return Ok(Exit::NotDone),
                }
                taken_back = true;
                continue;
            }
        };
        if let Reply::Reading { tokens, of, .. } = reply {
            reading.at(tokens, of);
            continue;
        }
        reading.over();
        match reply {
            Reply::Accepted { id } => under_way = Some(id),
            Reply::Done | Reply::Data { .. } | Reply::Progress { .. } | Reply::Reading { .. } => {}
            Reply::Text { delta, .. } => {
                if on_terminal() && !invocation.json {
                    write!(std::io::stdout().lock(), "{delta}")?;
                    std::io::stdout().lock().flush()?;
                }
                streamed.push_str(&delta);
            }
            Reply::Status(StatusUpdate { id, status: Status::AwaitingConfirmation, question, number }) => {
                let yes = answer(ask, question.as_deref().unwrap_or("Go on?"))?;
                line.send(Request::Confirm { id, yes, number }).await?;
            }
            Reply::Status(_) => {}
            Reply::Final { result } => {
                if on_terminal() && ask.think.is_some_and(Thinking::is_on) {
                    say_thought(&result);
                }
                return told(invocation, &result, &streamed);
            }
            Reply::Error { code, message } => bail!("{message} [{code}]"),
        }
    }
}

/// Says how long the model thought; not every model can.
fn say_thought(result: &CommandResult) {
    let said = match (result.timings.thought_tokens, result.timings.from_memo) {
        (_, true) => "(thought about before)".to_owned(),
        (0, false) => "(the model did not think; `hob model info` tells whether it can)".to_owned(),
        (tokens, false) => format!("(thought for {tokens} tokens)"),
    };
    writeln!(std::io::stderr().lock(), "{said}").ok();
}

/// Asks the person, when there is one. Without anyone to ask, the answer is no.
fn answer(ask: &Ask, question: &str) -> anyhow::Result<bool> {
    if ask.yes || ask.no {
        return Ok(ask.yes);
    }
    says_yes(question)
}

fn told(invocation: &Invocation, result: &CommandResult, streamed: &str) -> anyhow::Result<Exit> {
    let said_already = on_terminal() && !invocation.json && streamed.trim().eq_ignore_ascii_case(result.speech.trim());
    if said_already {
        super::print_line("")?;
    } else {
        invocation.print(result, || vec![result.speech.clone()])?;
    }
    if on_terminal() && !invocation.json && result.timings.from_memo {
        writeln!(std::io::stderr().lock(), "(from the memo, in {:.0} ms)", result.timings.total_ms).ok();
    }
    Ok(match result.status {
        Status::Succeeded => Exit::Ok,
        Status::Denied | Status::Expired | Status::Cancelled => Exit::NotDone,
        Status::Failed | Status::Accepted | Status::Thinking | Status::AwaitingConfirmation | Status::Executing => {
            Exit::Failed
        }
    })
}
