//! `hob rules test` on recordings of what houses really send, with the rules of the examples.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn played(recording: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
    let settings = Path::new(ROOT).join("configs/examples/rules.toml");
    command.arg("--config").arg(settings).args(["rules", "test", "--quiet"]).arg(recording);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_recordings_are_answered_as_expected() {
    let mut cases = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("tests/fixtures/rules")).unwrap() {
        let path = entry.unwrap().path();
        let output = played(&path);
        assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), said(&output));
        cases += fs::read_to_string(&path).unwrap().matches("\"expect\"").count();
    }
    assert!(cases >= 40, "{cases}");
}

#[test]
fn what_was_expected_otherwise_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("wet.ndjson");
    fs::write(&recording, r#"{"topic": "zigbee2mqtt/cellar", "payload": {"water_leak": true}, "expect": ["damp"]}"#)
        .unwrap();
    let output = played(&recording);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(said(&output), @r#"
       1  zigbee2mqtt/cellar  {"water_leak":true}
        leak                     publishes water at zigbee2mqtt/cellar to house/alarm
        battery                  no: there is no /battery
        expected to act: damp
    1 lines, 1 acts; 0 of 1 expectations hold
    "#);
}
