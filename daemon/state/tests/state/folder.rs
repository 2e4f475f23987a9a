//! Opening the state folder in every shape it can be in.

use crate::samples::*;
use hob_state::{OpenStoreError, Recovered, Store};
use std::fs;
use std::path::{Path, PathBuf};

fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap.")).collect()
}

fn reopened(folder: &Path) -> (Store, Vec<Recovered>) {
    let opened = Store::open(folder, limits()).unwrap();
    (opened.store, opened.recovered)
}

#[test]
fn a_second_process_is_told_that_a_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let second = Store::open(folder.path(), limits());
    assert!(matches!(second, Err(OpenStoreError::Locked { .. })), "{second:?}");
}

#[test]
fn a_truncated_snapshot_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), vec![accepted("a"), audit("begun")]);
    // A snapshot is written when there is a log to read.
    write(folder.path(), vec![]);
    let snapshots = snapshots(folder.path());
    assert!(!snapshots.is_empty());
    for snapshot in snapshots {
        let file = fs::File::options().write(true).open(snapshot).unwrap();
        file.set_len(7).unwrap();
    }
    let (store, recovered) = reopened(folder.path());
    assert!(matches!(recovered[..], [Recovered::SnapshotsSetAside { .. }]), "{recovered:?}");
    assert_eq!(store.unfinished().unwrap().len(), 1);
    assert_eq!(store.verify_audit(), Ok(1));
}

#[test]
fn a_folder_of_rubbish_is_set_aside_and_hob_starts_empty() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    write(&folder, vec![accepted("a")]);
    for name in ["db", "conf"] {
        fs::write(folder.join(name), vec![0xA5; 600_000]).unwrap();
    }
    let (store, recovered) = reopened(&folder);
    let [Recovered::StartedEmpty { quarantine, .. }] = &recovered[..] else { panic!("{recovered:?}") };
    assert!(quarantine.join("db").exists() && quarantine.to_str().unwrap().contains("state.corrupt-"));
    assert!(store.unfinished().unwrap().is_empty());
    drop(store);
    assert_eq!(reopened(&folder).1, []);
}

/// Whatever is damaged, hob starts: with everything, or empty and saying so.
#[test]
fn damage_anywhere_never_keeps_hob_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let pristine = home.path().join("pristine");
    write(&pristine, vec![accepted("a"), began("a", 3), audit("begun")]);
    write(&pristine, vec![accepted("b")]);
    let files = ["db", "conf"].map(PathBuf::from).into_iter();
    let files = files.chain(snapshots(&pristine).into_iter().map(|path| path.file_name().unwrap().into()));
    for (number, name) in files.enumerate() {
        let whole = fs::read(pristine.join(&name)).unwrap();
        let written = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for cut in [0, 1, 9, written / 2, written - 1] {
            let mut flipped = whole.clone();
            flipped[cut] ^= 0xFF;
            for (kind, content) in [("cut", &whole[..cut]), ("flipped", &flipped)] {
                let folder = home.path().join(format!("{number}-{cut}-{kind}"));
                fs::create_dir_all(folder.join("blobs")).unwrap();
                for entry in fs::read_dir(&pristine).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
                    }
                }
                fs::write(folder.join(&name), content).unwrap();
                let (store, recovered) = reopened(&folder);
                let kept = store.unfinished().unwrap().len();
                let told = recovered.iter().any(|what| match what {
                    Recovered::StartedEmpty { .. } | Recovered::LostCommits { .. } => true,
                    Recovered::SnapshotsSetAside { .. } => false,
                });
                assert!(kept == 2 || told, "{} {kind} at {cut} kept {kept}: {recovered:?}", name.display());
                assert!(store.verify_audit().is_ok());
            }
        }
    }
}

const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1");

/// A folder as format 1 left it. Never written anew: a hob of today must read what a hob of then wrote.
#[test]
fn a_folder_of_format_1_is_read() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    fs::create_dir_all(folder.join("blobs")).unwrap();
    for name in ["conf", "db", "mark"] {
        fs::copy(Path::new(OLD).join(name), folder.join(name)).unwrap();
    }
    holds_the_old_house(&folder);
}

fn holds_the_old_house(folder: &Path) {
    let store = open(folder);
    let left = store.unfinished().unwrap();
    assert_eq!(left.iter().map(|left| left.command.id.as_str()).collect::<Vec<_>>(), ["open"]);
    assert_eq!(left[0].calls[0].actions, [action(hob_events::Delivery::Unknown)]);
    let kept = store.final_of(&id("done")).unwrap().unwrap();
    assert_eq!(kept.payload, serde_json::to_vec(&result("done")).unwrap());
    assert_eq!(store.untold().unwrap(), [kept]);
    assert_eq!(store.verify_audit(), Ok(2));
    assert_eq!(store.next_turn().unwrap().0, 6);
}

/// What the fixture was made of, written today, reads the same. When a format is new, `HOB_STATE_FIXTURE=<folder>` keeps
/// what is written here as the fixture of that format.
#[test]
fn the_fixture_can_be_made_again() {
    let home = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("HOB_STATE_FIXTURE").map_or_else(|| home.path().join("state"), Into::into);
    let steps = vec![
        audit("started"),
        accepted("done"),
        began("done", 4),
        receipt("done", call(4, 0)),
        finished("done"),
        accepted("open"),
        began("open", 5),
        calling("open", call(5, 0)),
        sending("open", call(5, 0)),
        audit("stopped"),
    ];
    write(&folder, steps);
    holds_the_old_house(&folder);
}
