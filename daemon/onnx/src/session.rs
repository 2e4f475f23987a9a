//! One graph, loaded and ready to run.

use crate::library::Runtime;
use crate::packed::{Origin, Packing, open_packed};
use crate::port::{Port, Signature};
use crate::product::Kernels;
use crate::provider::{
    Attached, ProfileFolder, Provider, RECORD, ReadProfileError, Share, Wanted, attach, read_profile, shares,
};
use crate::settings::{Providers, SessionSettings};
use crate::stop::Stop;
use crate::tensor::{Tensor, TensorError};
use ort::operator::OperatorDomain;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, SessionInputValue};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a graph could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// There is no such file.
    #[error("there is no graph {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is no graph, or only the beginning of one.
    #[error("{path} is cut short or no ONNX graph: fetch it again")]
    NotAGraph {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime says.
        reason: String,
    },
    /// The weights beside it are not there, or not all of them.
    #[error("the weights of {path} are missing or cut short: fetch the `{}*` files beside it again", data_name(path))]
    Weights {
        /// The graph.
        path: PathBuf,
        /// What ONNX Runtime says, the missing file's name among it.
        reason: String,
    },
    /// It needs operators that this library does not have.
    #[error("{path} needs a newer ONNX Runtime, or one with more operators: {reason}")]
    Operators {
        /// The graph.
        path: PathBuf,
        /// What ONNX Runtime says.
        reason: String,
    },
    /// The provider that was asked for cannot be had with this library on this board.
    #[error("the provider '{provider}' cannot be used: {reason}")]
    Provider {
        /// Which.
        provider: Wanted,
        /// Why, and what to do.
        reason: String,
    },
    /// The provider that was asked for takes none of the graph's operators.
    #[error(
        "the provider '{provider}' takes nothing of {path}; what there is: {}. Take it out of `[model] providers`, or set \
         `fallback = true` there to go on without it",
        told(shares)
    )]
    TookNothing {
        /// The graph.
        path: PathBuf,
        /// Which provider.
        provider: Wanted,
        /// Who took what.
        shares: Vec<Share>,
    },
    /// Operators are left for the processor, and it was not asked for.
    #[error(
        "operators of {path} are left for the processor, which `[model] providers` does not name: {}. Add 'cpu' to it, or \
         set `fallback = true` there",
        told(shares)
    )]
    LeftOver {
        /// The graph.
        path: PathBuf,
        /// Who took what.
        shares: Vec<Share>,
    },
    /// What is needed to watch it run cannot be had.
    #[error(transparent)]
    Profile(#[from] ReadProfileError),
    /// Anything else that ONNX Runtime does not like.
    #[error("{path} cannot be opened: {reason}")]
    Other {
        /// The graph.
        path: PathBuf,
        /// What ONNX Runtime says.
        reason: String,
    },
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Someone stopped it.
    #[error("the run was stopped")]
    Stopped,
    /// An input could not be made, or an output not be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The graph gave no output of that name.
    #[error("the graph has no output '{0}'")]
    NoOutput(String),
    /// The graph did not like its inputs, or ran out of memory.
    #[error("the graph could not be run: {0}")]
    Failed(String),
}

/// One graph, loaded and ready to run. `run` takes `&mut self`: one run at a time.
#[derive(Debug)]
pub struct Session {
    pub(crate) session: ort::session::Session,
    signature: Signature,
    attached: Vec<Attached>,
    shares: Vec<Share>,
    profile: Option<ProfileFolder>,
    pub(crate) running: Duration,
    packing: Option<Packing>,
    kernels: Kernels,
}

