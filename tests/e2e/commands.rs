//! A command over the broker: what it does, what comes back, and what is refused.

use anyhow::Context;
use e2e::{Mark, Request, World};
use hob_events::{Delivery, Status};
use serde_json::{Value, json};

#[tokio::test]
async fn a_tool_call_reaches_its_device_and_the_answer_says_what_was_read_back() -> anyhow::Result<()> {
    let world = World::example().await?;
    let request = Request::call("dim", "set_level", json!({"device": "big lamp", "percent": 40}));
    let result = world.client.ask(&request).await?;

    assert_eq!(world.home.told_to("ceiling lamp"), [json!({"brightness": 102})]);
    assert_eq!(result.status, Status::Succeeded);
    assert_eq!(result.speech, "Ceiling lamp is at 40 percent.");
    let action = result.actions.first().context("it acted")?;
    assert_eq!(action.devices.first().context("on a device")?.delivery, Delivery::Confirmed);
    assert_eq!(world.client.statuses("dim"), [Status::Accepted, Status::Executing]);
    Ok(())
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_reported_as_told_and_not_as_done() -> anyhow::Result<()> {
    let world = World::example().await?;
    world.home.silence("kitchen light");
    let result = world.client.ask(&Request::call("on", "turn_on", json!({"device": "kitchen light"}))).await?;
    assert_eq!(result.speech, "Kitchen light was told to turn on; it has not answered yet.");
    assert_eq!(world.home.told_to("kitchen light"), [json!({"state": "ON"})]);
    Ok(())
}

#[tokio::test]
async fn the_answer_comes_where_the_sender_asked_for_it_with_its_correlation_data() -> anyhow::Result<()> {
    let world = World::example().await?;
    let request = Request::call("on", "turn_on", json!({"device": "kitchen light"})).answered_to_me();
    let result = world.client.ask(&request).await?;
    assert_eq!(result.status, Status::Succeeded);
    assert!(world.client.results("on").is_empty(), "nothing on the topic that was not asked for");
    Ok(())
}

#[tokio::test]
async fn a_repeated_command_gets_the_stored_answer_and_runs_once() -> anyhow::Result<()> {
    let world = World::example().await?;
    let request = Request::call("once", "list_add", json!({"item": "milk", "list": "shopping"}));
    let (first, _) = world.client.result(&world.client.send(&request).await?).await?;
    let (second, _) = world.client.result(&world.client.send(&request).await?).await?;
    assert_eq!(first, second);

    // Another command under the same name is the same command: names are the sender's promise.
    let other = Request::call("once", "turn_on", json!({"device": "tv"}));
    let (third, _) = world.client.result(&world.client.send(&other).await?).await?;
    assert_eq!(first, third);
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_command_is_told_what_is_wrong_with_it() -> anyhow::Result<()> {
    let world = World::example().await?;
    let cases: [(&[u8], &str); 6] = [
        (b"{\"text\": ", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"", "invalid"),
        (b"{\"txt\": \"lights off\"}", "invalid"),
        (b"{\"id\": \"a/b\", \"text\": \"lights off\"}", "invalid"),
        (&[b'x'; 20_000], "oversize"),
    ];
    for (payload, code) in cases {
        let result = world.client.ask(&Request::bytes(payload)).await?;
        assert_eq!((result.status, result.error.context("it says why")?.code.as_str()), (Status::Failed, code));
    }
    // It lives on.
    let result = world.client.ask(&Request::call("on", "turn_on", json!({"device": "tv"}))).await?;
    assert_eq!(result.status, Status::Succeeded);
    Ok(())
}

#[tokio::test]
async fn a_call_that_its_schema_or_the_inventory_forbids_touches_nothing() -> anyhow::Result<()> {
    let world = World::example().await?;
    let wrong = [
        ("no-tool", "self_destruct", json!({})),
        ("no-device", "turn_on", json!({"device": "sauna"})),
        ("wrong-kind", "open", json!({"device": "tv"})),
        ("out-of-range", "set_level", json!({"device": "tv", "percent": 400})),
        ("no-argument", "set_level", json!({"device": "tv"})),
    ];
    for (id, tool, args) in wrong {
        let result = world.client.ask(&Request::call(id, tool, args)).await?;
        assert_ne!(result.status, Status::Succeeded, "{id}: {}", result.speech);
    }
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_command_that_the_broker_kept_is_refused() -> anyhow::Result<()> {
    let mut world = World::before_hob(&e2e::House::example()?, e2e::Places::tiny()?).await?;
    let request = Request::call("kept", "turn_on", json!({"device": "tv"})).answered_to_me().retained();
    let sent = world.client.send(&request).await?;
    world
        .client
        .find(Mark::START, "the broker to have it", |message| message.topic.ends_with("/command").then_some(()))
        .await?;
    world.hob.start(&world.client).await?;

    let (_, result) = world.client.result(&sent).await?;
    assert_eq!(result.error.context("it says why")?.code, "retained");
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_dry_run_decides_and_touches_nothing() -> anyhow::Result<()> {
    let world = World::example().await?;
    let dry = json!({"id": "dry", "tool": "turn_on", "args": {"device": "tv"}, "dry_run": true});
    let result = world.client.ask(&Request::json("dry", dry)).await?;
    assert!(result.dry_run);
    assert_eq!(result.actions.first().context("it says what it would do")?.args["device"], Value::from("tv"));
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn words_are_put_to_the_model_and_answered() -> anyhow::Result<()> {
    let world = World::example().await?;
    let result = world.client.ask(&Request::text("words", "turn on the kitchen light").answered_to_me()).await?;
    // The model of the tests knows nothing: what it decides does not matter here, only that it was asked and measured.
    assert!(result.status.is_final());
    assert!(result.model.is_some(), "{result:?}");
    assert!(result.timings.prefill_tokens > 0 && result.timings.generated_tokens > 0, "{:?}", result.timings);
    Ok(())
}

#[tokio::test]
async fn a_full_backlog_answers_busy_and_loses_nobody() -> anyhow::Result<()> {
    let mut world = World::before_hob(&e2e::House::example()?, e2e::Places::tiny()?).await?;
    world.hob = world.hob.with("agent.turns_at_once", "1").with("agent.backlog", "1").with("model.memo_entries", "0");
    world.hob.start(&world.client).await?;
    let mut sent = Vec::new();
    for number in 0..12 {
        let request = Request::text(&format!("burst-{number}"), "is the tv on?").answered_to_me();
        sent.push(world.client.send(&request).await?);
    }
    let mut busy = 0;
    for sent in &sent {
        let (_, result) = world.client.result(sent).await?;
        busy += usize::from(result.error.is_some_and(|error| error.code == "busy"));
    }
    assert!((1..12).contains(&busy), "{busy} of 12 were answered busy");
    // A name that was only refused is free: the sender may try again.
    let again = Request::text("burst-11", "is the tv on?").answered_to_me();
    let result = world.client.ask(&again).await?;
    assert!(result.error.is_none_or(|error| error.code != "busy"), "there is room again");
    Ok(())
}
