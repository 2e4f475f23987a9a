//! hob stops, starts, and is started wrongly.

use e2e::{House, Mark, Places, Request, World};
use hob_events::Status;
use serde_json::json;

#[tokio::test]
async fn it_says_that_it_stops_and_ends_well() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    world.client.ask(&Request::call("read", "list_read", json!({}))).await?;
    let status = world.hob.stop().await?;
    assert!(status.success(), "{status}");
    world.client.availability("stopped", Mark::START).await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_hob_is_reported_offline_by_its_last_will() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    world.hob.kill().await?;
    world.client.availability("offline", Mark::START).await
}

#[tokio::test]
async fn commands_that_came_while_it_was_away_are_done_when_it_is_back() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    world.hob.stop().await?;
    let sent = world.client.send(&Request::call("later", "turn_on", json!({"device": "tv"}))).await?;
    world.hob.start(&world.client).await?;
    let (_, result) = world.client.result(&sent).await?;
    assert_eq!(result.status, Status::Succeeded, "{}", result.speech);
    assert_eq!(world.home.told_to("tv").len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_it_answered_and_kept_is_the_same_after_a_restart() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    let add = Request::call("add", "list_add", json!({"item": "milk", "list": "shopping"}));
    let (before, _) = world.client.result(&world.client.send(&add).await?).await?;
    world.hob.stop().await?;
    world.hob.start(&world.client).await?;

    let (after, _) = world.client.result(&world.client.send(&add).await?).await?;
    assert_eq!(before, after);
    let read = world.client.ask(&Request::call("read", "list_read", json!({"list": "shopping"}))).await?;
    assert!(read.speech.contains("milk"), "{}", read.speech);
    Ok(())
}

#[tokio::test]
async fn wrong_settings_end_it_at_once_with_78_and_a_word_on_what_is_wrong() -> anyhow::Result<()> {
    let mut world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    world.hob = world.hob.with("mqtt.prot", "1");
    world.hob.spawn()?;
    let status = world.hob.ended().await?;
    assert_eq!(status.code(), Some(78));
    assert!(world.hob.log().contains("did you mean `port`?"), "{}", world.hob.log());

    let checked = world.hob.cli(&["check"])?;
    assert_eq!(checked.status.code(), Some(78));
    Ok(())
}
