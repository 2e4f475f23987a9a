//! `hob tools`, `hob devices`, `hob status`: looking without touching.

use super::Invocation;
use super::plugin::open_host;
use crate::devices::Devices;
use crate::exit::Exit;
use crate::start::StartError;
use anyhow::bail;
use hob_doors::{CallDoorError, DoorClient, Reply, Request};
use hob_events::ToolSpec;
use serde_json::{Value, json};
use std::path::Path;

/// Asks a running hob; nothing when none runs.
pub(super) async fn ask_daemon(socket: &Path, request: Request) -> anyhow::Result<Option<Value>> {
    let mut client = match DoorClient::connect(socket).await {
        Ok(client) => client,
        Err(CallDoorError::Nobody { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    client.send(&request).await?;
    data_of(client.next().await?).map(Some)
}

/// What a running hob answered to a request for data.
pub(super) fn data_of(reply: Reply) -> anyhow::Result<Value> {
    match reply {
        Reply::Data { value } => Ok(value),
        Reply::Done => Ok(Value::Null),
        Reply::Error { code, message } => bail!("{message} [{code}]"),
        other @ (Reply::Accepted { .. }
        | Reply::Status(_)
        | Reply::Reading { .. }
        | Reply::Text { .. }
        | Reply::Final { .. }
        | Reply::Progress { .. }) => bail!("hob answered something else: {other:?}"),
    }
}

pub(super) async fn tools(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let tools: Vec<ToolSpec> = match ask_daemon(&settings.doors.socket, Request::Tools).await? {
        Some(value) => serde_json::from_value(value)?,
        None => open_host(&settings).await?.host.tools(),
    };
    let width = tools.iter().map(|tool| tool.name.as_str().len()).max().unwrap_or(0);
    let line = |tool: &ToolSpec| format!("{:width$}  {:6}  {}", tool.name.as_str(), tool.plugin, tool.description);
    invocation.print(&tools, || match tools.is_empty() {
        true => vec!["no tools: install a plugin and grant it (hob plugin --help)".to_owned()],
        false => tools.iter().map(line).collect(),
    })?;
    Ok(Exit::Ok)
}

pub(super) async fn devices(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let devices = match ask_daemon(&settings.doors.socket, Request::Devices).await? {
        Some(value) => value,
        None => {
            let devices = Devices::open(&settings.devices.file).map_err(StartError::from)?;
            devices.inventory().devices.iter().map(|device| json!({ "device": device, "state": null })).collect()
        }
    };
    let lines = || {
        let line = |entry: &Value| {
            let text = |key: &str| entry["device"][key].as_str().unwrap_or("").to_owned();
            let state = entry.get("state").filter(|state| !state.is_null()).map_or("?".to_owned(), Value::to_string);
            format!("{:24} {:14} {:8} {:6} {state}", text("name"), text("area"), text("kind"), text("risk"))
        };
        devices.as_array().map(|list| list.iter().map(line).collect()).unwrap_or_default()
    };
    invocation.print(&devices, lines)?;
    Ok(Exit::Ok)
}

pub(super) async fn status(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let Some(status) = ask_daemon(&settings.doors.socket, Request::Status).await? else {
        bail!("no hob listens on {}", settings.doors.socket.display());
    };
    let lines = || {
        let fields = status.as_object().into_iter().flatten();
        fields.map(|(name, value)| format!("{name:18} {value}")).collect()
    };
    invocation.print(&status, lines)?;
    Ok(Exit::Ok)
}
