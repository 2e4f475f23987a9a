//! The very same command is decoded once; whatever could change the answer makes it decoded again.
//!
//! With the shipped model: an answer is kept only when it came to its own end, and the model of the tests rarely ends.

use anyhow::{Context, ensure};
use e2e::{Daemon, House, Places, Request, World, until};
use hob_events::{CommandResult, Status};
use serde_json::json;
use std::fs;
use std::path::Path;

const WORDS: &str = "turn on the ceiling lamp";

async fn world() -> anyhow::Result<World> {
    World::with_hob(&House::example()?, Places::pocket()?).await
}

/// Says it as a new command, so that nothing but the memo can know it.
async fn say(world: &World, id: &str) -> anyhow::Result<CommandResult> {
    let result = world.client.ask(&Request::text(id, WORDS)).await?;
    ensure!(result.status == Status::Succeeded, "{result:?}");
    Ok(result)
}

/// The same, and whether it came from the memo.
async fn from_memo(world: &World, id: &str) -> anyhow::Result<bool> {
    let timings = say(world, id).await?.timings;
    // What it says of itself must fit: either the model ran, or it did not.
    ensure!(timings.from_memo == (timings.generated_tokens == 0), "{timings:?}");
    ensure!(!timings.from_memo || timings.prefill_tokens + timings.cached_tokens == 0, "{timings:?}");
    Ok(timings.from_memo)
}

/// Stops hob, changes something, and starts it again.
async fn after(world: &mut World, change: impl FnOnce(&mut Daemon) -> anyhow::Result<()>) -> anyhow::Result<()> {
    world.hob.stop().await?;
    change(&mut world.hob)?;
    world.hob.start(&world.client).await
}

