//! The owner's rules, from a sensor's message to what is done about it, over the broker.

use anyhow::{Context, ensure};
use e2e::{Client, House, Mark, Places, Request, World};
use hob_events::Status;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;

/// What the client of the tests hears beside hob's own topics.
const NOTES: &str = "answers/client";

/// A house whose hob has these rules, not started yet.
async fn house_with(rules: &str) -> anyhow::Result<World> {
    let world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    let mut settings = OpenOptions::new().append(true).open(world.hob.settings())?;
    writeln!(settings, "\n{rules}")?;
    Ok(world)
}

async fn running_with(rules: &str) -> anyhow::Result<World> {
    let mut world = house_with(rules).await?;
    world.hob.start(&world.client).await?;
    Ok(world)
}

/// Waits for a note of these very words.
async fn noted(client: &Client, words: &str) -> anyhow::Result<()> {
    let same = |message: &e2e::Message| (message.topic == NOTES && message.payload == words.as_bytes()).then_some(());
    client.find(Mark::START, &format!("a note: {words}"), same).await
}

async fn says(world: &World, topic: &str, payload: &str) -> anyhow::Result<()> {
    world.client.publish(topic, payload, false).await
}

/// What the rules decided about the last messages.
fn why(world: &World) -> anyhow::Result<Vec<Value>> {
    let output = world.hob.cli(&["rules", "why", "--json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

const HOT: &str = r#"
[[rule]]
name = "hot"
topic = "sensors/+"
when = { pointer = "/t", above = 25, until = 23 }
do = { publish = { topic = "answers/client", payload = "{topic} {value /t}, outside {last outside}" } }
[[rule]]
name = "button"
topic = "button"
when = { equals = "ON" }
do = { call = { tool = "turn_on", args = { device = "ceiling lamp" } } }
[[rule]]
name = "end"
topic = "end"
do = { publish = { topic = "answers/client", payload = "the end" } }
"#;

#[tokio::test]
async fn a_sensor_that_passes_its_limit_is_acted_on_once_and_every_decision_can_be_told() -> anyhow::Result<()> {
    let world = running_with(HOT).await?;
    says(&world, "outside", "7").await?;
    for t in [24, 26, 27] {
        says(&world, "sensors/kitchen", &json!({ "t": t }).to_string()).await?;
    }
    noted(&world.client, "sensors/kitchen 26, outside 7").await?;
    says(&world, "button", "ON").await?;
    world.home.was_told("ceiling lamp", 1).await?;
    assert_eq!(world.home.told_to("ceiling lamp"), [json!({"state": "ON"})]);

    let decisions: Vec<String> = why(&world)?
        .iter()
        .flat_map(|looked| looked["rulings"].as_array().cloned().unwrap_or_default())
        .map(|ruling| {
            format!(
                "{}: {}",
                ruling["rule"].as_str().unwrap_or_default(),
                ruling["decision"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        decisions,
        [
            "hot: no: /t is 24, not above 25",
            "hot: publishes sensors/kitchen 26, outside 7 to answers/client",
            "hot: holds, but it has acted on this already",
            "button: calls turn_on {\"device\":\"ceiling lamp\"}",
        ]
    );
    let lines = world.hob.cli(&["rules", "why", "2"])?;
    let told = String::from_utf8(lines.stdout)?;
    assert_eq!(
        told,
        "2  sensors/kitchen  {\"t\":26}\n    hot                      publishes sensors/kitchen 26, outside 7 to answers/client\n"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_rule_has_acted_on_it_still_knows_after_a_restart() -> anyhow::Result<()> {
    let mut world = running_with(HOT).await?;
    says(&world, "sensors/kitchen", r#"{"t":26}"#).await?;
    noted(&world.client, "sensors/kitchen 26, outside unknown").await?;
    world.hob.kill().await?;
    world.hob.start(&world.client).await?;
    // Still past its limit.
    says(&world, "sensors/kitchen", r#"{"t":24}"#).await?;
    says(&world, "end", "").await?;
    noted(&world.client, "the end").await?;
    let rulings = why(&world)?;
    assert_eq!(rulings[0]["rulings"][0]["decision"], "holds, but it has acted on this already");
    Ok(())
}

#[tokio::test]
async fn what_a_rule_has_seen_is_written_down_before_hob_stops() -> anyhow::Result<()> {
    let mut world = running_with(
        r#"
        [[rule]]
        name = "changed"
        topic = "door"
        when = { changed = true }
        do = { publish = { topic = "answers/client", payload = "the door is {payload}" } }
        [[rule]]
        name = "end"
        topic = "end"
        do = { publish = { topic = "answers/client", payload = "the end" } }
        "#,
    )
    .await?;
    says(&world, "door", "closed").await?;
    says(&world, "end", "").await?;
    noted(&world.client, "the end").await?;
    world.hob.stop().await?;
    world.hob.start(&world.client).await?;
    says(&world, "door", "open").await?;
    noted(&world.client, "the door is open").await
}

/// Mosquitto sends a message for each subscription that it falls under.
#[tokio::test]
async fn rules_about_one_and_about_all_see_each_message_once() -> anyhow::Result<()> {
    let world = running_with(
        r##"
        [[rule]]
        name = "one"
        topic = "hall/button"
        do = { call = { tool = "turn_on", args = { device = "ceiling lamp" } } }
        [[rule]]
        name = "some"
        topic = "hall/+"
        when = { equals = "never" }
        do = "ignore"
        [[rule]]
        name = "all"
        topic = "#"
        when = { equals = "the end" }
        do = { publish = { topic = "answers/client", payload = "the end" } }
        "##,
    )
    .await?;
    says(&world, "hall/button", "ON").await?;
    world.home.was_told("ceiling lamp", 1).await?;
    let words = world.client.ask(&Request::call("person", "turn_on", json!({"device": "floor lamp"}))).await?;
    ensure!(words.status == Status::Succeeded, "{words:?}");
    says(&world, "x", "the end").await?;
    noted(&world.client, "the end").await?;
    assert_eq!(world.home.told_to("ceiling lamp").len(), 1);
    assert_eq!(world.home.told_to("floor lamp").len(), 1);
    let of_button = why(&world)?.into_iter().filter(|looked| looked["topic"] == "hall/button").count();
    assert_eq!(of_button, 1);
    Ok(())
}

#[tokio::test]
async fn a_sensor_that_stops_is_missed() -> anyhow::Result<()> {
    let world = running_with(
        r#"
        [[rule]]
        name = "dead"
        topic = "sensors/+"
        silent_ms = 300
        do = { publish = { topic = "answers/client", payload = "{topic} is silent" } }
        "#,
    )
    .await?;
    says(&world, "sensors/cellar", "1").await?;
    noted(&world.client, "sensors/cellar is silent").await
}

#[tokio::test]
async fn a_rule_that_causes_itself_is_cut_off_and_a_flood_keeps_nobody_waiting() -> anyhow::Result<()> {
    let world = running_with(
        r#"
        [rules]
        asks_per_hour = 2
        [[rule]]
        name = "echo"
        topic = "ring"
        do = { publish = { topic = "ring", payload = "{payload}" } }
        [[rule]]
        name = "chatter"
        topic = "chatter"
        do = { ask = "what is {payload}?" }
        "#,
    )
    .await?;
    for number in 0..500 {
        says(&world, "chatter", &number.to_string()).await?;
    }
    // Hob does not hear itself; another that says the same again, as a bridge does, is known.
    for _ in 0..2 {
        says(&world, "ring", "1").await?;
    }
    let call = Request::call("person", "turn_on", json!({"device": "ceiling lamp"}));
    let result = world.client.ask(&call).await?;
    ensure!(result.status == Status::Succeeded, "{result:?}");
    let cut = e2e::until("the ring to be cut", async || {
        let audit = world.hob.cli(&["audit", "--last", "200"])?;
        let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
        Ok(audit.contains("it caused itself or acts too often").then_some(audit))
    })
    .await?;
    assert_eq!(cut.matches("publishes").count(), 1, "{cut}");
    let status: Value = serde_json::from_slice(&world.hob.cli(&["status", "--json"])?.stdout)?;
    assert!(status["room"].as_u64().context("a number")? > 16, "half of the room is kept for people: {status}");
    Ok(())
}

#[tokio::test]
async fn a_rule_may_not_speak_for_hob_or_to_a_device() -> anyhow::Result<()> {
    let refused = async |topic: &str| -> anyhow::Result<String> {
        let rule =
            format!("[[rule]]\nname = 'x'\ntopic = 'a'\ndo = {{ publish = {{ topic = '{topic}', payload = '1' }} }}");
        let output = house_with(&rule).await?.hob.cli(&["check"])?;
        ensure!(output.status.code() == Some(78), "{:?}", output.status);
        Ok(String::from_utf8(output.stderr)?)
    };
    let own = refused("hob/another/command").await?;
    assert!(own.contains("rule 'x' publishes to hob/another/command, which is one of hob's own topics"), "{own}");
    let device = refused("zigbee2mqtt/ceiling lamp/set").await?;
    assert!(device.contains("which belongs to a device: let it call a tool instead"), "{device}");
    Ok(())
}

#[tokio::test]
async fn a_tool_that_nobody_offers_is_warned_of() -> anyhow::Result<()> {
    let rule = "[[rule]]\nname = 'x'\ntopic = 'a'\ndo = { call = { tool = 'levitate' } }";
    let output = house_with(rule).await?.hob.cli(&["check"])?;
    let told = String::from_utf8(output.stdout)?;
    assert!(told.contains("warning   rule 'x' calls levitate, which no plugin offers"), "{told}");
    Ok(())
}