/// Where the weights of a graph lie that is given as bytes. Without it ONNX Runtime refuses weights in files.
pub(crate) const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// Where a graph comes from.
#[derive(Clone)]
enum Source<'a> {
    File,
    Made(&'a [u8]),
    /// With operators of hob's own.
    Placed(&'a [u8], Arc<OperatorDomain>),
}

impl Session {
    /// Loads the graph at `path`, its weights from the files beside it.
    ///
    /// # Errors
    /// [`OpenSessionError`], by what has to be done about it.
    pub fn open(runtime: &Runtime, path: &Path, settings: &SessionSettings) -> Result<Self, OpenSessionError> {
        if !path.is_file() {
            return Err(OpenSessionError::Missing { path: path.to_owned() });
        }
        if let Some(packed) = &settings.packed {
            return open_packed(runtime, Origin { path, prepared: None }, settings, packed).map(Self::with_packing);
        }
        Self::open_from(runtime, path, Source::File, settings, None)
    }

    /// Loads a graph that was made out of the one at `path` and holds all its weights.
    ///
    /// # Errors
    /// [`OpenSessionError`], by what has to be done about it.
    pub(crate) fn open_made(
        runtime: &Runtime,
        path: &Path,
        graph: &[u8],
        settings: &SessionSettings,
    ) -> Result<Self, OpenSessionError> {
        Self::open_from(runtime, path, Source::Made(graph), settings, None)
    }

    /// Loads a graph that was rewritten from the one at `path`, with the weights that lie beside that one.
    ///
    /// # Errors
    /// [`OpenSessionError`], by what has to be done about it.
    pub fn open_prepared(
        runtime: &Runtime,
        path: &Path,
        graph: &[u8],
        settings: &SessionSettings,
    ) -> Result<Self, OpenSessionError> {
        if let Some(packed) = &settings.packed {
            return open_packed(runtime, Origin { path, prepared: Some(graph) }, settings, packed)
                .map(Self::with_packing);
        }
        Self::open_from(runtime, path, Source::Made(graph), &beside(path, settings), None)
    }

    /// Loads a graph in which hob's own operators stand for some of those of the one at `path`, with the rest of the weights
    /// that lie beside that one.
    ///
    /// # Errors
    /// [`OpenSessionError`], by what has to be done about it.
    pub(crate) fn open_placed(
        runtime: &Runtime,
        path: &Path,
        graph: &[u8],
        settings: &SessionSettings,
        operators: Arc<OperatorDomain>,
    ) -> Result<Self, OpenSessionError> {
        let settings = beside(path, settings);
        Self::open_from(runtime, path, Source::Placed(graph, operators), &settings, None)
    }

    /// As [`Session::open_made`], and watched: [`Session::profile`] tells afterwards who ran what.
    ///
    /// # Errors
    /// [`OpenSessionError`], by what has to be done about it.
    pub(crate) fn open_profiled(
        runtime: &Runtime,
        path: &Path,
        graph: &[u8],
        settings: &SessionSettings,
    ) -> Result<Self, OpenSessionError> {
        Self::open_from(runtime, path, Source::Made(graph), settings, Some(ProfileFolder::new()?))
    }

    fn with_packing((session, packing): (Self, Packing)) -> Self {
        Self { packing: Some(packing), ..session }
    }

    fn open_from(
        runtime: &Runtime,
        path: &Path,
        source: Source<'_>,
        settings: &SessionSettings,
        profile: Option<ProfileFolder>,
    ) -> Result<Self, OpenSessionError> {
        let other = |error: ort::Error| OpenSessionError::Other { path: path.to_owned(), reason: error.to_string() };
        let builder = configured(runtime, settings, profile.as_ref()).map_err(other)?;
        let (mut builder, attached) = with_providers(runtime, builder, settings)?;
        let kernels = if matches!(source, Source::Placed(..)) { Kernels::Hob } else { Kernels::OnnxRuntime };
        let committed = match source.clone() {
            Source::File => builder.commit_from_file(path),
            Source::Made(graph) => builder.commit_from_memory(graph),
            Source::Placed(graph, operators) => builder
                .with_operators(operators)
                .map_err(ort::Error::from)
                .and_then(|mut builder| builder.commit_from_memory(graph)),
        };
        let session = match committed {
            Ok(session) => session,
            Err(error) if settings.providers.fallback && settings.providers.beside_cpu().next().is_some() => {
                let reason = error.message();
                tracing::warn!(graph = %path.display(), reason, "the providers cannot open a graph, and the processor does");
                let alone = SessionSettings { providers: Providers::default(), ..settings.clone() };
                return Self::open_from(runtime, path, source, &alone, profile);
            }
            Err(error) => return Err(refused(path, error.code(), error.message())),
        };
        // Without another provider the processor has everything.
        let asked = settings.providers.beside_cpu().next().is_some();
        let shares = if asked { shares(&session).map_err(other)? } else { Vec::new() };
        judge(path, settings, &shares)?;
        let inputs = session.inputs().iter().map(Port::new).collect();
        let outputs = session.outputs().iter().map(Port::new).collect();
        Ok(Self {
            session,
            signature: Signature { inputs, outputs },
            attached,
            shares,
            profile,
            running: Duration::ZERO,
            packing: None,
            kernels,
        })
    }

    /// The providers that it has, in order of preference.
    #[must_use]
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// How it came to its weights, where [`SessionSettings::packed`] says that they are kept.
    #[must_use]
    pub fn packing(&self) -> Option<&Packing> {
        self.packing.as_ref()
    }

    /// Whose kernels multiply with its quantized matrices.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Who took which operators; empty when nothing beside the processor was asked for.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// Ends watching, and tells who ran how many nodes of which kind in one of so many runs.
    ///
    /// # Errors
    /// [`ReadProfileError`], [`ReadProfileError::None`] for a session that was not watched.
    pub(crate) fn profile(&mut self, runs: usize) -> Result<Vec<Share>, ReadProfileError> {
        let Some(_folder) = self.profile.take() else {
            return Err(ReadProfileError::None("the session was not watched".to_owned()));
        };
        let path = self.session.end_profiling().map_err(|error| ReadProfileError::None(error.to_string()))?;
        read_profile(Path::new(&path), runs)
    }

    /// What goes in and what comes out.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// How long all runs took so far, seen from here. What a caller takes beyond that is its own.
    #[must_use]
    pub fn time_in_runs(&self) -> Duration {
        self.running
    }

    /// A handle that ends runs of this graph; see [`Stop`].
    ///
    /// # Errors
    /// [`RunError::Failed`] when there is no memory for it.
    pub fn stop_handle(&self) -> Result<Stop, RunError> {
        let options = RunOptions::new().map_err(|error| RunError::Failed(error.to_string()))?;
        Ok(Stop { options: Arc::new(options) })
    }

    /// Runs the graph. Inputs are only looked at; outputs are new, in the order of [`Session::signature`].
    ///
    /// # Errors
    /// [`RunError::Stopped`] after [`Stop::stop`]; the inputs are then as they were.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)], stop: &Stop) -> Result<Vec<Tensor>, RunError> {
        let inputs = inputs.iter().map(|(name, tensor)| (Cow::from(*name), SessionInputValue::from(&tensor.value)));
        let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = inputs.collect();
        let began = Instant::now();
        let outcome = self.session.run_with_options::<_, 0>(inputs, &*stop.options);
        self.running += began.elapsed();
        let outputs = outcome.map_err(|error| failed(&error))?;
        let tensor = |(name, value): (&str, ort::value::DynValue)| match value.downcast() {
            Ok(value) => Ok(Tensor { value }),
            Err(_) => Err(RunError::NoOutput(name.to_owned())),
        };
        outputs.into_iter().map(tensor).collect()
    }
}

