//! `hob check`: everything that starting does, short of starting.

use super::Invocation;
use crate::clock::now;
use crate::devices::Devices;
use crate::exit::Exit;
use crate::models::Models;
use crate::rules::open_rules;
use crate::settings::Settings;
use crate::start::{self, StartError};
use anyhow::{Context, bail, ensure};
use hob_agent::RuleMemory;
use hob_onnx::Runtime;
use hob_senses::attention::Begin;
use hob_senses::vad::Vad;
use hob_state::OpenStoreError;
use std::process::{Command, Stdio};

pub(super) async fn check(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    match start::build(settings.clone()).await {
        Ok(mut built) => {
            built.model_opened().await?;
            start::make_folder_of(&settings.doors.socket);
            if let Some(folder) = settings.doors.socket.parent().filter(|folder| !folder.is_dir()) {
                bail!("the control socket has no folder {}: correct `[doors] socket`", folder.display());
            }
            let mut lines = built.summary();
            built.discard();
            lines.extend(senses(&settings)?);
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
            let mut lines = vec![
                format!("model     {} {}", model.name, model.variant),
                format!("devices   {}", devices.inventory().devices.len()),
                format!("rules     {}", settings.rule.len()),
                "state     in use by a running hob".to_owned(),
            ];
            lines.extend(senses(&settings)?);
            invocation.print(&lines, || lines.iter().cloned().chain(["ok".to_owned()]).collect())?;
            Ok(Exit::Ok)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens what microphones and cameras need, without listening or looking; what a model without ears and eyes cannot do is warned of.
fn senses(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let (microphones, cameras) = (&settings.microphone, &settings.camera);
    if microphones.is_empty() && cameras.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = vec![format!("senses    {} microphones, {} cameras", microphones.len(), cameras.len())];
    let model = Models::find(settings)?.describe().map_err(StartError::from)?;
    if !microphones.is_empty() {
        let runtime = Runtime::find(settings.onnx.library.as_deref())?;
        let vad = &settings.senses.vad;
        Vad::open(&runtime, vad).with_context(|| format!("[senses] vad = \"{}\"", vad.display()))?;
        if microphones.iter().any(|microphone| microphone.begin == Begin::Wake) {
            settings.senses.wake.open(&runtime)?;
        }
        if model.audio_bytes.is_none() {
            lines.push(format!("warning   {} has no ears: what is said leads to nothing", model.name));
        }
    }
    if cameras.iter().any(|camera| camera.topic().is_none()) {
        let ffmpeg = &settings.media.ffmpeg;
        let version = Command::new(ffmpeg).arg("-version").stdin(Stdio::null()).output();
        let version = version.with_context(|| format!("[media] ffmpeg = \"{ffmpeg}\": cameras need it"))?;
        ensure!(version.status.success(), "[media] ffmpeg = \"{ffmpeg}\" does not run: try `{ffmpeg} -version`");
        let said = String::from_utf8_lossy(&version.stdout).into_owned();
        let major = said.strip_prefix("ffmpeg version ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        if major.is_some_and(|major| major < 5) {
            lines.push(format!("warning   {ffmpeg} is older than version 5: cameras over RTSP will not open"));
        }
    }
    if !cameras.is_empty() && model.vision_bytes.is_none() {
        let name = &model.name;
        lines.push(format!("warning   {name} has no eyes: rules and questions about cameras lead to nothing"));
    }
    Ok(lines)
}
