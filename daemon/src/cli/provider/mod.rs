//! `hob provider`: what could run the model on this board, and what really does.

mod decoder;

use super::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::stage_settings::session_settings;
use crate::start::StartError;
use decoder::{DecoderTrial, try_decoder};
use hob_onnx::{Found, Provider, Runtime, Standing, Trial, Wanted, try_provider};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  hob provider list
  hob provider test openvino            runs a few operators on it, and says who ran them
  hob provider test openvino:gpu --model     and then the model in the settings

A provider is used when `[model] providers` names it.")]
pub(super) enum ProviderCommand {
    /// List the providers that hob knows, where their libraries are and what they find to run on.
    List,
    /// Run a few operators on a provider and hold them to the processor's numbers. Ends with 1 when it did not run them.
    Test {
        /// cpu, openvino, webgpu, qnn, cuda or tensorrt; with a device as in openvino:gpu.
        provider: Wanted,
        /// Run the model in the settings on it, too.
        #[arg(long)]
        model: bool,
    },
}

pub(super) fn provider(invocation: &Invocation, command: ProviderCommand) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let runtime = Runtime::find(settings.onnx.library.as_deref()).map_err(StartError::from)?;
    match command {
        ProviderCommand::List => list(invocation, &settings, &runtime),
        ProviderCommand::Test { provider, model } => test(invocation, &settings, &runtime, provider, model),
    }
}

/// A provider, and how the settings ask for it.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    standing: Standing,
    asked_for: Option<Wanted>,
}

fn list(invocation: &Invocation, settings: &Settings, runtime: &Runtime) -> anyhow::Result<Exit> {
    let asked = |provider: Provider| settings.model.providers.iter().copied().find(|asked| asked.provider == provider);
    let standings = runtime.providers(&settings.onnx.plugins).into_iter();
    let rows: Vec<Row> = standings.map(|standing| Row { asked_for: asked(standing.provider), standing }).collect();
    invocation.print(&rows, || rows.iter().map(in_one_line).collect())?;
    Ok(Exit::Ok)
}

fn in_one_line(row: &Row) -> String {
    let mark = if row.asked_for.is_some() { '*' } else { ' ' };
    let Standing { provider, found, devices } = &row.standing;
    let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
    let devices = devices.join(", ");
    let about = match found {
        // Of few does ONNX Runtime itself know the devices.
        Found::BuiltIn if devices.is_empty() => "in ONNX Runtime".to_owned(),
        Found::BuiltIn => format!("in ONNX Runtime, on {devices}"),
        Found::Plugin { path } if devices.is_empty() => format!("{}, which finds no device here", path.display()),
        Found::Plugin { path } => format!("{}, on {devices}", path.display()),
        Found::Broken { reason, .. } => reason.clone(),
        Found::Absent => format!("not here: {}", provider.how_to_get()),
    };
    format!("{mark} {:9} {about}", provider.name())
}

/// What `hob provider test` brings to light. `hob doctor` reads it from a process of its own.
#[derive(Debug, Serialize)]
struct Tested {
    onnxruntime: Library,
    #[serde(flatten)]
    trial: Trial,
    model: Option<DecoderTrial>,
}

/// Which ONNX Runtime it was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Library {
    pub(super) version: String,
    pub(super) path: PathBuf,
}

fn test(
    invocation: &Invocation,
    settings: &Settings,
    runtime: &Runtime,
    wanted: Wanted,
    model: bool,
) -> anyhow::Result<Exit> {
    let session = session_settings(settings);
    let trial = try_provider(runtime, wanted, &session)?;
    let onnxruntime = Library { version: runtime.version(), path: runtime.path().to_owned() };
    let model = if model { Some(try_decoder(runtime, settings, wanted)?) } else { None };
    let tested = Tested { onnxruntime, trial, model };
    invocation.print(&tested, || in_lines(&tested))?;
    // The figures are told before, since they are what says how bad it is.
    if let Some(model) = tested.model.as_ref().filter(|model| !model.agrees()) {
        anyhow::bail!("'{wanted}' gives other answers than the processor: {}", model.agreement());
    }
    Ok(Exit::Ok)
}

fn in_lines(tested: &Tested) -> Vec<String> {
    let Tested { onnxruntime, trial, model } = tested;
    let shares = |shares: &[hob_onnx::Share]| shares.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        format!("provider    {}", trial.on),
        format!("library     ONNX Runtime {}, {}", onnxruntime.version, onnxruntime.path.display()),
    ];
    lines.extend(trial.on.plugin.iter().map(|plugin| format!("plugin      {}", plugin.display())));
    lines.push(format!("ran         {}", shares(&trial.ran)));
    if !trial.took.is_empty() {
        lines.push(format!("out of      {}", shares(&trial.took)));
    }
    let difference = trial.difference;
    lines.push(format!("difference  {:.1e} of {:.1e}, against the processor", difference.greatest, difference.of));
    lines.push(format!(
        "time        {:.3} ms a run, {:.3} ms on the processor; {:.0} ms to open",
        trial.run_ms, trial.cpu_run_ms, trial.opening_ms
    ));
    lines.extend(model.iter().flat_map(DecoderTrial::in_lines));
    lines
}
