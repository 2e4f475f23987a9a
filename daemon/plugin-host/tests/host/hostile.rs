//! Components that mean harm. Each is contained, says so in its outcome, and leaves the others working.

use crate::fixture::{House, WatGuest, name, told};
use crate::memory_io::Manner;
use hob_events::Outcome;
use hob_plugin_host::PluginState;
use insta::assert_snapshot;
use serde_json::json;
use std::time::Duration;

const FOREVER: &str = "(loop $forever (br $forever)) (unreachable)";

/// What becomes of one call to such a plugin, with a good one beside it that must still answer.
async fn after_attack(capabilities: &str, guest: WatGuest<'_>) -> String {
    let house = House::new(Manner::Answers).await;
    house.add_wat("bad", capabilities, &guest).await;
    house.add_wat("good", "", &WatGuest::GOOD).await;
    let ended = house.call("bad", "act_bad", json!({})).await;
    assert!(ended.took_ms < 2_000, "it took {} ms", ended.took_ms);
    let beside = house.call("good", "act_good", json!({})).await;
    assert_eq!(beside.outcome, Outcome::Returned { value: json!({"ok": true}) });
    told(&ended)
}

fn attack(call: &str) -> WatGuest<'_> {
    WatGuest { call, ..WatGuest::GOOD }
}

#[tokio::test]
async fn an_infinite_loop_ends_at_its_deadline() {
    assert_snapshot!(after_attack("", attack(FOREVER)).await, @"stopped: the plugin 'bad' was stopped: it did not finish within 300ms");
}

#[tokio::test]
async fn a_hunger_for_memory_ends_at_its_limit() {
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    assert_snapshot!(after_attack("", attack(grow)).await, @"stopped: the plugin 'bad' was stopped: it needed more than its 8MiB of memory");
}

#[tokio::test]
async fn endless_recursion_ends_at_the_stack() {
    let guest = WatGuest {
        module: "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))",
        call: "(call $deep (i32.const 0))",
        ..WatGuest::GOOD
    };
    assert_snapshot!(after_attack("", guest).await, @"stopped: the plugin 'bad' was stopped: it ran out of stack");
}

#[tokio::test]
async fn a_crash_is_told_as_one() {
    assert_snapshot!(after_attack("", attack("(unreachable)")).await, @"stopped: the plugin 'bad' was stopped: it crashed: wasm trap: wasm `unreachable` instruction executed");
}

#[tokio::test]
async fn a_wild_pointer_is_a_crash() {
    assert_snapshot!(after_attack("", attack("(call $ok (i32.const -16) (i32.const 64))")).await, @"stopped: the plugin 'bad' was stopped: it crashed: string pointer/length out of bounds of memory");
}

