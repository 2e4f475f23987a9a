//! Pictures on their way through the house: handed over by the command line or in a command's payload, kept by name, and
//! told of when the model cannot see.
//!
//! With the model of the tests, which cannot; what one sees that can is held by the tests of the model.

use anyhow::{Context, ensure};
use e2e::{House, Places, Request, World};
use hob_events::Status;
use serde_json::{Value, json};
use std::path::PathBuf;

fn picture() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/media/odd.png").to_string_lossy().into_owned()
}

fn kept(world: &World) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = world.hob.path("state").join("media");
    let files = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    files.map(|file| Ok(std::fs::read(file?.path())?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_kept_by_name_and_a_model_without_eyes_says_so() -> anyhow::Result<()> {
    let world = World::with_hob(&House::example()?, Places::tiny()?).await?;
    let asked =
        tokio::task::block_in_place(|| world.hob.cli(&["ask", "--json", "--image", &picture(), "what is this?"]))?;
    let result: Value = serde_json::from_slice(&asked.stdout).with_context(|| format!("{asked:?}"))?;
    assert_eq!((&result["status"], &result["error"]["code"]), (&json!("failed"), &json!("medium")), "{result}");
    let message = result["error"]["message"].as_str().context("a message")?;
    ensure!(message.contains("takes in no pictures") && message.contains("vision_encoder"), "{message}");
    assert_eq!(kept(&world)?, [std::fs::read(picture())?]);

    let nowhere = tokio::task::block_in_place(|| world.hob.cli(&["ask", "--image", "/nowhere.png", "what is this?"]))?;
    let error = String::from_utf8_lossy(&nowhere.stderr);
    ensure!(!nowhere.status.success() && error.contains("/nowhere.png"), "{error}");

    // A small picture in the payload itself: "MTIz" is "123".
    let media = json!([{"kind": "image", "data": "MTIz"}]);
    let enclosed = json!({"id": "enclosed", "text": "and this?", "media": media});
    let result = world.client.ask(&Request::json("enclosed", enclosed)).await?;
    ensure!(result.status == Status::Failed && result.error.as_ref().is_some_and(|e| e.code == "medium"), "{result:?}");
    ensure!(kept(&world)?.contains(&b"123".to_vec()));

    let unknown = json!([{"kind": "image", "id": "0".repeat(64)}]);
    let gone = json!({"id": "gone", "text": "and this?", "media": unknown});
    let result = world.client.ask(&Request::json("gone", gone)).await?;
    ensure!(result.error.as_ref().is_some_and(|error| error.code == "gone"), "{result:?}");
    Ok(())
}

/// Tokens of a turn's prompts, known and new.
fn read(result: &Value) -> anyhow::Result<u64> {
    let count = |name: &str| result["timings"][name].as_u64().with_context(|| format!("{name} in {result}"));
    Ok(count("prefill_tokens")? + count("cached_tokens")?)
}

/// The shipped model has no eyes, but it can read.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_handed_over_and_read() -> anyhow::Result<()> {
    let world = World::with_hob(&House::example()?, Places::pocket()?).await?;
    let manual = world.hob.path("manual.txt");
    std::fs::write(&manual, "The lamp in the kitchen takes bulbs of 9 W.\r\n".repeat(6))?;
    let ask = |file: &str| {
        tokio::task::block_in_place(|| world.hob.cli(&["ask", "--no", "--json", "--file", file, "what bulb?"]))
    };
    let asked = ask(&manual.to_string_lossy())?;
    let result: Value = serde_json::from_slice(&asked.stdout).with_context(|| format!("{asked:?}"))?;
    let tokens = read(&result)?;
    let plain = tokio::task::block_in_place(|| world.hob.cli(&["ask", "--no", "--json", "what bulb?"]))?;
    let plain: Value = serde_json::from_slice(&plain.stdout).with_context(|| format!("{plain:?}"))?;
    let without = read(&plain)?;
    ensure!(tokens > without + 50, "{tokens} tokens with the document and {without} without");
    ensure!(kept(&world)?.contains(&std::fs::read(&manual)?));

    let blob = world.hob.path("blob.pdf");
    std::fs::write(&blob, b"%PDF \xFF")?;
    let refused = ask(&blob.to_string_lossy())?;
    let error = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && error.contains("no UTF-8 text") && error.contains("pdftotext"), "{error}");
    Ok(())
}

/// The second comes while the first one's picture is put on the disk, and the first is refused then.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_while_media_come_in_is_answered_too() -> anyhow::Result<()> {
    let world = World::with_hob(&House::example()?, Places::pocket()?).await?;
    let media = json!([{"kind": "image", "data": "MTIz".repeat(2_000)}, {"kind": "image", "id": "0".repeat(64)}]);
    let request = Request::json("twice", json!({"id": "twice", "text": "what is this?", "media": media}));
    let (one, other) = (request.clone().answered_to_me(), request.answered_to_me());
    let (one, other) = (world.client.send(&one).await?, world.client.send(&other).await?);
    for sent in [one, other] {
        let (_, result) = world.client.result(&sent).await?;
        ensure!(result.error.as_ref().is_some_and(|error| error.code == "gone"), "{result:?}");
    }
    Ok(())
}
