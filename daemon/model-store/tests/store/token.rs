//! A token goes to the hub that it is meant for, and nowhere else.

use crate::bench::{FILES, bench};
use crate::server::{Server, answer, redirect};
use hob_model_store::FetchModelError;
use insta::assert_snapshot;

/// A hub that opens its files to one token.
fn guarded() -> Server {
    Server::start(FILES, |asked| match asked.header("authorization") {
        Some("Bearer sesame") => None,
        Some(_) => Some(answer(403)),
        None => Some(answer(401)),
    })
}

#[test]
fn a_hub_that_asks_for_a_token_gets_it() {
    let (mut bench, server) = (bench(), guarded());
    assert_snapshot!(bench.refusal(&server), @"<server> wants a token for onnx/g.onnx_data (401 Unauthorized): accept the model's terms on its page, then give a token with --token-file FILE or HF_TOKEN");
    bench.token = Some("abracadabra");
    assert_snapshot!(bench.refusal(&server), @"<server> wants a token for onnx/g.onnx_data (403 Forbidden): the one it was given does not open it; accept the model's terms on its page, or take another token");
    bench.token = Some("sesame");
    bench.fetch(&server).unwrap();
}

#[test]
fn a_redirect_takes_the_token_to_the_same_server_only() {
    let mut bench = bench();
    bench.token = Some("sesame");
    let elsewhere = Server::honest(FILES);
    let target = elsewhere.address();
    let hub = Server::start(FILES, move |asked| match asked.path.ends_with("config.json") {
        true => Some(redirect(format!("{target}/x/resolve/y/config.json"))),
        false if asked.path.starts_with("/moved") => None,
        false => Some(redirect(format!("/moved{}", asked.path))),
    });
    bench.fetch(&hub).unwrap();
    assert!(hub.log().iter().all(|asked| asked.header("authorization") == Some("Bearer sesame")));
    assert_eq!(hub.log().iter().filter(|asked| asked.path.starts_with("/moved/")).count(), 2);
    let there = elsewhere.log();
    assert_eq!(there.len(), 1);
    assert!(there[0].headers.values().all(|value| !value.contains("sesame")));
}

#[test]
fn a_token_is_not_sent_where_it_can_be_overheard() {
    let bench = bench();
    let order = hob_model_store::FetchOrder {
        plan: &bench.plan,
        hub: &"http://mirror.invalid".parse().unwrap(),
        token: Some(hob_model_store::Token::new("sesame", "the test").unwrap()),
        jobs: std::num::NonZero::new(1).unwrap(),
        network: bench.network.clone(),
        report: &|_| (),
    };
    let error = bench.store().fetch(&order).unwrap_err();
    assert!(matches!(error, FetchModelError::Client(_)));
    assert_snapshot!(error, @"a token is not sent to http://mirror.invalid, where it can be overheard: use an address with https://");
}

#[test]
fn a_permission_that_ran_out_elsewhere_is_asked_for_anew() {
    let (bench, elsewhere) = (bench(), Server::start(FILES, |asked| (asked.before == 0).then(|| answer(403))));
    let target = elsewhere.address();
    let lead = move |path: &str| redirect(format!("{target}{path}"));
    let hub = Server::start(FILES, move |asked| Some(lead(&asked.path)));
    bench.fetch(&hub).unwrap();
    assert_eq!(hub.ranges("config.json").len(), 2);
    let told =
        bench.told.lock().unwrap().join("\n").replace(&elsewhere.address().replace("http://", ""), "<elsewhere>");
    assert!(told.contains("<elsewhere>, to which the hub leads, answered 403 Forbidden"), "{told}");
}
