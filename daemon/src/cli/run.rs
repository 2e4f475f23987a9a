//! `hob run`: the daemon.

use super::Invocation;
use crate::exit::Exit;
use crate::{service, start, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(super) async fn run(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    telemetry::start(&settings.log)?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    service::status("starting");
    let built = start::build(settings).await?;
    for line in built.summary() {
        tracing::info!("{line}");
    }
    // On the heap: it holds all that hob does.
    Box::pin(built.run(stop)).await?;
    tracing::info!("stopped");
    Ok(Exit::Ok)
}

/// SIGTERM and SIGINT stop; a second one while stopping is left to the system's patience.
fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process and owns nothing")]
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