/// The settings for a graph given as bytes, whose weights lie beside the file `path`.
fn beside(path: &Path, settings: &SessionSettings) -> SessionSettings {
    let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let mut settings = settings.clone();
    settings.entries.push((WEIGHTS_FOLDER.to_owned(), folder));
    settings
}

/// Why a run failed. ONNX Runtime has no code of its own for one that was stopped.
pub(crate) fn failed(error: &ort::Error) -> RunError {
    if error.message().contains("terminate flag") { RunError::Stopped } else { RunError::Failed(error.to_string()) }
}

/// Gives the session its providers. One that cannot be had is left out where that is allowed, and said so.
fn with_providers(
    runtime: &Runtime,
    mut builder: SessionBuilder,
    settings: &SessionSettings,
) -> Result<(SessionBuilder, Vec<Attached>), OpenSessionError> {
    let mut attached = Vec::new();
    // The processor comes last, named or not: what is left over goes to it in any case, and so it gets its settings.
    for wanted in settings.providers.beside_cpu().chain([Wanted::any(Provider::Cpu)]) {
        let (back, outcome) = attach(runtime, builder, wanted, settings);
        builder = back;
        match outcome {
            Ok(one) => attached.push(one),
            Err(reason) if settings.providers.fallback && wanted.provider != Provider::Cpu => {
                tracing::warn!(provider = %wanted, %reason, "the provider cannot be used, and hob goes on without it");
            }
            Err(reason) => return Err(OpenSessionError::Provider { provider: wanted, reason: reason.to_string() }),
        }
    }
    Ok((builder, attached))
}

/// Whether every provider does its part of a graph. Whatever goes to the processor is said. One that takes nothing is at
/// fault only where something was left for it, and went to those that come after it.
fn judge(path: &Path, settings: &SessionSettings, shares: &[Share]) -> Result<(), OpenSessionError> {
    let providers = &settings.providers;
    if providers.beside_cpu().next().is_none() {
        return Ok(());
    }
    let on_cpu = Share::of(shares, Provider::Cpu);
    let who = told(shares);
    let graph = path.display();
    let all: usize = shares.iter().map(Share::nodes).sum();
    let mut before = 0;
    let idle = providers.beside_cpu().find(|wanted| {
        let took = Share::of(shares, wanted.provider);
        before += took;
        took == 0 && before < all
    });
    if let Some(provider) = idle {
        if !providers.fallback {
            return Err(OpenSessionError::TookNothing { path: path.to_owned(), provider, shares: shares.to_vec() });
        }
        tracing::warn!(%provider, on_cpu, %graph, who, "the provider takes nothing, and hob goes on without it");
    } else if on_cpu > 0 && !providers.name_cpu() {
        if !providers.fallback {
            return Err(OpenSessionError::LeftOver { path: path.to_owned(), shares: shares.to_vec() });
        }
        tracing::warn!(on_cpu, %graph, who, "operators are left for the processor, which was not asked for");
    } else {
        tracing::info!(on_cpu, %graph, who, "the providers have divided a graph");
    }
    Ok(())
}

