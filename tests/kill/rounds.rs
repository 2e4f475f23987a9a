//! Rounds of `kill -9` under load.
//!
//! A round sends a burst of commands, waits until hob is seen in a given phase, kills it, starts it again, and waits for
//! the end of every command. Then nothing may be lost, nothing may have been done twice, and the same question must get
//! the same answer, byte for byte. The devices are toggled, because a toggle that is sent twice shows.

use anyhow::{Context, ensure};
use e2e::{House, Mark, Places, Plugin, Request, Sent, World};
use hob_events::{CommandResult, Status};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// What hob is seen doing when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A command has just been written to the inbox.
    Accepted,
    /// The model is at work.
    Generating,
    /// A device has just heard its command; hob knows nothing of it yet.
    Sending,
    /// A first result is out; the others of the burst are being stored.
    Finishing,
}

impl Phase {
    /// All of them, in the order of a command's life.
    pub(crate) const ALL: [Self; 4] = [Self::Accepted, Self::Generating, Self::Sending, Self::Finishing];
}

/// What a run of rounds has shown.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Rounds done.
    pub(crate) rounds: usize,
    /// Commands sent.
    pub(crate) commands: usize,
    /// Presses that the home felt.
    pub(crate) pressed: usize,
    /// Commands that ended without their action being known: the price of never sending twice.
    pub(crate) unknown: usize,
    /// Lines of the audit log when it was checked last.
    pub(crate) audit: String,
    /// From start to the word that it is online, each time.
    pub(crate) starts: Vec<Duration>,
}

/// Buttons pressed in one round, one command each.
const PRESSES: usize = 3;

/// Runs `rounds` rounds, the phases in turn.
///
/// # Errors
/// When a command is lost or has two results, a button is pressed twice, or the audit chain is broken.
pub(crate) async fn run(rounds: usize, mut after_each: impl FnMut(usize, Phase, &Tally)) -> anyhow::Result<Tally> {
    let places = Places::tiny()?.and(Plugin::press()?);
    let mut world = World::before_hob(&House::of_buttons(PRESSES)?, places).await?;
    // Each round asks the same question: the model is to be at work on it.
    world.hob.set("model.memo_entries", "0");
    world.hob.start(&world.client).await?;
    let mut tally = Tally::default();
    for (round, phase) in (0..rounds).zip(Phase::ALL.into_iter().cycle()) {
        one_round(&mut world, round, phase, &mut tally).await.with_context(|| format!("round {round}, {phase:?}"))?;
        tally.rounds += 1;
        after_each(round, phase, &tally);
    }
    tally.audit = verify_audit(&world)?;
    world.hob.stop().await?;
    // Whole for whoever opens the folder later, too.
    verify_audit(&world)?;
    Ok(tally)
}

async fn one_round(world: &mut World, round: usize, phase: Phase, tally: &mut Tally) -> anyhow::Result<()> {
    let felt = presses(world);
    let from = world.client.mark();
    let requests = burst(round);
    let mut sent = Vec::new();
    for request in &requests {
        sent.push(world.client.send(request).await?);
    }
    wait_for(world, round, phase, from, felt[0]).await?;
    world.hob.kill().await?;
    world.client.availability("offline", from).await?;

    let started = Instant::now();
    world.hob.start(&world.client).await?;
    tally.starts.push(started.elapsed());

    let results = results(world, &sent).await?;
    asked_again_it_says_the_same(world, &requests, &results).await?;
    tally.commands += requests.len();
    check_presses(world, &felt, &results, tally)
}

/// A question for the model, then a press of each button.
fn burst(round: usize) -> Vec<Request> {
    let words = Request::text(&format!("r{round}-words"), "is button 1 on?");
    let press = |button: usize| {
        Request::call(&format!("r{round}-press-{button}"), "press", json!({"device": format!("button {button}")}))
    };
    std::iter::once(words).chain((1..=PRESSES).map(press)).collect()
}

async fn wait_for(world: &World, round: usize, phase: Phase, from: Mark, felt: usize) -> anyhow::Result<()> {
    match phase {
        Phase::Accepted => {
            let last = format!("r{round}-press-{PRESSES}");
            world.client.reaches(&last, Status::Accepted, from).await
        }
        Phase::Generating => world.client.reaches(&format!("r{round}-words"), Status::Thinking, from).await,
        Phase::Sending => world.home.was_told("button 1", felt + 1).await,
        Phase::Finishing => {
            let result = |message: &e2e::Message| message.topic.ends_with("/result").then_some(());
            world.client.find(from, "a first result", result).await
        }
    }
}

fn presses(world: &World) -> Vec<usize> {
    (1..=PRESSES).map(|button| world.home.told_to(&format!("button {button}")).len()).collect()
}

async fn results(world: &World, sent: &[Sent]) -> anyhow::Result<Vec<(Vec<u8>, CommandResult)>> {
    let mut results = Vec::new();
    for sent in sent {
        results.push(world.client.result(sent).await?);
    }
    Ok(results)
}

async fn asked_again_it_says_the_same(
    world: &World,
    requests: &[Request],
    results: &[(Vec<u8>, CommandResult)],
) -> anyhow::Result<()> {
    for (request, (bytes, result)) in requests.iter().zip(results) {
        let (again, _) = world.client.result(&world.client.send(request).await?).await?;
        let id = result.id.as_str();
        ensure!(again == *bytes, "{id} was answered differently when asked again");
        ensure!(world.client.results(id).iter().all(|other| other == bytes), "{id} has two different results");
    }
    Ok(())
}

fn check_presses(
    world: &World,
    before: &[usize],
    results: &[(Vec<u8>, CommandResult)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let after = presses(world);
    for ((before, after), (_, result)) in before.iter().zip(&after).zip(&results[1..]) {
        let pressed = after - before;
        ensure!(pressed <= 1, "{} was pressed {pressed} times", result.id);
        let done = result.status == Status::Succeeded;
        ensure!(!done || pressed == 1, "{} claims a press that nobody felt: {}", result.id, result.speech);
        tally.pressed += pressed;
        tally.unknown += usize::from(!done);
    }
    Ok(())
}

/// What the log says of itself, after its chain was followed from end to end.
fn verify_audit(world: &World) -> anyhow::Result<String> {
    let verified = world.hob.cli(&["audit", "verify"])?;
    let said = String::from_utf8_lossy(&verified.stdout).trim().to_owned();
    ensure!(
        verified.status.success(),
        "the audit log is not whole: {said}{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    Ok(said)
}
