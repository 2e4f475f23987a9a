//! The broker goes and comes back.

use e2e::{Request, World};
use hob_events::Status;
use serde_json::json;

#[tokio::test]
async fn hob_comes_back_to_a_broker_that_went_away() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    let before = world.client.ask(&Request::call("before", "turn_on", json!({"device": "tv"}))).await?;
    assert_eq!(before.status, Status::Succeeded);

    let from = world.client.mark();
    world.broker.stop().await?;
    world.broker.restart().await?;
    // Both come back on their own; hob says so.
    world.client.availability("online", from).await?;
    let after = world.client.ask(&Request::call("after", "turn_off", json!({"device": "tv"}))).await?;
    assert_eq!(after.status, Status::Succeeded, "{}", after.speech);
    assert_eq!(world.home.told_to("tv"), [json!({"state": "ON"}), json!({"state": "OFF"})]);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_found_no_broker_comes_when_it_is_back() -> anyhow::Result<()> {
    let mut world = World::example().await?;
    let sent = world.client.send(&Request::call("unlock", "unlock", json!({"device": "front door"}))).await?;
    world.client.question(&sent).await?;
    world.broker.stop().await?;
    // Meanwhile someone says no at the board itself.
    let taken = world.hob.door(&json!({"op": "confirm", "id": "unlock", "yes": false})).await?;
    assert_eq!(taken, json!({"reply": "done"}));
    world.broker.restart().await?;
    let (_, result) = world.client.result(&sent).await?;
    assert_eq!(result.status, Status::Denied);
    assert!(world.home.told().is_empty());
    Ok(())
}