#[tokio::test]
async fn an_answer_too_large_for_anyone_is_refused() {
    let grown =
        |bytes: u32| format!("(drop (memory.grow (i32.const 80))) (call $ok (i32.const 65536) (i32.const {bytes}))");
    assert_snapshot!(after_attack("", attack(&grown(300 << 10))).await, @"stopped: the plugin 'bad' was stopped: it returned 300KiB, and 256KiB are allowed");
    assert_snapshot!(after_attack("", attack(&grown(4 << 20))).await, @"stopped: the plugin 'bad' was stopped: it passed more than 2MiB of data at once");
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_refused() {
    assert_snapshot!(after_attack("", attack("(call $ok (i32.const 2048) (i32.const 3))")).await, @"stopped: the plugin 'bad' was stopped: it returned a text that is no JSON");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let guest = WatGuest {
        module: r#"(import "hob:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#,
        call: "(loop $more (call $log (i32.const 3) (i32.const 8192) (i32.const 60000)) (br $more)) (unreachable)",
        ..WatGuest::GOOD
    };
    assert_snapshot!(after_attack("log = true\n", guest).await, @"stopped: the plugin 'bad' was stopped: it did not finish within 300ms");
}

#[tokio::test]
async fn a_tool_that_says_it_only_reads_cannot_publish() {
    let publish = WatGuest {
        module: r#"(import "hob:plugin/mqtt@0.1.0" "publish" (func $publish (param i32 i32 i32 i32 i32 i32)))"#,
        call: r#"(call $publish (i32.const 1024) (i32.const 3) (i32.const 2048) (i32.const 11) (i32.const 0) (i32.const 8192))
            (if (i32.load8_u (i32.const 8192)) (then (unreachable)))
            (call $ok (i32.const 2048) (i32.const 11))"#,
        ..WatGuest::GOOD
    };
    let capabilities = "mqtt = { publish = [\"act\"] }\n";
    let house = House::new(Manner::Answers).await;
    house.add_wat("honest", capabilities, &publish).await;
    house.add_wat("liar", capabilities, &WatGuest { effects: [1, 1], ..publish }).await;
    assert_snapshot!(told(&house.call("honest", "act_honest", json!({})).await), @r#"returned {"ok":true}"#);
    assert_snapshot!(told(&house.call("liar", "act_liar", json!({})).await), @"stopped: the plugin 'liar' was stopped: it crashed: wasm trap: wasm `unreachable` instruction executed");
    let published = house.io.published.lock().unwrap();
    assert_eq!(
        published.iter().map(|order| (order.topic.as_str(), order.retain)).collect::<Vec<_>>(),
        [("act", false)]
    );
}

#[tokio::test]
async fn a_message_of_a_call_that_crashed_never_leaves() {
    let guest = WatGuest {
        module: r#"(import "hob:plugin/mqtt@0.1.0" "publish" (func $publish (param i32 i32 i32 i32 i32 i32)))"#,
        call: r#"(call $publish (i32.const 1024) (i32.const 3) (i32.const 2048) (i32.const 11) (i32.const 0) (i32.const 8192))
            (unreachable)"#,
        ..WatGuest::GOOD
    };
    let house = House::new(Manner::Answers).await;
    house.add_wat("bad", "mqtt = { publish = [\"act\"] }\n", &guest).await;
    assert_snapshot!(told(&house.call("bad", "act_bad", json!({})).await), @"stopped: the plugin 'bad' was stopped: it crashed: wasm trap: wasm `unreachable` instruction executed");
    assert!(house.io.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn many_attacks_at_once_leave_the_runtime_awake() {
    let house = House::new(Manner::Answers).await;
    for id in ["bad-a", "bad-b"] {
        house.add_wat(id, "", &attack(FOREVER)).await;
    }
    let beats = async {
        let mut beats = 0;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            beats += 1;
        }
        beats
    };
    let (a, b, beats) =
        tokio::join!(house.call("bad-a", "act_bad_a", json!({})), house.call("bad-b", "act_bad_b", json!({})), beats);
    assert!(matches!((a.outcome, b.outcome), (Outcome::Stopped { .. }, Outcome::Stopped { .. })));
    assert_eq!(beats, 20, "both loops ran on this one thread, and the heart went on beating");
}

#[tokio::test]
async fn three_stops_take_the_tools_away_until_a_trial_succeeds() {
    let house = House::new(Manner::Answers).await;
    house.add_wat("bad", "", &attack("(unreachable)")).await;
    assert_eq!(house.host.tools().len(), 1);
    let mut changes = house.host.changes();
    changes.mark_unchanged();
    for _ in 0..3 {
        house.call("bad", "act_bad", json!({})).await;
    }
    assert!(house.host.tools().is_empty() && changes.has_changed().unwrap());
    assert!(matches!(house.host.inspect().await[0].state, PluginState::Paused { .. }));
    assert_snapshot!(told(&house.call("bad", "act_bad", json!({})).await), @"failed: the plugin 'bad' is paused for 30 s after being stopped again and again");
    assert!(house.host.recover().await.is_empty(), "its pause is not over");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(house.host.recover().await, [name("bad")]);
    assert_eq!(house.host.tools().len(), 1);
    house.call("bad", "act_bad", json!({})).await;
    assert!(house.host.tools().is_empty(), "once more is enough now");
}
