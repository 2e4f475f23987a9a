//! What is risky waits for a person, whoever asked for it.

use anyhow::Context;
use e2e::{House, Mark, Places, Request, World};
use hob_events::Status;
use serde_json::json;

fn unlock() -> Request {
    Request::call("unlock", "unlock", json!({"device": "front door"}))
}

#[tokio::test]
async fn a_risky_action_asks_first_and_a_yes_lets_it_go() -> anyhow::Result<()> {
    let world = World::example().await?;
    let sent = world.client.send(&unlock()).await?;
    let question = world.client.question(&sent).await?;
    assert!(question["question"].as_str().context("it asks in words")?.contains("front door"), "{question}");
    assert!(world.home.told().is_empty(), "nothing leaves before the answer");

    world.client.answer("unlock", true).await?;
    let (_, result) = world.client.result(&sent).await?;
    assert_eq!((result.status, result.speech.as_str()), (Status::Succeeded, "Front door is unlocked."));
    assert_eq!(world.home.told_to("front door"), [json!({"state": "UNLOCK"})]);
    Ok(())
}

#[tokio::test]
async fn a_no_is_the_end_of_it() -> anyhow::Result<()> {
    let world = World::example().await?;
    let sent = world.client.send(&unlock()).await?;
    world.client.question(&sent).await?;
    world.client.answer("unlock", false).await?;
    let (_, result) = world.client.result(&sent).await?;
    assert_eq!(result.status, Status::Denied);
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn no_answer_in_time_is_a_no() -> anyhow::Result<()> {
    let mut world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    world.hob = world.hob.with("agent.confirm_within_ms", "300");
    world.hob.start(&world.client).await?;
    let result = world.client.ask(&unlock()).await?;
    assert_eq!(result.status, Status::Denied);
    assert!(world.home.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_open_question_outlives_a_crash() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    let sent = world.client.send(&unlock()).await?;
    world.client.question(&sent).await?;
    world.hob.kill().await?;
    world.client.availability("offline", Mark::START).await?;
    let restarted = world.client.mark();
    world.hob.start(&world.client).await?;

    world.client.reaches("unlock", Status::AwaitingConfirmation, restarted).await?;
    assert!(world.home.told().is_empty());
    world.client.answer("unlock", true).await?;
    let (_, result) = world.client.result(&sent).await?;
    assert_eq!(result.status, Status::Succeeded, "{}", result.speech);
    assert_eq!(world.home.told_to("front door").len(), 1);
    Ok(())
}
