//! One graph, loaded and ready to run.

use crate::library::Runtime;
use crate::port::{Port, Signature};
use crate::provider::Provider;
use crate::settings::SessionSettings;
use crate::stop::Stop;
use crate::tensor::{Tensor, TensorError};
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, SessionInputValue};
use std::borrow::Cow;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        provider: Provider,
        /// What ONNX Runtime says.
        reason: String,
    },
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
    session: ort::session::Session,
    signature: Signature,
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
        let mut builder = prepared(runtime, path, settings)?;
        let session = builder.commit_from_file(path).map_err(|error| refused(path, error.code(), error.message()))?;
        Ok(Self::new(session))
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
        let mut builder = prepared(runtime, path, settings)?;
        let session =
            builder.commit_from_memory(graph).map_err(|error| refused(path, error.code(), error.message()))?;
        Ok(Self::new(session))
    }

    fn new(session: ort::session::Session) -> Self {
        let inputs = session.inputs().iter().map(Port::new).collect();
        let outputs = session.outputs().iter().map(Port::new).collect();
        Self { session, signature: Signature { inputs, outputs } }
    }

    /// What goes in and what comes out.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
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
        let outputs = self.session.run_with_options::<_, 0>(inputs, &*stop.options).map_err(|error| {
            // ONNX Runtime has no code of its own for it.
            if error.message().contains("terminate flag") {
                RunError::Stopped
            } else {
                RunError::Failed(error.to_string())
            }
        })?;
        let tensor = |(name, value): (&str, ort::value::DynValue)| match value.downcast() {
            Ok(value) => Ok(Tensor { value }),
            Err(_) => Err(RunError::NoOutput(name.to_owned())),
        };
        outputs.into_iter().map(tensor).collect()
    }
}

fn prepared(runtime: &Runtime, path: &Path, settings: &SessionSettings) -> Result<SessionBuilder, OpenSessionError> {
    let other = |error: ort::Error| OpenSessionError::Other { path: path.to_owned(), reason: error.to_string() };
    let builder = configured(runtime, settings).map_err(other)?;
    builder
        .with_execution_providers(settings.provider.register(settings.arena))
        .map_err(|error| OpenSessionError::Provider { provider: settings.provider, reason: error.message().to_owned() })
}

fn configured(runtime: &Runtime, settings: &SessionSettings) -> Result<SessionBuilder, ort::Error> {
    let threads = settings.threads.map_or_else(crate::usable_cpus, NonZero::get);
    let mut builder = ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // A session is one device's: a provider enters only through the settings.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_no_environment_execution_providers()?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(settings.spinning)?
        .with_inter_op_spinning(settings.spinning)?
        .with_memory_pattern(settings.memory_pattern)?
        .with_log_level(ort::logging::LogLevel::Warning)?;
    for (key, value) in &settings.entries {
        builder = builder.with_config_entry(key, value)?;
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
