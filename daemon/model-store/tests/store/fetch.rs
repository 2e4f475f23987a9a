//! A fetch that goes well, and what stands in its way on this side.

use crate::bench::{CONFIG, DATA, FILES, bench, files_below, sha256};
use crate::server::{Lie, Server, answer};
use hob_model_store::{FilePlan, Record};
use insta::assert_snapshot;
use std::sync::Barrier;
use std::time::Duration;

#[test]
fn a_model_is_fetched_checked_and_put_in_place() {
    let (bench, server) = (bench(), Server::honest(FILES));
    let fetched = bench.fetch(&server).unwrap();
    assert_eq!(fetched.folder, bench.store().folder().join("little"));
    assert!(!fetched.was_there);
    assert_eq!((bench.placed("config.json"), bench.placed("onnx/g.onnx_data")), (CONFIG.to_vec(), DATA.to_vec()));
    assert_eq!(
        files_below(bench.store().folder()),
        [
            ".partial/little.lock",
            "little/config.json",
            "little/hob-model.toml",
            "little/onnx/g.onnx",
            "little/onnx/g.onnx_data"
        ]
    );
    assert_eq!(Record::read(&fetched.folder).unwrap(), fetched.record);
    assert_eq!(server.log()[0].path, "/someone/little-ONNX/resolve/abc/onnx/g.onnx_data", "the largest goes first");
    assert_snapshot!(String::from_utf8(bench.placed("hob-model.toml")).unwrap(), @r#"
    # Written by hob; `hob model verify little` holds the folder to it.
    name = "little"
    variant = "q4"
    repository = "someone/little-ONNX"
    revision = "abc"

    [[files]]
    path = "config.json"
    bytes = 23
    sha256 = "9f30477ff979e49c5b5e94a016e7b5c914024017e598c7d39a805046076c9a62"
    checksum = "known"

    [[files]]
    path = "onnx/g.onnx"
    bytes = 5
    sha256 = "eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d"
    checksum = "known"

    [[files]]
    path = "onnx/g.onnx_data"
    bytes = 1000
    sha256 = "df1329c8b6c7cf3740bbe2f8bab34d253a8d9534a79dceea18177081fdf9f0e9"
    checksum = "known"
    "#);
}

#[test]
fn what_is_in_place_is_not_fetched_again() {
    let (mut bench, server) = (bench(), Server::honest(FILES));
    bench.fetch(&server).unwrap();
    assert!(bench.fetch(&server).unwrap().was_there);
    assert_eq!(server.log().len(), 3);
    bench.plan.variant = "q4f16".parse().unwrap();
    assert_snapshot!(bench.refusal(&server), @"<folder>/models/little holds q4 at revision abc: remove it first (hob model remove little), or fetch under another name (--name)");
}

#[test]
fn hashes_that_nobody_knew_are_recorded() {
    let (mut bench, server) = (bench(), Server::honest(FILES));
    bench.forget("onnx/g.onnx");
    let record = bench.fetch(&server).unwrap().record;
    assert_eq!(record.recorded().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["onnx/g.onnx"]);
}

#[test]
fn a_disk_without_room_is_found_before_anything_is_fetched() {
    let (mut bench, server) = (bench(), Server::honest(FILES));
    bench.plan.files[2].bytes = Some(1 << 60);
    let said = bench.refusal(&server);
    assert!(said.contains("1152921504.7 GB are needed and "), "{said}");
    assert!(said.ends_with("are free; make room, or set `[model] store` to another disk"), "{said}");
    assert!(server.log().is_empty());
}

#[test]
fn two_fetches_of_one_model_do_not_meet() {
    let (bench, server) = (bench(), Server::honest(FILES));
    let lock = bench.store().folder().join(".partial/little.lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    std::fs::write(&lock, "4711\n").unwrap();
    let held = std::fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    assert_snapshot!(bench.refusal(&server), @"another hob (process 4711) works on little: wait for it, or end it; what it fetched is kept");
    drop(held);
    bench.fetch(&server).unwrap();
}

#[test]
fn what_an_attempt_at_another_variant_left_does_not_come_along() {
    let (bench, server) = (bench(), Server::honest(FILES));
    std::fs::create_dir_all(bench.partial("model/onnx")).unwrap();
    std::fs::write(bench.partial("source"), "someone/little-ONNX abc").unwrap();
    std::fs::write(bench.partial("model/onnx/other.onnx"), "x").unwrap();
    let fetched = bench.fetch(&server).unwrap();
    assert!(!fetched.folder.join("onnx/other.onnx").exists());
}

#[test]
fn many_files_come_side_by_side_and_stay_in_order() {
    let mut bench = bench();
    bench.jobs = 4;
    let names: Vec<String> = (0..30).map(|number| format!("onnx/part_{number}")).collect();
    let bodies: Vec<Vec<u8>> = (0..30_u8).map(|number| vec![number; 50 * usize::from(number % 7) + 1]).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bodies.iter().map(Vec::as_slice)).collect();
    let plan = |(path, bytes): &(&str, &[u8])| FilePlan {
        path: path.parse().unwrap(),
        bytes: Some(bytes.len() as u64),
        sha256: Some(sha256(bytes).parse().unwrap()),
    };
    bench.plan.files = files.iter().map(plan).collect();
    let record = bench.fetch(&Server::honest(&files)).unwrap().record;
    assert!(record.files.iter().zip(&names).all(|(file, name)| file.path.as_str() == name));
    assert!(files.iter().all(|(path, bytes)| bench.placed(path) == *bytes));
}

#[test]
fn a_file_that_cannot_be_had_ends_the_others_and_keeps_what_came() {
    let mut bench = bench();
    bench.jobs = 2;
    bench.network.stall = Duration::from_millis(300);
    // The one that cannot be had is answered when the other is on its way.
    let both = Barrier::new(2);
    let server = Server::start(FILES, move |asked| {
        both.wait();
        let stalls = asked.path.ends_with("_data");
        Some(if stalls { Lie::Stall { after: 300 } } else { answer(404) })
    });
    assert!(bench.refusal(&server).contains("has no config.json (404 Not Found)"));
    assert!(DATA.starts_with(&std::fs::read(bench.partial("parts/onnx/g.onnx_data")).unwrap()));
    assert_eq!(server.log().len(), 2, "what waited was not begun");
}
