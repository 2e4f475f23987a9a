//! What was begun is gone on from, as long as it belongs to the same file.

use crate::bench::{Bench, DATA, FILES, bench};
use crate::server::{Lie, Server, answer};
use insta::assert_snapshot;
use std::fs;
use std::time::Duration;

/// A server that treats the data file so at its first, second, … question.
fn server(lie: impl Fn(usize) -> Option<Lie> + Send + Sync + 'static) -> Server {
    Server::start(FILES, move |asked| if asked.path.ends_with("_data") { lie(asked.before) } else { None })
}

/// An earlier fetch was ended after 400 bytes of the data file.
fn interrupted() -> Bench {
    let bench = bench();
    let first = server(|before| if before == 0 { Some(Lie::Drop { after: 400 }) } else { Some(answer(410)) });
    bench.fetch(&first).unwrap_err();
    assert_eq!(fs::read(bench.partial("parts/onnx/g.onnx_data")).unwrap().len(), 400);
    bench.told.lock().unwrap().clear();
    bench
}

#[test]
fn a_connection_that_drops_is_gone_on_from() {
    let (bench, server) = (bench(), server(|before| (before < 2).then_some(Lie::Drop { after: 300 })));
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-", "bytes=300-", "bytes=600-"]);
    assert_eq!(server.log()[1].header("if-range"), Some("\"one\""));
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let (mut bench, server) = (bench(), server(|before| (before == 0).then_some(Lie::Stall { after: 300 })));
    bench.network.stall = Duration::from_millis(300);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-", "bytes=300-"]);
    assert_snapshot!(bench.told.lock().unwrap()[1], @"onnx/g.onnx_data again: the connection was lost: it fell silent");
}

#[test]
fn an_interrupted_fetch_goes_on_where_it_was() {
    let (bench, server) = (interrupted(), Server::honest(FILES));
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=400-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
    assert_eq!(bench.told.lock().unwrap()[0], "3 files, 1028 bytes, 400 there");
}

#[test]
fn whole_files_of_an_interrupted_fetch_are_not_fetched_again_unless_they_changed() {
    let bench = bench();
    let broken = Server::start(FILES, |asked| asked.path.ends_with("config.json").then(|| answer(404)));
    fs::create_dir_all(bench.store().folder()).unwrap();
    bench.fetch(&broken).unwrap_err();
    fs::write(bench.partial("model/onnx/g.onnx"), "drawn").ok();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert!(server.ranges("_data").is_empty());
    assert_eq!(server.ranges("g.onnx").len(), 1);
    assert_eq!(bench.placed("onnx/g.onnx"), b"graph");
}

