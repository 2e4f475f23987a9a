//! `hob check`: everything that starting does, short of starting.

use super::Invocation;
use crate::clock::now;
use crate::devices::Devices;
use crate::exit::Exit;
use crate::models::Models;
use crate::rules::open_rules;
use crate::start::{self, StartError};
use anyhow::bail;
use hob_agent::RuleMemory;
use hob_state::OpenStoreError;

pub(super) async fn check(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    match start::build(settings.clone()).await {
        Ok(mut built) => {
            built.model_opened().await?;
            start::make_folder_of(&settings.doors.socket);
            if let Some(folder) = settings.doors.socket.parent().filter(|folder| !folder.is_dir()) {
                bail!("the control socket has no folder {}: correct `[doors] socket`", folder.display());
            }
            let lines = built.summary();
            built.discard();
            invocation.print(&lines, || lines.iter().cloned().chain(["ok".to_owned()]).collect())?;
            Ok(Exit::Ok)
        }
        // A running hob holds the state: the rest can be looked at all the same.
        Err(StartError::State(OpenStoreError::Locked { .. })) => {
            let devices = Devices::open(&settings.devices.file).map_err(StartError::from)?;
            let rules = open_rules(&settings, &devices, RuleMemory::default(), now()).map_err(StartError::from);
            rules?;
            // A second copy of the model may not fit beside the running one, and would prove nothing of it.
            let model = Models::find(&settings)?.describe().map_err(StartError::from)?;
            let lines = vec![
                format!("model     {} {}", model.name, model.variant),
                format!("devices   {}", devices.inventory().devices.len()),
                format!("rules     {}", settings.rule.len()),
                "state     in use by a running hob".to_owned(),
            ];
            invocation.print(&lines, || lines.iter().cloned().chain(["ok".to_owned()]).collect())?;
            Ok(Exit::Ok)
        }
        Err(error) => Err(error.into()),
    }
}