fn told(shares: &[Share]) -> String {
    shares.iter().map(Share::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn configured(
    runtime: &Runtime,
    settings: &SessionSettings,
    profile: Option<&ProfileFolder>,
) -> Result<SessionBuilder, ort::Error> {
    let crew = settings.crew();
    let mut builder = ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // A session is one device's: a provider enters only through the settings.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_no_environment_execution_providers()?
        .with_intra_threads(crew.threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(settings.spinning)?
        .with_inter_op_spinning(settings.spinning)?
        .with_memory_pattern(settings.memory_pattern)?
        .with_log_level(ort::logging::LogLevel::Warning)?;
    if let Some(affinities) = crew.affinities() {
        builder = builder.with_config_entry("session.intra_op_thread_affinities", &affinities)?;
    }
    for (key, value) in &settings.entries {
        builder = builder.with_config_entry(key, value)?;
    }
    if settings.providers.beside_cpu().next().is_some() {
        builder = builder.with_config_entry(RECORD, "1")?;
    }
    if let Some(folder) = profile {
        builder = builder.with_profiling(folder.prefix())?;
    }
    Ok(builder)
}

fn refused(path: &Path, code: ort::ErrorCode, message: &str) -> OpenSessionError {
    let (path, reason) = (path.to_owned(), message.to_owned());
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["xternal data", "xternal initializer", "_data"]) {
        OpenSessionError::Weights { path, reason }
    } else if says(&["opset", "not a registered function/op", "NOT_IMPLEMENTED", "Could not find an implementation"])
        || code == ort::ErrorCode::NotImplemented
    {
        OpenSessionError::Operators { path, reason }
    } else if code == ort::ErrorCode::InvalidProtobuf
        || code == ort::ErrorCode::NoModel
        || says(&["Protobuf", "ModelProto"])
    {
        OpenSessionError::NotAGraph { path, reason }
    } else {
        OpenSessionError::Other { path, reason }
    }
}

/// `graph.onnx_data`, as the weights beside `graph.onnx` are called.
fn data_name(path: &Path) -> String {
    format!("{}_data", path.file_name().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a graph that was divided like this.
    fn judged(order: &[&str], fallback: bool, divided: &[(&str, &str)]) -> Result<(), String> {
        let order = order.iter().map(|wanted| wanted.parse().unwrap()).collect();
        let providers = Providers { order, fallback, ..Providers::default() };
        let settings = SessionSettings { providers, ..SessionSettings::default() };
        let taken = divided.iter().map(|(provider, operator)| ((*provider).to_owned(), (*operator).to_owned()));
        judge(Path::new("graph.onnx"), &settings, &Share::gather(taken)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_provider_that_takes_nothing_is_an_error_unless_it_may() {
        let on_cpu = [("cpu", "MatMul"), ("cpu", "Add")];
        assert_eq!(
            judged(&["qnn", "cpu"], false, &on_cpu).unwrap_err(),
            "the provider 'qnn' takes nothing of graph.onnx; what there is: cpu 2 (Add, MatMul). Take it out of `[model] \
             providers`, or set `fallback = true` there to go on without it"
        );
        assert_eq!(judged(&["qnn", "cpu"], true, &on_cpu), Ok(()));
        // Behind one that takes all, nothing is left to take.
        let on_tensorrt = [("tensorrt", "MatMul")];
        assert_eq!(judged(&["tensorrt", "cuda", "cpu"], false, &on_tensorrt), Ok(()));
        assert!(judged(&["cuda", "tensorrt", "cpu"], false, &on_tensorrt).is_err());
    }

    #[test]
    fn the_processor_takes_what_is_left_only_when_it_is_named() {
        let divided = [("openvino", "MatMul"), ("cpu", "GroupQueryAttention")];
        assert_eq!(judged(&["openvino", "cpu"], false, &divided), Ok(()));
        assert_eq!(judged(&["openvino"], true, &divided), Ok(()));
        let refused = judged(&["openvino"], false, &divided).unwrap_err();
        assert!(refused.contains("openvino 1 (MatMul), cpu 1 (GroupQueryAttention). Add 'cpu'"), "{refused}");
        assert_eq!(judged(&["cpu"], false, &[]), Ok(()));
    }
}
