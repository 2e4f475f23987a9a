//! The harness itself: a simulated home and a broker that behave as the tests take for granted.

use e2e::{Broker, Client, Home, House, Mark, until};
use serde_json::json;

#[tokio::test]
async fn a_device_reports_what_it_was_told_and_the_home_counts_it() -> anyhow::Result<()> {
    let broker = Broker::start().await?;
    let home = Home::start(broker.port(), &House::example()?).await?;
    let client = Client::connect(broker.port(), "nobody", "client").await?;

    client.publish("zigbee2mqtt/kitchen light/set", r#"{"brightness":127}"#, false).await?;
    client.publish("zigbee2mqtt/front door/set", r#"{"state":"UNLOCK"}"#, false).await?;
    home.was_told("kitchen light", 1).await?;
    home.was_told("front door", 1).await?;

    assert_eq!(home.state("kitchen light"), json!({"state": "ON", "brightness": 127}));
    assert_eq!(home.state("front door"), json!({"state": "UNLOCK", "lock_state": "unlocked"}));
    assert_eq!(home.told_to("kitchen light"), [json!({"brightness": 127})]);
    assert_eq!(home.told().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_toggle_flips_and_a_silent_device_reports_nothing() -> anyhow::Result<()> {
    let broker = Broker::start().await?;
    let home = Home::start(broker.port(), &House::of_buttons(2)?).await?;
    let client = Client::connect(broker.port(), "nobody", "client").await?;
    home.silence("button 2");

    for _ in 0..3 {
        client.publish("zigbee2mqtt/button 1/set", r#"{"state":"TOGGLE"}"#, false).await?;
    }
    client.publish("zigbee2mqtt/button 2/set", r#"{"state":"TOGGLE"}"#, false).await?;
    home.was_told("button 1", 3).await?;
    home.was_told("button 2", 1).await?;
    assert_eq!(home.state("button 1"), json!({"state": "ON"}));
    assert_eq!(home.state("button 2"), json!({"state": "ON"}));
    Ok(())
}

#[tokio::test]
async fn a_broker_that_was_stopped_is_found_again_on_its_port() -> anyhow::Result<()> {
    let mut broker = Broker::start().await?;
    let client = Client::connect(broker.port(), "attic", "client").await?;
    client.publish("hob/attic/before", "1", true).await?;
    client
        .find(Mark::START, "the message before", |message| (message.topic == "hob/attic/before").then_some(()))
        .await?;

    let port = broker.port();
    broker.stop().await?;
    broker.restart().await?;
    assert_eq!(broker.port(), port);
    // The client comes back by itself, is subscribed again, and gets what was retained.
    let again = |message: &e2e::Message| (message.topic == "hob/attic/before" && message.retained).then_some(());
    client.find(Mark::START, "the retained message after the restart", again).await?;
    let from = client.mark();
    until("a message to come through", async || {
        client.publish("hob/attic/after", "2", false).await?;
        Ok((client.mark() != from).then_some(()))
    })
    .await
}
