//! What hob works with: the model, the broker, the plugins.

use super::super::plugin::{in_one_line, open_host};
use super::Finding;
use crate::settings::Settings;
use crate::stage_settings::model_settings;
use hob_model::{Extent, ModelFolder, Needs, OpenModelError, Size};
use hob_plugin_host::{PluginReport, PluginState};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a broker in the house may take to open a connection.
const BROKER_PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn model(settings: &Settings) -> Finding {
    const WHAT: &str = "model";
    let asked = match model_settings(settings) {
        Ok(asked) => asked,
        Err(error) => return Finding::fail(WHAT, error.to_string(), None),
    };
    let looked = || -> Result<_, OpenModelError> {
        let folder = ModelFolder::open(&asked.folder, asked.variant)?;
        let needs = Needs::read(&folder)?.with_kernels(asked.session.wanted_kernels());
        let context_tokens = asked.context_tokens.min(folder.config.max_positions().unwrap_or(usize::MAX));
        let extent = Extent { context_tokens, slots: asked.slots, chunk_tokens: asked.chunk_tokens };
        Ok((folder, needs.budget(extent).total()))
    };
    match looked() {
        Ok((folder, takes)) => {
            let found = format!("{}, {}; it takes about {}", folder.path.display(), folder.variant.name(), Size(takes));
            match hob_onnx::usable_memory().filter(|free| *free < takes) {
                Some(free) => {
                    let found = format!("{found}, and {} are free", Size(free));
                    let advice =
                        "stop a hob that runs already before you look, or lower `[model] context_tokens` and `slots`";
                    Finding::warn(WHAT, found, advice)
                }
                None => Finding::ok(WHAT, found),
            }
        }
        Err(error) => Finding::fail(WHAT, error.to_string(), Some("hob model --help tells how to fetch or add one")),
    }
}

pub(super) fn broker(settings: &Settings) -> Finding {
    const WHAT: &str = "broker";
    let mqtt = &settings.mqtt;
    if !mqtt.enabled {
        return Finding::ok(WHAT, "none, as the settings say; hob answers on its socket");
    }
    let place = format!("{}:{}", mqtt.host, mqtt.port);
    match reach(&mqtt.host, mqtt.port) {
        Ok(()) => Finding::ok(WHAT, format!("{place} opens a connection")),
        // hob runs without it, and connects when it is there.
        Err(error) => Finding::warn(
            WHAT,
            format!("{place} opens no connection: {error}"),
            "is it running, and does `[mqtt] host` and `port` name it? hob keeps trying; until then no device can be reached",
        ),
    }
}

/// Tries every address that the name stands for.
fn reach(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, BROKER_PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) async fn plugins(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "plugins";
    let opened = match open_host(settings).await {
        Ok(opened) => opened,
        Err(error) => return vec![Finding::fail(WHAT, format!("{error:#}"), None)],
    };
    let reports = opened.host.inspect().await;
    if reports.is_empty() {
        let advice = "without a tool hob can do nothing but talk: hob plugin --help";
        return vec![Finding::warn(WHAT, format!("none in {}", settings.plugins.folder.display()), advice)];
    }
    reports.iter().map(plugin).collect()
}

fn plugin(report: &PluginReport) -> Finding {
    const WHAT: &str = "plugin";
    let found = in_one_line(report);
    let id = &report.plugin;
    match &report.state {
        PluginState::Ready => Finding::ok(WHAT, format!("{found}, {} tools", report.tools.len())),
        PluginState::Paused { .. } => Finding::warn(WHAT, found, "it was stopped too often; the log says why"),
        PluginState::Ungranted { .. } => {
            Finding::warn(WHAT, found, format!("hob plugin inspect {id}, and then hob plugin grant {id}"))
        }
        PluginState::Quarantined { .. } | PluginState::Refused { .. } => {
            let advice = format!("hob plugin inspect {id}; install it again if you trust the package");
            Finding::fail(WHAT, found, Some(&advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_broker_that_listens_is_told_from_one_that_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = Settings::default();
        settings.mqtt.port = listener.local_addr().unwrap().port();
        assert_eq!(broker(&settings).level, Level::Ok);
        drop(listener);
        assert_eq!(broker(&settings).level, Level::Warn);
        settings.mqtt.enabled = false;
        assert_eq!(broker(&settings).level, Level::Ok);
    }
}
