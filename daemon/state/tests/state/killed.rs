//! A process that is killed in the middle of writing has lost nothing that was acknowledged.

use crate::samples::*;
use hob_state::StateWriter;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;

const FOLDER: &str = "HOB_STATE_TEST_FOLDER";

/// Not a test of its own: what the killed process runs. Writes until it is killed, and prints what is durable.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(folder.as_ref());
    let writer = StateWriter::start(&store).unwrap();
    let (done, durable) = mpsc::channel();
    let mut stdout = std::io::stdout();
    let first = store.next_turn().unwrap().0;
    for turn in first.. {
        let name = format!("c{turn}");
        let records = vec![accepted(&name), began(&name, turn), audit(&name), finished(&name)];
        let done = done.clone();
        while writer.try_commit(records.clone(), {
            let done = done.clone();
            move |result| done.send(result.map(|()| turn)).unwrap()
        }) == Err(hob_state::TryCommitError::Full)
        {
            writeln!(stdout, "durable {}", durable.recv().unwrap().unwrap()).unwrap();
        }
        for turn in durable.try_iter() {
            writeln!(stdout, "durable {}", turn.unwrap()).unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = |line: &str| line.split_once("durable ").and_then(|(_, turn)| turn.parse::<u64>().ok());
        let enough = acknowledged + 40 * round;
        while acknowledged < enough {
            if let Some(turn) = seen(&lines.next().unwrap().unwrap()) {
                acknowledged = turn;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Printed before the kill, read after it.
        acknowledged = lines.filter_map(|line| seen(&line.ok()?)).last().unwrap_or(acknowledged);

        let store = open(folder.path());
        for turn in 0..=acknowledged {
            assert!(store.final_of(&id(&format!("c{turn}"))).unwrap().is_some(), "turn {turn} of {acknowledged}");
        }
        let next = store.next_turn().unwrap().0;
        assert_eq!(store.verify_audit(), Ok(next));
        assert!(store.unfinished().unwrap().is_empty(), "a commit was torn");
    }
}
