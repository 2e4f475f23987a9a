//! What carries out a graph's operators: ONNX Runtime's execution providers, as far as hob knows them.
//!
//! Some are part of the library, others are plugins with a library of their own ([`find_plugin`]). Whichever was asked for
//! has to be there and to take operators: hob hears from ONNX Runtime who took which ([`Share`]) and never runs on the
//! processor in silence.

mod attach;
mod locate;
mod plugin;
mod profile;
mod sample;
mod shares;
mod standing;
mod trial;
mod wanted;

pub use attach::Attached;
pub use locate::find_plugin;
pub use plugin::LoadPluginError;
pub use profile::ReadProfileError;
pub use shares::Share;
pub use standing::{Found, Standing};
pub use trial::{Difference, TOLERANCE, Trial, TrialError, try_provider};
pub use wanted::{DeviceKind, ParseWantedError, Wanted};

pub(crate) use attach::attach;
pub(crate) use plugin::Plugin;
pub(crate) use profile::{ProfileFolder, read as read_profile};
pub(crate) use shares::{RECORD, shares};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An ONNX Runtime execution provider.
///
/// To add one: a variant, its line in [`Provider::ALL`] and in each `match` that the compiler then names, and a section in
/// `docs/how-to/providers.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Provider {
    /// The processor: every operator, on every board.
    #[default]
    Cpu,
    /// Intel's processors, graphics and neural units.
    OpenVino,
    /// Graphics by Vulkan.
    WebGpu,
    /// Qualcomm's neural unit.
    Qnn,
    /// NVIDIA's graphics.
    Cuda,
    /// NVIDIA's graphics, with graphs compiled for them.
    TensorRt,
}

/// A provider that hob does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no provider '{name}', only {}{}", Provider::names(), nearest(name))]
pub struct UnknownProvider {
    /// What was asked for.
    pub name: String,
}

impl Provider {
    /// All of them, the processor first.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::OpenVino, Self::WebGpu, Self::Qnn, Self::Cuda, Self::TensorRt];

    /// As settings and people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::OpenVino => "openvino",
            Self::WebGpu => "webgpu",
            Self::Qnn => "qnn",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// As ONNX Runtime calls it: in the library itself, then in a plugin that goes by another name.
    #[must_use]
    pub(crate) fn canonical(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &["CPUExecutionProvider"],
            Self::OpenVino => &["OpenVINOExecutionProvider"],
            Self::WebGpu => &["WebGpuExecutionProvider"],
            Self::Qnn => &["QNNExecutionProvider"],
            Self::Cuda => &["CUDAExecutionProvider", "CudaPluginExecutionProvider"],
            Self::TensorRt => &["TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"],
        }
    }

    /// hob's name for what ONNX Runtime calls `canonical`; that name itself for one that hob does not know.
    pub(crate) fn known_as(canonical: &str) -> String {
        let known = Self::ALL.into_iter().find(|provider| provider.canonical().contains(&canonical));
        known.map_or_else(|| canonical.to_owned(), |provider| provider.name().to_owned())
    }

    /// What to do when its library is not there.
    #[must_use]
    pub fn how_to_get(self) -> &'static str {
        match self {
            Self::Cpu => "every ONNX Runtime has it: run `make setup`",
            Self::OpenVino => {
                "on x86-64 run `make provider-openvino`, or take the plugin out of the Python package \
                 onnxruntime-ep-openvino, and name it with `[onnx.plugins] openvino`"
            }
            Self::WebGpu => {
                "take the plugin out of the Python package onnxruntime-ep-webgpu, and name it with `[onnx.plugins] webgpu`"
            }
            Self::Qnn => {
                "on aarch64 take the plugin out of the Python package onnxruntime-qnn, with the libraries beside it, and \
                 name it with `[onnx.plugins] qnn`"
            }
            Self::Cuda => {
                "name an ONNX Runtime that was built for CUDA with `[onnx] library` (the Python package onnxruntime-gpu has \
                 one; for a Jetson, build it or take NVIDIA's), or a plugin with `[onnx.plugins] cuda`"
            }
            Self::TensorRt => {
                "name an ONNX Runtime that was built for TensorRT with `[onnx] library`, or take the plugin out of the Python \
                 package onnxruntime-ep-nv-tensorrt-rtx-cu13, and name it with `[onnx.plugins] tensorrt`"
            }
        }
    }

    fn names() -> String {
        Self::ALL.map(|provider| format!("'{}'", provider.name())).join(", ")
    }
}

/// What may have been meant, as the end of a message.
fn nearest(name: &str) -> String {
    let distance = |provider: &Provider| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), provider.name());
    let near = Provider::ALL.into_iter().min_by_key(distance).filter(|provider| distance(provider) <= 3);
    near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Provider> for &'static str {
    fn from(provider: Provider) -> Self {
        provider.name()
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        let known = Self::ALL.into_iter().find(|provider| provider.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownProvider { name: name.to_owned() })
    }
}

impl TryFrom<String> for Provider {
    type Error = UnknownProvider;

    fn try_from(name: String) -> Result<Self, UnknownProvider> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_provider_names_the_nearest_known_one() {
        assert_eq!("CPU".parse(), Ok(Provider::Cpu));
        assert_eq!("TensorRT".parse(), Ok(Provider::TensorRt));
        let all = "'cpu', 'openvino', 'webgpu', 'qnn', 'cuda', 'tensorrt'";
        let refused = "openvnio".parse::<Provider>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("there is no provider 'openvnio', only {all}; did you mean 'openvino'?")
        );
        let refused = "coral-edge".parse::<Provider>().unwrap_err();
        assert_eq!(refused.to_string(), format!("there is no provider 'coral-edge', only {all}"));
    }

    #[test]
    fn a_provider_goes_by_one_name_whatever_library_it_came_in() {
        assert_eq!(Provider::known_as("NvTensorRTRTXExecutionProvider"), "tensorrt");
        assert_eq!(Provider::known_as("VitisAIExecutionProvider"), "VitisAIExecutionProvider");
    }
}