#[test]
fn a_server_that_ignores_ranges_begins_the_file_anew() {
    let (bench, server) = (interrupted(), server(|_| Some(Lie::IgnoreRange)));
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=400-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
    assert!(bench.told.lock().unwrap().contains(&"400 lost".to_owned()));
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let bench = interrupted();
    // An honest server sees by If-Range that the part is of another state, and sends the whole.
    let honest = server(|_| Some(Lie::Other(DATA.to_vec())));
    bench.fetch(&honest).unwrap();
    assert_eq!(honest.ranges("_data"), ["bytes=400-"]);

    let bench = interrupted();
    let lying = server(|before| (before == 0).then(|| Lie::OtherState { bytes: vec![8; 1000], etag: "\"two\"" }));
    bench.fetch(&lying).unwrap();
    assert_eq!(lying.ranges("_data"), ["bytes=400-", "-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
}

#[test]
fn parts_that_do_not_make_the_file_are_fetched_anew_once() {
    let bench = interrupted();
    fs::write(bench.partial("parts/onnx/g.onnx_data"), vec![9; 400]).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=400-", "-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
}

#[test]
fn a_part_that_is_longer_than_the_file_is_begun_anew() {
    let bench = interrupted();
    fs::write(bench.partial("parts/onnx/g.onnx_data"), vec![7; 2000]).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-"]);
}

#[test]
fn a_part_that_is_the_whole_file_needs_no_server() {
    let bench = interrupted();
    fs::write(bench.partial("parts/onnx/g.onnx_data"), DATA).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert!(server.ranges("_data").is_empty());
}

#[test]
fn a_server_that_has_no_more_of_it_shows_that_the_file_is_whole_or_another() {
    let mut bench = interrupted();
    bench.forget("onnx/g.onnx_data");
    fs::write(bench.partial("parts/onnx/g.onnx_data"), DATA).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=1000-"]);

    let mut bench = interrupted();
    bench.forget("onnx/g.onnx_data");
    fs::write(bench.partial("parts/onnx/g.onnx_data"), vec![7; 1200]).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=1200-", "-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
}

#[test]
fn without_a_hash_or_a_mark_two_parts_are_not_joined() {
    let mut bench = interrupted();
    bench.forget("onnx/g.onnx_data");
    fs::remove_file(bench.partial("etags/onnx/g.onnx_data")).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-"]);
}

#[test]
fn a_part_of_another_revision_is_of_no_use() {
    let mut bench = interrupted();
    bench.plan.revision = "def".parse().unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-"]);
}

#[test]
fn a_server_that_is_never_of_one_mind_is_given_up() {
    let two_minds = |before: usize| match before % 2 {
        0 => Some(Lie::Drop { after: 400 }),
        _ => Some(Lie::OtherState { bytes: vec![8; 1000], etag: "\"two\"" }),
    };
    let (bench, server) = (bench(), server(two_minds));
    assert_snapshot!(bench.refusal(&server), @"gave up on onnx/g.onnx_data after 4 tries: the file changed at the hub between two parts of it; the same command goes on from there");
}

#[test]
fn a_page_of_who_sits_between_costs_nothing_of_what_came() {
    let (bench, portal) = (interrupted(), server(|_| Some(Lie::Other(b"<html>pay here</html>".to_vec()))));
    assert_snapshot!(bench.refusal(&portal), @"onnx/g.onnx_data has 21 bytes at the hub where 1000 are expected: it is another file; check the revision");
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=400-"]);
}

/// A fetch was ended when the data, whose hash nobody knows, were whole and the configuration was not.
fn ended_with_whole_data(revision: &str) -> Bench {
    let mut bench = bench();
    bench.plan.revision = revision.parse().unwrap();
    bench.plan.files[2].sha256 = None;
    let broken = Server::start(FILES, |asked| asked.path.ends_with("config.json").then(|| answer(404)));
    bench.fetch(&broken).unwrap_err();
    assert_eq!(fs::read(bench.partial("model/onnx/g.onnx_data")).unwrap(), DATA);
    bench
}

#[test]
fn of_a_branch_that_moved_no_file_is_kept_that_nobody_can_vouch_for() {
    let bench = ended_with_whole_data("main");
    // As it was when the branch stood elsewhere.
    fs::write(bench.partial("etags/onnx/g.onnx_data"), "\"zero\"").unwrap();
    let server = Server::start(&[FILES[0], FILES[1], ("onnx/g.onnx_data", &[8; 1000])], |_| None);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["bytes=1000-"]);
    assert_eq!(bench.placed("onnx/g.onnx_data"), [8; 1000]);

    let bench = ended_with_whole_data("main");
    fs::remove_file(bench.partial("etags/onnx/g.onnx_data")).unwrap();
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert_eq!(server.ranges("_data"), ["-"], "without a mark nothing tells that it is the same");
}

#[test]
fn of_a_branch_that_stood_still_nothing_is_fetched_again() {
    for size in [Some(1000), None] {
        let mut bench = ended_with_whole_data("main");
        bench.plan.files[2].bytes = size;
        let server = Server::honest(FILES);
        bench.fetch(&server).unwrap();
        assert_eq!(server.ranges("_data"), ["bytes=1000-"], "{size:?}");
        assert_eq!(server.log().iter().filter(|asked| asked.path.ends_with("_data")).count(), 1);
        assert_eq!(bench.placed("onnx/g.onnx_data"), DATA);
    }
}

#[test]
fn of_a_commit_whole_files_are_kept_without_a_question() {
    let bench = ended_with_whole_data("0123456789abcdef0123456789abcdef01234567");
    let server = Server::honest(FILES);
    bench.fetch(&server).unwrap();
    assert!(server.ranges("_data").is_empty());
}
