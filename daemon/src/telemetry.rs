//! Where log lines go: journald under systemd, stderr elsewhere.

use crate::settings::{Log, LogTarget};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartLogError {
    /// The filter is none.
    #[error("log.filter {filter:?} is not understood: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        reason: String,
    },
    /// There is no journald.
    #[error("log.to is \"journald\", and journald does not answer; use \"auto\" or \"stderr\"")]
    Journald(#[source] std::io::Error),
}

/// Starts logging for the whole process. Only the first call has an effect.
///
/// # Errors
/// [`StartLogError`] when the settings ask for what cannot be had.
pub fn start(log: &Log) -> Result<(), StartLogError> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| StartLogError::Filter { filter: log.filter.clone(), reason: error.to_string() })?;
    // systemd sets JOURNAL_STREAM for services whose output goes to the journal (systemd.exec(5)).
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let journald = match log.to {
        LogTarget::Journald => Some(tracing_journald::layer().map_err(StartLogError::Journald)?),
        LogTarget::Auto if under_systemd => tracing_journald::layer().ok(),
        LogTarget::Auto | LogTarget::Stderr => None,
    };
    let layer = match journald {
        Some(journald) => journald.boxed(),
        None => fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    // A second start, in tests, keeps the first.
    tracing_subscriber::registry().with(filter).with(layer).try_init().ok();
    Ok(())
}
