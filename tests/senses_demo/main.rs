//! `make demo-senses`: a voice speaks into a microphone, a gauge climbs past its limit in front of a camera, a sensor stops
//! reporting; and what hob does about each, with the milliseconds from the moment it happened to the action.
//!
//! The microphone is one of a real server of sounds, opened by hob through cpal; the camera is a real RTSP stream, read through
//! ffmpeg; the model is the shipped one, with its own ears and eyes. Ends with 1 when an action is missing.

mod camera;
mod sounds;

use anyhow::{Context, ensure};
use camera::GaugeCamera;
use e2e::{Broker, Client, Daemon, Home, House, Mark, Places};
use serde_json::{Value, json};
use sounds::Sounds;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// The node's name in the demo.
const NODE: &str = "demo";

/// What the house is: the devices that the three events are about.
const HOUSE: &str = r#"
[[area]]
name = "kitchen"
[[area]]
name = "cellar"
[[device]]
name = "kitchen light"
area = "kitchen"
kind = "light"
topic = "zigbee2mqtt/kitchen light"
[[device]]
name = "pump"
area = "cellar"
kind = "switch"
topic = "zigbee2mqtt/pump"
[[device]]
name = "siren"
area = "cellar"
kind = "switch"
topic = "zigbee2mqtt/siren"
"#;

/// The gauge's limit, in the rule and in the demo.
const LIMIT: u32 = 70;

/// A sensor that says nothing for so long has stopped.
const SILENT_MS: u64 = 1_500;

#[tokio::main]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("demo-senses: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Whoever closed the pipe does not want to read on.
    writeln!(std::io::stdout(), "{line}").ok();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What happened, what was done, and how long after.
struct Row {
    happened: &'static str,
    done: String,
    after: Duration,
}

async fn play() -> anyhow::Result<()> {
    let places = Places::pocket()?;
    let graphs = std::fs::read_dir(places.model.join("onnx"))?.filter_map(Result::ok);
    let ears = graphs.filter(|file| file.file_name().to_string_lossy().starts_with("audio_encoder")).count();
    ensure!(
        ears > 0,
        "{} has no ears and eyes (onnx/audio_encoder…): make demo-senses MODEL=folder shows another",
        places.model.display()
    );
    let house = House::from_inventory(HOUSE.to_owned())?;
    let broker = Broker::start().await?;
    let home = Home::start(broker.port(), &house).await?;
    let client = Client::connect(broker.port(), NODE, "demo-client").await?;
    let sounds = Sounds::start()?;
    let mut camera = GaugeCamera::start(&root())?;
    let mut hob = Daemon::prepare(broker.port(), NODE, &house, places)?;
    for (name, value) in sounds.environment() {
        hob.variable(name, &value);
    }
    let mut settings = OpenOptions::new().append(true).open(hob.settings())?;
    writeln!(settings, "{}", senses(camera.port()))?;
    hob.start(&client).await?;
    is(&client, "microphone/kitchen", "waiting").await?;
    say("hob listens in the kitchen, looks at a gauge in the cellar, and waits for what a sensor says\n");

    let mut rows = vec![spoken(&client, &home, &sounds).await?];
    rows.push(seen(&client, &home, &mut camera).await?);
    rows.push(silent(&client, &home).await?);
    hob.stop().await?;
    say(&format!("\n| {:<54} | {:<28} | {:>9} |", "what happened", "what hob did", "after"));
    say(&format!("|{}|{}|{}|", "-".repeat(56), "-".repeat(30), "-".repeat(11)));
    for Row { happened, done, after } in rows {
        say(&format!("| {happened:<54} | {done:<28} | {:>6} ms |", after.as_millis()));
    }
    Ok(())
}

