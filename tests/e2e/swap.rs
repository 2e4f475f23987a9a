//! The model changes under a running hob, while commands come in: none is lost, and none is done twice.

use anyhow::{Context, ensure};
use e2e::{House, Places, Request, World};
use hob_events::{CommandResult, Status};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

const WORDS: &str = "turn on the ceiling lamp";

/// Commands sent while one swap lasts, fewer than may wait.
const MOST: usize = 12;

fn model(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name).to_string_lossy().into_owned()
}

/// Swaps, and sends commands one after another until that is done. Returns how it went, and the ids.
fn swap_under_load(world: &World, to: &str) -> anyhow::Result<(Output, Vec<String>)> {
    let name = to.rsplit('/').next().unwrap_or(to).to_owned();
    block_in_place(|| {
        thread::scope(|scope| {
            let swap = scope.spawn(|| world.hob.cli(&["model", "swap", to, "--json"]));
            let mut ids = Vec::new();
            while !swap.is_finished() && ids.len() < MOST {
                let id = format!("to-{name}-{}", ids.len());
                let request = match ids.len() % 2 {
                    0 => Request::call(&id, "turn_on", json!({"device": "floor lamp"})),
                    _ => Request::text(&id, WORDS),
                };
                Handle::current().block_on(async {
                    let mark = world.client.mark();
                    world.client.send(&request).await?;
                    world.client.reaches(&id, Status::Accepted, mark).await
                })?;
                ids.push(id);
            }
            let output = swap.join().ok().context("the thread of the swap broke")??;
            Ok((output, ids))
        })
    })
}

async fn final_of(world: &World, id: &str) -> anyhow::Result<CommandResult> {
    // What was sent before is answered again by its stored result, so this only waits.
    world.client.ask(&Request::text(id, WORDS)).await
}

fn done(output: &Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn said(output: &Output) -> anyhow::Result<Value> {
    done(output)?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn status(world: &World) -> anyhow::Result<Value> {
    Ok(world.hob.door(&json!({"op": "status"})).await?["value"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_come_while_the_model_changes_are_each_done_once() -> anyhow::Result<()> {
    let mut world = World::with_hob(&House::example()?, Places::pocket()?).await?;
    let store = world.hob.path("models");
    world.hob.set("model.store", &store.to_string_lossy());
    done(&world.hob.cli(&["model", "add", &model("fixtures/tiny"), "--variant", "q4"])?)?;
    let first = world.client.ask(&Request::text("first", WORDS)).await?;
    ensure!(first.status == Status::Succeeded && first.model.as_deref() == Some("pocket"), "{first:?}");

    let (output, there) = swap_under_load(&world, &store.join("tiny").to_string_lossy())?;
    let changed = said(&output)?;
    assert_eq!((&changed["name"], &changed["stays"]), (&json!("tiny"), &json!(false)), "{changed}");
    let asked = world.client.ask(&Request::json("asked", json!({"id": "asked", "text": WORDS}))).await?;
    assert_eq!(asked.model.as_deref(), Some("tiny"));
    let now = status(&world).await?;
    assert_eq!((&now["model"], &now["model_is"]), (&json!("tiny"), &json!("open")), "{now}");

    // The settings name another, and still this one may not go.
    let listed = said(&world.hob.cli(&["model", "list", "--json"])?)?;
    assert_eq!((&listed[0]["name"], &listed[0]["in_use"]), (&json!("tiny"), &json!(true)), "{listed}");
    let kept = world.hob.cli(&["model", "remove", "tiny", "--yes"])?;
    let error = String::from_utf8_lossy(&kept.stderr);
    ensure!(kept.status.code() == Some(2) && error.contains("a running hob has"), "{error}");

    let torn = tempfile::tempdir()?;
    let refused = world.hob.cli(&["model", "swap", &torn.path().to_string_lossy()])?;
    let error = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && error.contains("config.json"), "{error}");
    assert_eq!(status(&world).await?["model"], json!("tiny"), "the old one goes on");

    let (output, back) = swap_under_load(&world, &model("../models/pocket"))?;
    assert_eq!((&said(&output)?["name"], &said(&output)?["stays"]), (&json!("pocket"), &json!(true)));
    done(&world.hob.cli(&["model", "remove", "tiny", "--yes"])?)?;
    let known = world.client.ask(&Request::text("again", WORDS)).await?;
    ensure!(known.timings.from_memo && known.model.as_deref() == Some("pocket"), "{known:?}");

    for id in there.iter().chain(&back) {
        let result = final_of(&world, id).await?;
        ensure!(result.id.as_str() == id, "{result:?}");
        let payloads = world.client.results(id);
        ensure!(payloads.iter().all(|payload| Some(payload) == payloads.first()), "{id} has two results");
    }
    let calls: usize = [&there, &back].iter().map(|ids| ids.len().div_ceil(2)).sum();
    ensure!(calls > 0, "no command came in meanwhile");
    assert_eq!(world.home.told_to("floor lamp").len(), calls, "each call was done once");
    Ok(())
}
