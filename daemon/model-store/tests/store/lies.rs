//! What a server may do wrong, and what becomes of it.

use crate::bench::{DATA, FILES, bench};
use crate::server::{Lie, Server, answer, redirect};
use insta::assert_snapshot;

/// A server that lies about one file only.
fn about(path: &'static str, lie: impl Fn(usize) -> Option<Lie> + Send + Sync + 'static) -> Server {
    Server::start(FILES, move |asked| if asked.path.ends_with(path) { lie(asked.before) } else { None })
}

#[test]
fn other_bytes_than_the_manifest_s_are_thrown_away_and_named() {
    let (bench, server) = (bench(), about("g.onnx", |_| Some(Lie::Other(b"grafh".to_vec()))));
    assert_snapshot!(bench.refusal(&server), @"onnx/g.onnx is not what the manifest says and was thrown away: sha256 7629338fcb81bd9507012c2e01ca7e86bb2f946182d7efb8de073dba6d7f24a1, expected eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d; try another hub with --from, and use no file of this one");
    assert!(!bench.partial("model/onnx/g.onnx").exists());
    assert_eq!(std::fs::read(bench.partial("parts/onnx/g.onnx")).unwrap(), b"");
    assert_eq!(std::fs::read(bench.partial("model/onnx/g.onnx_data")).unwrap(), DATA, "what is right is kept");
    assert!(!bench.store().folder().join("little").exists());
}

#[test]
fn another_length_than_the_manifest_s_is_another_file() {
    let bench = bench();
    assert_snapshot!(bench.refusal(&about("g.onnx", |_| Some(Lie::Length(9)))), @"onnx/g.onnx has 9 bytes at the hub where 5 are expected: it is another file; check the revision");
    assert_snapshot!(bench.refusal(&about("g.onnx", |_| Some(Lie::Length(3)))), @"onnx/g.onnx has 3 bytes at the hub where 5 are expected: it is another file; check the revision");
    let long = about("g.onnx", |_| Some(Lie::Unmeasured(b"graph and more".to_vec())));
    assert_snapshot!(bench.refusal(&long), @"onnx/g.onnx has 14 bytes at the hub where 5 are expected: it is another file; check the revision");
}

#[test]
fn a_body_that_ends_early_is_tried_again() {
    let bench = bench();
    let short = about("g.onnx", |_| Some(Lie::Unmeasured(b"gra".to_vec())));
    assert_snapshot!(bench.refusal(&short), @"gave up on onnx/g.onnx after 4 tries: the hub ended the file early; the same command goes on from there");
}

#[test]
fn a_file_of_unknown_size_needs_an_end_that_can_be_told_from_a_lost_connection() {
    let mut bench = bench();
    bench.forget("onnx/g.onnx");
    assert_snapshot!(bench.refusal(&about("g.onnx", |_| Some(Lie::Endless(b"graph".to_vec())))), @"onnx/g.onnx cannot be fetched: the hub does not say how long it is");
    bench.fetch(&about("g.onnx", |_| Some(Lie::Unmeasured(b"graph".to_vec())))).unwrap();
    assert_eq!(bench.placed("onnx/g.onnx"), b"graph");
}

#[test]
fn a_file_of_unknown_size_must_fit_as_well() {
    let mut bench = bench();
    bench.forget("onnx/g.onnx");
    let said = bench.refusal(&about("g.onnx", |_| Some(Lie::Length(1 << 60))));
    assert!(said.contains("has no room: 1152921504.7 GB are needed"), "{said}");
}

#[test]
fn a_server_that_has_enough_to_do_is_asked_again() {
    let busy = |status, lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Lie::Answer { status, lines }
    };
    let throttled = move |before| match before {
        0 => Some(busy(429, &["Retry-After: 0"])),
        1 => Some(busy(503, &[])),
        _ => None,
    };
    let (bench, server) = (bench(), about("config.json", throttled));
    bench.fetch(&server).unwrap();
    assert_snapshot!(bench.told.lock().unwrap().join("\n"), @"
    3 files, 1028 bytes, 0 there
    onnx/g.onnx_data whole
    config.json again: <server> answered 429 Too Many Requests
    config.json again: <server> answered 503 Service Unavailable
    config.json whole
    onnx/g.onnx whole
    ");
}

#[test]
fn a_server_that_is_never_well_is_given_up() {
    let (bench, server) = (bench(), about("config.json", |_| Some(answer(500))));
    assert_snapshot!(bench.refusal(&server), @"gave up on config.json after 4 tries: <server> answered 500 Internal Server Error; the same command goes on from there");
    assert_eq!(server.ranges("config.json").len(), 4);
}

#[test]
fn a_server_may_not_ask_to_wait_for_an_hour() {
    let hour = Lie::Answer { status: 429, lines: vec!["Retry-After: 3600".to_owned()] };
    let (bench, server) = (bench(), about("config.json", move |_| Some(hour.clone())));
    assert_snapshot!(bench.refusal(&server), @"<server> answered 429 Too Many Requests and asks to wait 3600 s before config.json: the same command goes on from there, later");
}

#[test]
fn what_is_not_there_is_said_at_once() {
    let (bench, server) = (bench(), about("config.json", |_| Some(answer(404))));
    assert_snapshot!(bench.refusal(&server), @"<server> has no config.json (404 Not Found): check the address, the repository and the revision");
    assert_eq!(server.ranges("config.json").len(), 1);
}

#[test]
fn a_circle_of_redirects_ends() {
    let (bench, server) = (bench(), about("config.json", |_| Some(redirect("config.json"))));
    assert_snapshot!(bench.refusal(&server), @"config.json cannot be fetched: it was redirected more than 3 times");
    assert_eq!(server.ranges("config.json").len(), 4);
    let nowhere = about("config.json", |_| Some(redirect("gopher://x/y")));
    assert_snapshot!(bench.refusal(&nowhere), @"config.json cannot be fetched: <server> redirects to what is no address");
}

#[test]
fn nobody_at_the_address_is_said_in_words() {
    let bench = bench();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = about("", move |_| Some(redirect(format!("http://{closed}/x"))));
    let said = bench.refusal(&server).replace(&closed.to_string(), "<closed>");
    assert_snapshot!(said, @"gave up on onnx/g.onnx_data after 4 tries: <closed>: Connection refused (os error 111); the same command goes on from there");
}

#[test]
fn a_server_that_does_not_speak_tls_is_not_asked_in_the_clear() {
    let (bench, server) = (bench(), Server::honest(FILES));
    let secure = server.address().replace("http:", "https:");
    let error = bench.fetch_from(&server, &secure).unwrap_err().to_string();
    assert_snapshot!(error.replace(&server.address().replace("http://", ""), "<server>"), @"gave up on onnx/g.onnx_data after 4 tries: <server>: unexpected end of file; the same command goes on from there");
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let (mut bench, server) = (bench(), Server::honest(FILES));
    bench.network.authorities = Some("/dev/null".into());
    assert_snapshot!(bench.refusal(&server), @"cannot read certificates from /dev/null: there are none in it");
    bench.network.authorities = Some("/nowhere.pem".into());
    assert_snapshot!(bench.refusal(&server), @"cannot read certificates from /nowhere.pem: No such file or directory (os error 2)");
}
