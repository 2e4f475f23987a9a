//! The store of a plugin, through the shipped `lists`: a call's writes are all kept or none, and no call loses another's.

use crate::fixture::{House, shipped, told};
use crate::memory_io::Manner;
use hob_plugin_host::{Bytes, Grant, KvBounds};
use insta::assert_snapshot;
use serde_json::json;

/// The driver moves calls between threads.
fn movable<T: Send>(future: T) -> T {
    future
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_do_not_lose_each_others_writes() {
    let house = House::new(Manner::Answers).await;
    house.add(&shipped("lists")).await;
    for round in 0..10 {
        let (one, two) = (format!("one {round}"), format!("two {round}"));
        let (a, b) = tokio::join!(
            movable(house.call("lists", "list_add", json!({"item": one}))),
            house.call("lists", "list_add", json!({"item": two}))
        );
        assert!(told(&a).starts_with("returned") && told(&b).starts_with("returned"), "{a:?} {b:?}");
    }
    let read = house.call("lists", "list_read", json!({})).await;
    let items = told(&read).matches("one ").count() + told(&read).matches("two ").count();
    assert_eq!(items, 20, "{}", told(&read));
}

#[tokio::test]
async fn a_full_store_says_so_and_keeps_what_it_has() {
    let house = House::new(Manner::Answers).await;
    let report = house.host.install(&shipped("lists")).await.unwrap();
    let mut grant = Grant::all_asked(&report.manifest);
    grant.capabilities.kv = Some(KvBounds { max_bytes: Bytes(80), ..KvBounds::default() });
    house.host.grant(&grant).await.unwrap();
    house.call("lists", "list_add", json!({"item": "milk"})).await;
    let kept = house.io.kv.lock().unwrap().clone();
    assert_snapshot!(told(&house.call("lists", "list_add", json!({"item": "x".repeat(100)})).await), @"failed: the store holds at most 80B");
    assert_snapshot!(told(&house.call("lists", "list_add", json!({"item": "m", "list": "other"})).await), @"failed: nothing was kept: the store is full: 92 bytes in 2 keys, and 80 bytes in 200 keys are allowed");
    assert_eq!(*house.io.kv.lock().unwrap(), kept);
}