fn done(hob: &Daemon, arguments: &[&str]) -> anyhow::Result<()> {
    let output = hob.cli(arguments)?;
    ensure!(output.status.success(), "hob {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn what_was_said_before_is_done_again_without_the_model() -> anyhow::Result<()> {
    let mut world = world().await?;
    let first = say(&world, "first").await?;
    let second = say(&world, "second").await?;
    assert!(!first.timings.from_memo && second.timings.from_memo, "{:?}, {:?}", first.timings, second.timings);
    // Everything else is the same, and the lamp was told both times.
    assert_eq!((&first.speech, first.status, &first.model), (&second.speech, second.status, &second.model));
    assert_eq!(first.actions.first().context("it acted")?.args, second.actions.first().context("so again")?.args);
    assert_eq!(world.home.told_to("ceiling lamp"), [json!({"state": "ON"}), json!({"state": "ON"})]);

    after(&mut world, |_| Ok(())).await?;
    assert!(from_memo(&world, "after-a-restart").await?);
    world.hob.kill().await?;
    world.hob.start(&world.client).await?;
    assert!(from_memo(&world, "after-a-crash").await?);
    Ok(())
}

#[tokio::test]
async fn at_the_terminal_the_same_words_come_again() -> anyhow::Result<()> {
    let world = world().await?;
    let mut said = Vec::new();
    for known in [false, true] {
        let output = world.hob.cli(&["ask", "is the front door locked?", "--json"])?;
        let result: CommandResult = serde_json::from_slice(&output.stdout)?;
        ensure!(result.timings.from_memo == known, "{result:?}");
        said.push((result.status, result.speech));
    }
    assert_eq!(said.first(), said.last());
    Ok(())
}

#[tokio::test]
async fn a_known_question_is_answered_from_what_is_so_now() -> anyhow::Result<()> {
    const QUESTION: &str = "is the front door locked?";
    let world = world().await?;
    for id in ["first", "second"] {
        let result = world.client.ask(&Request::text(id, QUESTION)).await?;
        ensure!(result.speech == "Front door is locked.", "{result:?}");
        assert_eq!(result.timings.from_memo, id == "second");
    }
    world.home.reports("front door", json!({"state": "UNLOCK", "lock_state": "unlocked"})).await?;
    let mut asked = 0;
    until("hob to hear of it", async || {
        asked += 1;
        let look = Request::call(&format!("look-{asked}"), "get_state", json!({"device": "front door"}));
        let seen = world.client.ask(&look).await?;
        Ok(seen.actions.iter().any(|action| action.result["state"] == "unlocked").then_some(()))
    })
    .await?;
    let result = world.client.ask(&Request::text("third", QUESTION)).await?;
    assert!(result.speech.contains("unlocked") && !result.timings.from_memo, "{result:?}");
    Ok(())
}

#[tokio::test]
async fn other_words_and_conversations_are_decoded() -> anyhow::Result<()> {
    let world = world().await?;
    assert!(!from_memo(&world, "first").await?);
    let other = world.client.ask(&Request::text("other", "turn off the big lamp")).await?;
    assert!(!other.timings.from_memo);
    for id in ["talk-1", "talk-2"] {
        let talk = Request::json(id, json!({"id": id, "text": WORDS, "conversation": id}));
        assert!(!world.client.ask(&talk).await?.timings.from_memo, "{id}");
    }
    assert!(from_memo(&world, "second").await?);
    Ok(())
}

#[tokio::test]
async fn another_set_of_tools_is_another_prompt() -> anyhow::Result<()> {
    let mut world = world().await?;
    assert!(!from_memo(&world, "all").await?);
    after(&mut world, |hob| done(hob, &["plugin", "revoke", "lists"])).await?;
    assert!(!from_memo(&world, "revoked").await?);
    assert!(from_memo(&world, "revoked-again").await?);
    after(&mut world, |hob| done(hob, &["plugin", "grant", "lists"])).await?;
    assert!(from_memo(&world, "granted").await?, "what was known before is still known");
    after(&mut world, |hob| done(hob, &["plugin", "remove", "lists"])).await?;
    assert!(from_memo(&world, "removed").await?, "without it the tools are as they were when it was revoked");
    Ok(())
}

#[tokio::test]
async fn another_inventory_is_another_prompt() -> anyhow::Result<()> {
    let mut world = world().await?;
    assert!(!from_memo(&world, "before").await?);
    let file = world.hob.path("devices.toml");
    let devices = fs::read_to_string(&file)?;
    let more = "\n[[device]]\nname = \"heater\"\nkind = \"switch\"\ntopic = \"zigbee2mqtt/heater\"\n";
    after(&mut world, |_| Ok(fs::write(&file, format!("{devices}{more}"))?)).await?;
    assert!(!from_memo(&world, "one-more").await?);
    after(&mut world, |_| Ok(fs::write(&file, &devices)?)).await?;
    assert!(from_memo(&world, "as-before").await?);
    Ok(())
}

#[tokio::test]
async fn another_variant_or_another_folder_is_another_model() -> anyhow::Result<()> {
    let mut world = world().await?;
    assert!(!from_memo(&world, "shipped").await?);
    // The same bytes, put there anew: that it is the same model, only reading all of it would tell.
    let copy = world.hob.path("copy");
    copy_folder(&Places::pocket()?.model, &copy)?;
    for graph in ["embed_tokens", "decoder_model_merged"] {
        let named = |variant: &str| copy.join(format!("onnx/{graph}_{variant}.onnx"));
        fs::copy(named("quantized"), named("q4"))?;
    }
    after(&mut world, |hob| {
        hob.set("model.folder", &copy.to_string_lossy());
        hob.set("model.variant", "quantized");
        Ok(())
    })
    .await?;
    assert!(!from_memo(&world, "copied").await?);
    assert!(from_memo(&world, "copied-again").await?);
    after(&mut world, |hob| {
        hob.set("model.variant", "q4");
        Ok(())
    })
    .await?;
    assert!(!from_memo(&world, "q4").await?);

    // A setting of the model that no token of the prompt shows.
    let settings = copy.join("generation_config.json");
    let text = fs::read_to_string(&settings)?;
    after(&mut world, |_| Ok(fs::write(&settings, format!("{text}\n"))?)).await?;
    assert!(!from_memo(&world, "edited").await?);
    Ok(())
}

#[tokio::test]
async fn what_is_drawn_by_chance_and_what_the_owner_turned_off_is_decoded() -> anyhow::Result<()> {
    let mut world = world().await?;
    assert!(!from_memo(&world, "first").await?);
    after(&mut world, |hob| {
        hob.set("model.sampling.temperature", "0.01");
        Ok(())
    })
    .await?;
    assert!(!from_memo(&world, "drawn").await?);
    after(&mut world, |hob| {
        hob.set("model.sampling.temperature", "0.0");
        hob.set("model.memo_entries", "0");
        Ok(())
    })
    .await?;
    assert!(!from_memo(&world, "off").await?);
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_a_warning_and_no_command() -> anyhow::Result<()> {
    let mut world = World::before_hob(&House::example()?, Places::pocket()?).await?;
    fs::write(world.hob.path("model-cache"), "a file where a folder should be")?;
    world.hob.start(&world.client).await?;
    assert!(!from_memo(&world, "first").await?);
    assert!(!from_memo(&world, "second").await?);
    assert!(world.hob.log().contains("correct `[model] cache`"), "{}", world.hob.log());
    Ok(())
}

#[tokio::test]
async fn torn_entries_are_decoded_again_and_mended() -> anyhow::Result<()> {
    let world = world().await?;
    assert!(!from_memo(&world, "first").await?);
    let cache = world.hob.path("model-cache").join("memo");
    let mut torn = 0;
    for entry in fs::read_dir(&cache)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        fs::write(&path, &bytes[..bytes.len() / 2])?;
        torn += 1;
    }
    assert!(torn > 0, "the first command left an answer");
    assert!(!from_memo(&world, "torn").await?);
    assert!(from_memo(&world, "mended").await?);
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
