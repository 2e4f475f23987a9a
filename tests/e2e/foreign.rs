//! A client that this project did not write gets its answer.

use anyhow::Context;
use e2e::World;
use hob_events::{CommandResult, Status};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn mosquitto_rr_gets_the_answer_on_its_own_topic() -> anyhow::Result<()> {
    let world = World::example().await?;
    let command = json!({"tool": "turn_on", "args": {"device": "kitchen light"}}).to_string();
    let port = world.broker.port().to_string();
    let topic = format!("hob/{}/command", world.client.node());
    // The client blocks until it has its answer, so it runs beside the simulated home.
    let asked = tokio::task::spawn_blocking(move || {
        Command::new("mosquitto_rr")
            .args(["-V", "5", "-q", "1", "-W", "20", "-p", &port, "-t", &topic, "-e", "my/answers", "-m", &command])
            .output()
    });
    let output = asked.await?.context("mosquitto_rr is missing: make setup brings it")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: CommandResult = serde_json::from_slice(&output.stdout)?;
    assert_eq!((result.status, result.speech.as_str()), (Status::Succeeded, "Kitchen light is on."));
    assert_eq!(world.home.told_to("kitchen light"), [json!({"state": "ON"})]);
    Ok(())
}
