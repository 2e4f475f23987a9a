//! One `kill -9` in each phase of a command's life. `make test-kill` does thirty.

#[path = "../kill/rounds.rs"]
mod rounds;

use rounds::Phase;

#[tokio::test]
async fn nothing_is_lost_or_done_twice_over_a_kill_in_each_phase() -> anyhow::Result<()> {
    let tally = rounds::run(Phase::ALL.len(), |_, _, _| {}).await?;
    assert_eq!(tally.rounds, Phase::ALL.len());
    Ok(())
}
