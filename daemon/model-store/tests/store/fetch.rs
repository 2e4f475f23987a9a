//! A fetch that goes well, and what stands in its way on this side.

use crate::bench::{CONFIG, DATA, FILES, bench, files_below};
use crate::server::Server;
use hob_model_store::Record;
use insta::assert_snapshot;

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
