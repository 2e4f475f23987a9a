//! `make test-kill`: thirty kills under load. Prints a line a round and the figures last.

mod rounds;

use rounds::Phase;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

/// Seven or eight in each of the four phases.
const ROUNDS: usize = 30;

#[tokio::main]
async fn main() -> ExitCode {
    let began = Instant::now();
    let say = |line: String| writeln!(stdout(), "{line}").ok();
    let run = rounds::run(ROUNDS, |round, phase, tally| {
        let start = tally.starts.last().map_or(0, std::time::Duration::as_millis);
        say(format!("round {:2}  killed while {:<10}  back after {start} ms", round + 1, words(phase)));
    });
    match run.await {
        Ok(tally) => {
            say(format!(
                "\n{} kills, {} commands: 0 lost, 0 sent twice, {} presses felt, {} not known to have been sent; audit: {}; {} s",
                tally.rounds,
                tally.commands,
                tally.pressed,
                tally.unknown,
                tally.audit,
                began.elapsed().as_secs()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format!("\nfailed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Accepted => "accepting",
        Phase::Generating => "generating",
        Phase::Sending => "sending",
        Phase::Finishing => "finishing",
    }
}
