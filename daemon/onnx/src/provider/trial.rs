//! Trying a provider: a few operators are run on it, and on the processor to compare.

use super::sample::{self, ROWS, WIDTH};
use super::{Attached, Provider, ReadProfileError, Share, Wanted};
use crate::library::Runtime;
use crate::session::{OpenSessionError, RunError, Session};
use crate::settings::{Providers, SessionSettings};
use crate::tensor::{Tensor, TensorError};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs that are timed; the one in the middle counts.
const RUNS: usize = 21;

/// Numbers that differ by more than this share of the largest are other numbers. Half precision, in which graphics and
/// neural units compute, is off by a tenth of that.
pub const TOLERANCE: f32 = 0.02;

/// What a trial brought to light.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// What was tried, and on what it ran.
    pub on: Attached,
    /// Who ran how many nodes, by the profile. A provider that takes several operators as a whole ran one node.
    pub ran: Vec<Share>,
    /// Who took which operators of the graph, where another than the processor was tried.
    pub took: Vec<Share>,
    /// How far its numbers are from the processor's.
    pub difference: Difference,
    /// From the graph to a session.
    pub opening_ms: f64,
    /// One run.
    pub run_ms: f64,
    /// One run on the processor.
    pub cpu_run_ms: f64,
}

/// How far two lists of numbers are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub struct Difference {
    /// The largest difference of two numbers; infinite where one is no number, or the lists differ in length.
    pub greatest: f32,
    /// The largest number of the second list, without its sign.
    pub of: f32,
}

impl Difference {
    /// Compares what came out with what should have.
    #[must_use]
    pub fn between(found: &[f32], wanted: &[f32]) -> Self {
        let of = wanted.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let unlike = found.len() != wanted.len() || found.iter().chain(wanted).any(|number| !number.is_finite());
        let apart = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f32::max);
        Self { greatest: if unlike { f32::INFINITY } else { apart }, of }
    }

    /// Whether it is no more than another way to round makes of it ([`TOLERANCE`]).
    #[must_use]
    pub fn is_rounding(self) -> bool {
        self.greatest <= self.of * TOLERANCE
    }
}

/// Why a trial failed.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It cannot be had, or takes nothing.
    #[error(transparent)]
    Open(#[from] OpenSessionError),
    /// It does not run.
    #[error("'{provider}' does not run what it took: {source}")]
    Run {
        /// What was tried.
        provider: Wanted,
        /// Why.
        #[source]
        source: RunError,
    },
    /// The profile does not tell.
    #[error(transparent)]
    Profile(#[from] ReadProfileError),
    /// No memory.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// It took operators, and another ran them.
    #[error("'{provider}' ran nothing, though it took operators: {} ran them", ran.join(", "))]
    Idle {
        /// What was tried.
        provider: Wanted,
        /// Who ran what.
        ran: Vec<String>,
    },
    /// Its numbers are wrong.
    #[error(
        "'{provider}' gives other numbers than the processor: off by {} of {}. Do not use it with this driver and library",
        .difference.greatest, .difference.of
    )]
    Unlike {
        /// What was tried.
        provider: Wanted,
        /// How far off.
        difference: Difference,
    },
}

/// Runs a few operators on a provider, and on the processor to compare.
///
/// # Errors
/// [`TrialError`] when it cannot be had, runs nothing, or gives other numbers.
pub fn try_provider(runtime: &Runtime, wanted: Wanted, settings: &SessionSettings) -> Result<Trial, TrialError> {
    let with = |order: Vec<Wanted>| {
        let providers = Providers { order, fallback: false, plugins: settings.providers.plugins.clone() };
        SessionSettings { providers, ..settings.clone() }
    };
    let begun = Instant::now();
    let mut session = open(runtime, &with(vec![wanted, Wanted::any(Provider::Cpu)]))?;
    let opening = begun.elapsed();
    let run = |source| TrialError::Run { provider: wanted, source };
    let (found, took_time) = timed(&mut session)?.map_err(run)?;
    let on = session.attached().first().cloned();
    let on = on.unwrap_or(Attached { provider: wanted.provider, device: None, vendor: None, plugin: None });
    let took = session.shares().to_vec();
    let ran = session.profile(RUNS)?;

    let (expected, cpu_time) = timed(&mut open(runtime, &with(vec![Wanted::any(Provider::Cpu)]))?)?.map_err(run)?;
    let difference = Difference::between(&found, &expected);
    if Share::of(&ran, wanted.provider) == 0 {
        return Err(TrialError::Idle { provider: wanted, ran: ran.iter().map(Share::to_string).collect() });
    }
    if !difference.is_rounding() {
        return Err(TrialError::Unlike { provider: wanted, difference });
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Trial { on, ran, took, difference, opening_ms: ms(opening), run_ms: ms(took_time), cpu_run_ms: ms(cpu_time) })
}

fn open(runtime: &Runtime, settings: &SessionSettings) -> Result<Session, TrialError> {
    Ok(Session::open_profiled(runtime, Path::new("the graph of the trial"), &sample::graph(), settings)?)
}

/// What comes out, both outputs one after the other, and how long one run takes.
fn timed(session: &mut Session) -> Result<Result<(Vec<f32>, Duration), RunError>, TensorError> {
    let input = Tensor::f32(&[ROWS, WIDTH], sample::input())?;
    let mut all = || {
        let stop = session.stop_handle()?;
        let mut times = Vec::with_capacity(RUNS);
        let mut outputs = Vec::new();
        for _ in 0..RUNS {
            let begun = Instant::now();
            outputs = session.run(&[("x", &input)], &stop)?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let mut numbers = Vec::new();
        for output in &outputs {
            numbers.extend(output.last_rows(ROWS)?);
        }
        Ok((numbers, times.get(RUNS / 2).copied().unwrap_or_default()))
    };
    Ok(all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_told_from_other_numbers() {
        let close = Difference::between(&[1.0, -2.001], &[1.0, -2.0]);
        assert!(close.is_rounding() && close.of == 2.0);
        assert!(!Difference::between(&[1.0, -1.9], &[1.0, -2.0]).is_rounding());
        assert!(!Difference::between(&[f32::NAN], &[1.0]).is_rounding());
        assert!(!Difference::between(&[1.0], &[1.0, 0.0]).is_rounding());
    }
}