fn senses(port: u16) -> String {
    let vad = root().join(".cache/silero/silero_vad.onnx");
    format!(
        r#"
[senses]
vad = "{}"
[[microphone]]
name = "kitchen"
device = "pulseaudio:vmic"
area = "kitchen"
begin = "speech"
trust = "person"
[[camera]]
name = "boiler"
source = "rtsp://127.0.0.1:{port}/gauge"
fps = 2
motion = 0.002
cool_down_s = 1
trust = "device"
[[rule]]
name = "too hot"
topic = "$camera/boiler"
do = {{ ask = "if the gauge shows more than {LIMIT} turn off the pump" }}
[[rule]]
name = "no word from the freezer"
topic = "sensors/freezer"
silent_ms = {SILENT_MS}
do = {{ call = {{ tool = "turn_on", args = {{ device = "siren" }} }} }}
"#,
        vad.display()
    )
}

/// Waits until a microphone or a camera is so.
async fn is(client: &Client, what: &str, word: &str) -> anyhow::Result<()> {
    let topic = format!("hob/{NODE}/{what}/state");
    let same = |message: &e2e::Message| {
        let state = message.json().filter(|_| message.topic == topic)?;
        (state["is"] == word).then_some(())
    };
    client.find(Mark::START, &format!("a {what} that is {word}"), same).await
}

/// When a device was told this, as the broker passed it on.
async fn told(client: &Client, from: Mark, device: &str, state: &str) -> anyhow::Result<Instant> {
    let topic = format!("zigbee2mqtt/{device}/set");
    let wanted = json!(state);
    let same = |message: &e2e::Message| {
        let payload: Value = message.json().filter(|_| message.topic == topic)?;
        (payload["state"] == wanted).then_some(message.at)
    };
    client.find(from, &format!("{device} to be told {state}"), same).await
}

async fn spoken(client: &Client, home: &Home, sounds: &Sounds) -> anyhow::Result<Row> {
    let words = "turn on the kitchen light";
    say(&format!("1  a voice in the kitchen: \"{words}\""));
    let from = client.mark();
    let ended = sounds.speak(words).await?;
    let at = told(client, from, "kitchen light", "ON").await?;
    ensure!(home.told_to("kitchen light") == [json!({"state": "ON"})], "{:?}", home.told());
    Ok(Row {
        happened: "a voice: \"turn on the kitchen light\", from its end",
        done: "kitchen light: ON".to_owned(),
        after: at.saturating_duration_since(ended),
    })
}

async fn seen(client: &Client, home: &Home, camera: &mut GaugeCamera) -> anyhow::Result<Row> {
    say(&format!("2  the gauge in the cellar climbs; past {LIMIT} the pump is to be turned off"));
    let from = client.mark();
    camera.climb().await?;
    is(client, "camera/boiler", "open").await?;
    let at = told(client, from, "pump", "OFF").await?;
    ensure!(home.told_to("pump").first() == Some(&json!({"state": "OFF"})), "{:?}", home.told());
    let (value, passed) =
        camera.passed(LIMIT).context("the pump was turned off before the gauge had passed its limit")?;
    say(&format!("   it showed {value} when the pump was turned off"));
    Ok(Row {
        happened: "the gauge passed 70, from the first such frame",
        done: "pump: OFF".to_owned(),
        after: at.saturating_duration_since(passed),
    })
}

async fn silent(client: &Client, home: &Home) -> anyhow::Result<Row> {
    say("3  the freezer's sensor stops reporting");
    let from = client.mark();
    for celsius in [-18.0, -18.1, -18.0] {
        client.publish("sensors/freezer", json!({"celsius": celsius}).to_string(), false).await?;
    }
    let last = Instant::now();
    let at = told(client, from, "siren", "ON").await?;
    ensure!(home.told_to("siren") == [json!({"state": "ON"})], "{:?}", home.told());
    Ok(Row {
        happened: "a sensor was silent for 1500 ms, from its last message",
        done: "siren: ON".to_owned(),
        after: at.saturating_duration_since(last),
    })
}
