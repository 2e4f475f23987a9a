//! `make demo`: a house, a broker, and hob in it with the shipped model. A dozen commands over MQTT, and for each what the
//! model wrote, what the home heard, what hob answered and what it took. Ends with 1 when an expected effect is missing.

mod paper;
mod scenes;

use anyhow::bail;
use e2e::{Broker, Client, Daemon, Home, House, Places, Told};
use hob_events::CommandResult;
use paper::Paper;
use scenes::{Answer, Scene, scenes};
use std::process::ExitCode;
use std::time::Instant;
use tokio::time::timeout;

/// The node's name in the demo.
const NODE: &str = "demo";

#[tokio::main]
async fn main() -> ExitCode {
    let paper = Paper::on_stdout();
    match play(&paper).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            paper.line(&format!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Plays every scene; true when each had the expected effect.
async fn play(paper: &Paper) -> anyhow::Result<bool> {
    let house = House::example()?;
    let broker = Broker::start().await?;
    let home = Home::start(broker.port(), &house).await?;
    let client = Client::connect(broker.port(), NODE, "demo-client").await?;
    let places = Places::pocket()?;
    let model = places.model.clone();
    let mut hob = Daemon::prepare(broker.port(), NODE, &house, places)?;
    let began = Instant::now();
    hob.start(&client).await?;
    paper.opening(broker.port(), &model, began.elapsed());

    let mut seen = Vec::new();
    for (number, scene) in (1..).zip(scenes()) {
        paper.command(number, &scene.shown());
        let shown = show(&scene, number, &client, &home).await?;
        let missing = (scene.expects)(&shown);
        paper.scene(&shown, missing.as_deref());
        seen.push((shown.result, missing.is_none()));
    }
    hob.stop().await?;
    paper.closing(&seen);
    Ok(seen.iter().all(|(_, fine)| *fine))
}

/// What became of one command.
struct Shown {
    result: CommandResult,
    /// What hob asked before it acted.
    question: Option<String>,
    /// What devices had been told when it asked.
    told_before_answer: usize,
    /// What devices were told.
    told: Vec<Told>,
}

async fn show(scene: &Scene, number: usize, client: &Client, home: &Home) -> anyhow::Result<Shown> {
    let before = home.told().len();
    let sent = client.send(&scene.request(number)).await?;
    let asked = async { client.question(&sent).await };
    let (question, told_before_answer) = tokio::select! {
        biased;
        question = asked => {
            let question = question?;
            let told = home.told().len() - before;
            // Without an expected answer hob was not sure, and is told no: the scene then misses its effect.
            client.answer(question["id"].as_str().unwrap_or_default(), scene.answer == Answer::Yes).await?;
            (question["question"].as_str().map(str::to_owned), told)
        }
        result = client.result(&sent) => {
            result?;
            (None, 0)
        }
    };
    let Ok(result) = timeout(e2e::DEADLINE, client.result(&sent)).await else {
        bail!("{} got no answer", scene.shown())
    };
    let told = home.told().split_off(before);
    Ok(Shown { result: result?.1, question, told_before_answer, told })
}
