//! The shipped model decides, over the public doors: the whole path with nothing in place of anything.

use e2e::{Places, Request, World};
use hob_events::Status;
use serde_json::json;

#[tokio::test]
async fn plain_words_switch_the_device_that_is_meant_by_its_alias() -> anyhow::Result<()> {
    let mut world = World::with_hob(&e2e::House::example()?, Places::pocket()?).await?;
    let result = world.client.ask(&Request::text("words", "turn on the big lamp")).await?;
    assert_eq!(result.status, Status::Succeeded, "{result:?}");
    assert_eq!(world.home.told_to("ceiling lamp"), [json!({"state": "ON"})]);
    assert_eq!(result.speech, "Ceiling lamp is on.");
    assert!(result.timings.generated_tokens > 0, "the model was asked");

    // The second command finds the long beginning of the prompt in the cache.
    let again = world.client.ask(&Request::text("again", "turn off the big lamp")).await?;
    assert_eq!(world.home.told_to("ceiling lamp"), [json!({"state": "ON"}), json!({"state": "OFF"})]);
    assert!(again.timings.cached_tokens > again.timings.prefill_tokens, "{:?}", again.timings);
    world.hob.stop().await?;
    Ok(())
}
