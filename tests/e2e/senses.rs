//! What is said in the house, from a microphone to the model, over the broker: a satellite speaks, as others' hardware would.

use anyhow::{Context, ensure};
use e2e::{Client, House, Mark, Places, Request, World};
use hob_events::Status;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Samples that a satellite sends at a time: 64 ms.
const CHUNK_BYTES: usize = 2 * 1024;

/// A second of silence, after which what was said is at its end.
static SILENCE: [u8; 32_000] = [0; 32_000];

/// A house whose hob has a satellite in the hall, not started yet.
async fn house_with(places: Places, microphone: &str) -> anyhow::Result<World> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let vad = root.join(".cache/silero/silero_vad.onnx");
    ensure!(vad.exists(), "run `make setup`");
    let world = World::before_hob(&House::example()?, places).await?;
    let mut settings = OpenOptions::new().append(true).open(world.hob.settings())?;
    writeln!(
        settings,
        "\n[senses]\nvad = \"{}\"\n[[microphone]]\nname = \"hall\"\ndevice = \"mqtt\"\n{microphone}",
        vad.display()
    )?;
    Ok(world)
}

async fn running_with(microphone: &str) -> anyhow::Result<World> {
    running(Places::tiny()?, microphone).await
}

async fn running(places: Places, microphone: &str) -> anyhow::Result<World> {
    let mut world = house_with(places, microphone).await?;
    world.hob.start(&world.client).await?;
    is(&world.client, "waiting", Mark::START).await?;
    Ok(world)
}

fn topic(client: &Client, what: &str) -> String {
    format!("hob/{}/microphone/hall/{what}", client.node())
}

/// Waits until the microphone is so.
async fn is(client: &Client, word: &str, from: Mark) -> anyhow::Result<()> {
    let state = topic(client, "state");
    let same = |message: &e2e::Message| {
        let told = message.json().filter(|_| message.topic == state)?;
        (told["is"] == word).then_some(())
    };
    client.find(from, &format!("a microphone that is {word}"), same).await
}

/// "Turn on the ceiling lamp", and silence after it.
async fn say(client: &Client) -> anyhow::Result<()> {
    play(client, include_bytes!("../fixtures/speech/turn_on_the_ceiling_lamp.wav")).await
}

/// What a WAV file has, and silence after it.
async fn play(client: &Client, wav: &[u8]) -> anyhow::Result<()> {
    let (_, samples) = wav.split_at(44);
    for chunk in samples.chunks(CHUNK_BYTES).chain(SILENCE.chunks(CHUNK_BYTES)) {
        client.publish(&topic(client, "sound"), chunk, false).await?;
    }
    Ok(())
}

