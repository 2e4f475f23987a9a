//! What systemd is told: ready, alive, stopping. Elsewhere these do nothing.

use sd_notify::NotifyState;
use std::time::Duration;

/// How often the driver says that its loop goes round. The unit's watchdog allows several missed beats.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// What hob is doing.
pub fn status(what: &str) {
    say(&[NotifyState::Status(what)]);
}

/// hob takes commands now.
pub fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The driver's loop goes round.
pub fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// hob stops.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
