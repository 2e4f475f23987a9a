//! `make bench`, the whole: what a command costs from the broker and back, with the shipped model, and what the daemon weighs.
//!
//! Times are compared within the run, so that a busy machine moves all of them: a command in words against the same action
//! written out as a call (no model), and that against a bare echo through the same broker.

use anyhow::Context;
use e2e::{Broker, Client, Daemon, Home, House, Places, Request};
use hob_events::CommandResult;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

/// Rounds that are counted, after some that are not.
const ROUNDS: usize = 100;
const WARM_UP: usize = 10;

/// The node's name in the benchmark.
const NODE: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let house = House::example()?;
    let broker = Broker::start().await?;
    let _home = Home::start(broker.port(), &house).await?;
    let client = Client::connect(broker.port(), NODE, "bench-client").await?;
    // Every command in words is decoded; what the memo saves is measured by itself below.
    let mut hob = Daemon::prepare(broker.port(), NODE, &house, Places::pocket()?)?.with("model.memo_entries", "0");
    let began = Instant::now();
    hob.start(&client).await?;
    let start = began.elapsed();

    let mut echo = Vec::new();
    let mut calls = Vec::new();
    let mut words = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        // Each round does all three, so that what else the machine does falls on all of them.
        let state = if round % 2 == 0 { "on" } else { "off" };
        echo.push(once_around(&client, round).await?);
        let call =
            Request::call(&format!("call-{round}"), &format!("turn_{state}"), json!({ "device": "ceiling lamp" }));
        calls.push(timed(&client, &call).await?);
        let text = Request::text(&format!("words-{round}"), &format!("turn {state} the ceiling lamp"));
        words.push(timed(&client, &text).await?);
    }
    let memory = memory_kib(&hob)?;
    hob.stop().await?;
    hob.set("model.memo_entries", "2048");
    hob.start(&client).await?;
    let mut recalled = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        // Two commands, so both are known after the first two rounds.
        let state = if round % 2 == 0 { "on" } else { "off" };
        let text = Request::text(&format!("known-{round}"), &format!("turn {state} the ceiling lamp"));
        recalled.push(timed(&client, &text).await?);
    }
    hob.stop().await?;
    let decoded = recalled.iter().skip(WARM_UP).filter(|(_, result)| !result.timings.from_memo).count();
    anyhow::ensure!(decoded == 0, "{decoded} of {ROUNDS} known commands were decoded");

    let mut out = std::io::stdout().lock();
    let echo = median(echo.into_iter().skip(WARM_UP).collect());
    let of = |series: &[(Duration, CommandResult)], what: fn(&CommandResult) -> f64| {
        median_ms(series.iter().skip(WARM_UP).map(|(_, result)| what(result)).collect())
    };
    let wall =
        |series: &[(Duration, CommandResult)]| median(series.iter().skip(WARM_UP).map(|(took, _)| *took).collect());
    writeln!(out, "medians of {ROUNDS} rounds, milliseconds")?;
    writeln!(out, "start to ready                    {:9.1}", ms(start))?;
    writeln!(out, "broker and back                   {:9.2}", ms(echo))?;
    writeln!(
        out,
        "a written-out call, confirmed     {:9.2}   {:5.1} × the echo",
        ms(wall(&calls)),
        ratio(wall(&calls), echo)
    )?;
    writeln!(out, "  of which the tool               {:9.2}", of(&calls, |result| result.timings.tool_ms))?;
    writeln!(
        out,
        "the same in words                 {:9.2}   {:5.1} × the call",
        ms(wall(&words)),
        ratio(wall(&words), wall(&calls))
    )?;
    writeln!(out, "  of which prefill                {:9.2}", of(&words, |result| result.timings.prefill_ms))?;
    writeln!(out, "  of which decode                 {:9.2}", of(&words, |result| result.timings.decode_ms))?;
    writeln!(
        out,
        "the same from the memo            {:9.2}   {:5.1} × the call",
        ms(wall(&recalled)),
        ratio(wall(&recalled), wall(&calls))
    )?;
    writeln!(
        out,
        "memory, resident                  {:9.1} MiB, of it anonymous {:.1} MiB",
        mib(memory.0),
        mib(memory.1)
    )?;
    Ok(())
}

async fn timed(client: &Client, request: &Request) -> anyhow::Result<(Duration, CommandResult)> {
    let began = Instant::now();
    let result = client.ask(request).await?;
    Ok((began.elapsed(), result))
}

/// A message to oneself through the broker: what no command can be faster than.
async fn once_around(client: &Client, round: usize) -> anyhow::Result<Duration> {
    let mark = client.mark();
    let word = format!("echo-{round}");
    let topic = format!("hob/{NODE}/command/echo/result");
    let began = Instant::now();
    client.publish(&topic, word.clone(), false).await?;
    client.find(mark, "the echo", |message| (message.payload == word.as_bytes()).then_some(())).await?;
    Ok(began.elapsed())
}

/// Resident and anonymous memory of the daemon in KiB, as the kernel counts it.
fn memory_kib(hob: &Daemon) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hob.pid().context("hob runs")?))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc")?;
        line.split_whitespace().next().context("a number")?.parse::<u64>().context("a number")
    };
    Ok((field("VmRSS:")?, field("RssAnon:")?))
}

fn median(mut series: Vec<Duration>) -> Duration {
    series.sort_unstable();
    series.get(series.len() / 2).copied().unwrap_or_default()
}

fn median_ms(mut series: Vec<f64>) -> f64 {
    series.sort_by(f64::total_cmp);
    series.get(series.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(time: Duration, to: Duration) -> f64 {
    time.as_secs_f64() / to.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 KiB")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