/// The results of what was said so far.
async fn answered(client: &Client, from: Mark) -> anyhow::Result<Value> {
    let said = |message: &e2e::Message| {
        let ours = message.topic.contains("/command/said-hall-") && message.topic.ends_with("/result");
        message.json().filter(|_| ours)
    };
    client.find(from, "the result of what was said", said).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_named_room_becomes_a_turn_with_its_sound() -> anyhow::Result<()> {
    let world = running_with("begin = 'speech'\narea = 'kitchen'").await?;
    say(&world.client).await?;
    let result = answered(&world.client, Mark::START).await?;
    // The model of the tests has no ears, and says so: the sound came as far as that.
    assert_eq!((&result["status"], &result["error"]["code"]), (&json!("failed"), &json!("medium")), "{result}");
    let message = result["error"]["message"].as_str().context("a message")?;
    ensure!(message.contains("takes in no sounds"), "{message}");
    // Nothing that was heard lies on the disk.
    let kept = std::fs::read_dir(world.hob.path("state").join("media"))?.count();
    assert_eq!(kept, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_wake_phrase_the_next_thing_that_is_said_counts() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut world = house_with(Places::tiny()?, "begin = 'wake'").await?;
    let graphs = world.hob.path("wake");
    std::fs::create_dir(&graphs)?;
    let files = [".cache/wake/melspectrogram.onnx", ".cache/wake/embedding_model.onnx", "models/wake/hey_hob.onnx"];
    for file in files.map(|file| root.join(file)) {
        let name = file.file_name().context("a name")?;
        std::fs::copy(&file, graphs.join(name)).with_context(|| format!("{}: run `make setup`", file.display()))?;
    }
    let mut settings = OpenOptions::new().append(true).open(world.hob.settings())?;
    writeln!(settings, "\n[senses.wake]\nfolder = '{}'", graphs.display())?;
    world.hob.start(&world.client).await?;
    is(&world.client, "waiting", Mark::START).await?;
    say(&world.client).await?;
    let woken = world.client.mark();
    play(&world.client, include_bytes!("../fixtures/speech/hey_hob.wav")).await?;
    say(&world.client).await?;
    answered(&world.client, woken).await?;
    let results =
        |message: &e2e::Message| message.topic.contains("/command/said-") && message.topic.ends_with("/result");
    assert_eq!(world.client.count(results), 1, "only what was said after the phrase");
    Ok(())
}

/// By a program of the owner's.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_answered_aloud() -> anyhow::Result<()> {
    let mut world = house_with(Places::tiny()?, "begin = 'speech'\ntrust = 'person'").await?;
    let (voice, said) = (world.hob.path("voice.sh"), world.hob.path("said"));
    std::fs::write(&voice, format!("#!/bin/sh\ncat >'{0}.part' && mv '{0}.part' '{0}'\n", said.display()))?;
    let mut settings = OpenOptions::new().append(true).open(world.hob.settings())?;
    writeln!(settings, "\n[voice]\ncommand = ['/bin/sh', '{}']", voice.display())?;
    world.hob.start(&world.client).await?;
    is(&world.client, "waiting", Mark::START).await?;
    say(&world.client).await?;
    let result = answered(&world.client, Mark::START).await?;
    let heard = e2e::until("the answer to be spoken", async || Ok(std::fs::read_to_string(&said).ok())).await?;
    assert_eq!(json!(heard), result["speech"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_reaches_the_model_while_muted_and_a_restart_does_not_unmute() -> anyhow::Result<()> {
    let mut world = running_with("begin = 'speech'").await?;
    let muted = world.client.mark();
    world.client.publish(&topic(&world.client, "mute/set"), "on", false).await?;
    is(&world.client, "muted", muted).await?;
    say(&world.client).await?;
    world.client.publish(&topic(&world.client, "listen/set"), "on", false).await?;
    say(&world.client).await?;

    world.hob.stop().await?;
    let again = world.client.mark();
    world.hob.start(&world.client).await?;
    is(&world.client, "muted", again).await?;
    say(&world.client).await?;
    let unmuted = world.client.mark();
    world.client.publish(&topic(&world.client, "mute/set"), "off", false).await?;
    is(&world.client, "waiting", unmuted).await?;
    say(&world.client).await?;
    answered(&world.client, unmuted).await?;
    let accepted = |message: &e2e::Message| {
        let status = message.topic.contains("/command/said-") && message.topic.ends_with("/status");
        status && message.json().is_some_and(|told| told["status"] == json!(Status::Accepted))
    };
    assert_eq!(world.client.count(accepted), 1, "only what was said after it was unmuted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_push_nothing_counts_and_with_one_the_next_thing_that_is_said() -> anyhow::Result<()> {
    let world = running_with("").await?;
    say(&world.client).await?;
    let pushed = world.client.mark();
    let listen = tokio::task::block_in_place(|| world.hob.cli(&["senses", "listen", "hall"]))?;
    ensure!(listen.status.success(), "{listen:?}");
    say(&world.client).await?;
    answered(&world.client, pushed).await?;
    let results =
        |message: &e2e::Message| message.topic.contains("/command/said-") && message.topic.ends_with("/result");
    assert_eq!(world.client.count(results), 1);

    let unknown = tokio::task::block_in_place(|| world.hob.cli(&["senses", "listen", "attic"]))?;
    let error = String::from_utf8_lossy(&unknown.stderr);
    ensure!(!unknown.status.success() && error.contains("there is no microphone 'attic', only hall"), "{error}");
    Ok(())
}

/// A camera whose pictures come over the broker, as Frigate sends them, and a rule that looks at them.
const DOOR: &str = r#"
[[camera]]
name = "door"
source = "mqtt:frigate/door/person/snapshot"
cool_down_s = 0
[[camera]]
name = "gate"
source = "mqtt:frigate/door/person/snapshot"
cool_down_s = 0
[[rule]]
name = "visitor"
topic = "$camera/door"
do = { ask = "who is at the door?" }
[[rule]]
name = "tell"
topic = "$camera/gate"
do = { notify = { topic = "answers/client", ask = "who is at the door?" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_a_camera_is_looked_at_by_rules_and_whenever_somebody_asks() -> anyhow::Result<()> {
    let mut world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    let mut settings = OpenOptions::new().append(true).open(world.hob.settings())?;
    writeln!(settings, "{DOOR}")?;
    world.hob.start(&world.client).await?;
    let look = json!({"id": "look", "text": "is it open?", "media": [{"kind": "camera", "name": "door"}]});
    let dark = world.client.ask(&Request::json("look", look.clone())).await?;
    ensure!(
        dark.error.as_ref().is_some_and(|e| e.code == "medium" && e.message.contains("shows nothing now")),
        "{dark:?}"
    );

    let photo = include_bytes!("../fixtures/media/photo.jpg");
    world.client.publish("frigate/door/person/snapshot", b"no picture".as_slice(), false).await?;
    world.client.publish("frigate/door/person/snapshot", photo.as_slice(), false).await?;
    let by_rule = |message: &e2e::Message| {
        let ours = message.topic.contains("/command/rule-") && message.topic.ends_with("/result");
        message.json().filter(|_| ours)
    };
    let result = world.client.find(Mark::START, "what the rule's question came to", by_rule).await?;
    let message = result["error"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("takes in no pictures"), "{result}");

    let notice = world
        .client
        .find(Mark::START, "a notice", |message| (message.topic == "answers/client").then(|| message.json())?)
        .await?;
    let picture = notice["picture"].as_str().unwrap_or_default();
    ensure!(
        picture.starts_with("/9j/") && picture.len() == photo.len().div_ceil(3) * 4,
        "the frame in Base64: {notice}"
    );
    ensure!(notice["text"].is_null() && notice["rule"] == "tell", "{notice}");

    let again = json!({"id": "again", "text": "is it open?", "media": [{"kind": "camera", "name": "door"}]});
    let shown = world.client.ask(&Request::json("again", again)).await?;
    ensure!(shown.error.as_ref().is_some_and(|error| error.message.contains("takes in no pictures")), "{shown:?}");
    let nowhere = json!({"id": "nowhere", "text": "x", "media": [{"kind": "camera", "name": "attic"}]});
    let unknown = world.client.ask(&Request::json("nowhere", nowhere)).await?;
    ensure!(
        unknown.error.as_ref().is_some_and(|e| e.message.contains("there is no camera 'attic', only door, gate")),
        "{unknown:?}"
    );
    let status = tokio::task::block_in_place(|| world.hob.cli(&["senses", "status"]))?;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(status.contains("door") && status.contains("open"), "{status}");
    Ok(())
}
