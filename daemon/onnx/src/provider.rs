//! What carries out a graph's operators.

use ort::ep;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// An ONNX Runtime execution provider.
///
/// To add one: a variant and its name here, an arm in `Provider::register` that ends in `error_on_failure`, its cargo
/// feature of `ort`, and a line in `configs/hob.toml`. A provider that was asked for and cannot be had is an error and
/// never the CPU in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Provider {
    /// The processor: every operator, on every board.
    #[default]
    Cpu,
}

/// A provider that hob does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no provider '{0}': this build of hob has 'cpu'")]
pub struct UnknownProvider(pub String);

impl Provider {
    /// The providers to register, in order of preference. `arena` is the CPU's, which also carries what another
    /// provider leaves over.
    pub(crate) fn register(self, arena: bool) -> Vec<ep::ExecutionProviderDispatch> {
        match self {
            Self::Cpu => vec![ep::CPU::default().with_arena_allocator(arena).build().error_on_failure()],
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        if name.eq_ignore_ascii_case("cpu") { Ok(Self::Cpu) } else { Err(UnknownProvider(name.to_owned())) }
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
    fn a_provider_that_is_not_there_is_an_error_and_not_the_cpu() {
        assert_eq!("CPU".parse(), Ok(Provider::Cpu));
        let refused = "tpu".parse::<Provider>().unwrap_err();
        assert_eq!(refused.to_string(), "there is no provider 'tpu': this build of hob has 'cpu'");
    }
}
