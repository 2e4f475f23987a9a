//! `make bench-model`: what a Gemma 4 of true size costs, hob beside llama.cpp, on this machine.
//!
//! Weights are random and shapes are true (`make model-true-size`). Every model is opened in a process of its own by the
//! code that the daemon runs, and stays open; measurements go round in turn, hob and llama.cpp one after the other, so that
//! what else the machine does falls on all of them. How much that was is printed. A target that is missed is printed as
//! missed; only what cannot be measured at all ends it.

mod llama;
mod load;
mod measure;
mod options;
mod orders;
mod series;
mod subject;
mod table;
mod work;

use anyhow::Context;
use measure::Bench;
use options::Options;
use std::io::Write;
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == work::WORKER).is_some() {
        return work::serve(arguments);
    }
    let options = Options::read(arguments)?;
    let began = Instant::now();
    let table = Bench::open(&options)?.run().context("the measurement ended early")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{table}")?;
    writeln!(out, "made by `{}` in {} s", options.command(), began.elapsed().as_secs())?;
    Ok(())
}
