//! A provider as it is asked for: by its name, or by its name and the kind of device.

use super::{Provider, UnknownProvider};
use ort::memory::DeviceType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a provider can run on. In the order in which hob takes one when none is named: whoever asks for a provider beside
/// the processor wants its graphics first, and a neural unit seldom takes shapes that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Graphics.
    Gpu,
    /// A neural unit.
    Npu,
    /// The processor.
    Cpu,
}

impl DeviceKind {
    const ALL: [Self; 3] = [Self::Gpu, Self::Npu, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Npu => "npu",
            Self::Cpu => "cpu",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<DeviceType> for DeviceKind {
    type Error = ();

    fn try_from(kind: DeviceType) -> Result<Self, ()> {
        if kind == DeviceType::GPU {
            Ok(Self::Gpu)
        } else if kind == DeviceType::NPU {
            Ok(Self::Npu)
        } else if kind == DeviceType::CPU {
            Ok(Self::Cpu)
        } else {
            Err(())
        }
    }
}

/// `openvino`, or `openvino:gpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wanted {
    /// Which provider.
    pub provider: Provider,
    /// On what; `None` for the first that it has, in the order of [`DeviceKind`].
    pub device: Option<DeviceKind>,
}

/// What cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseWantedError {
    /// No such provider.
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
    /// No such kind of device.
    #[error("there is no device '{device}' in '{asked}', only 'gpu', 'npu' and 'cpu'")]
    Device {
        /// What stands behind the colon.
        device: String,
        /// All of it.
        asked: String,
    },
    /// A device of a provider that has no choice.
    #[error("'{asked}': '{provider}' has one kind of device and is asked for by its name alone")]
    NoChoice {
        /// All of it.
        asked: String,
        /// The provider.
        provider: Provider,
    },
}

impl Wanted {
    /// On whatever it has.
    #[must_use]
    pub fn any(provider: Provider) -> Self {
        Self { provider, device: None }
    }
}

impl From<Provider> for Wanted {
    fn from(provider: Provider) -> Self {
        Self::any(provider)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Some(device) => write!(f, "{}:{device}", self.provider),
            None => write!(f, "{}", self.provider),
        }
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> Self {
        wanted.to_string()
    }
}

impl FromStr for Wanted {
    type Err = ParseWantedError;

    fn from_str(asked: &str) -> Result<Self, ParseWantedError> {
        let Some((provider, device)) = asked.split_once(':') else { return Ok(Self::any(asked.trim().parse()?)) };
        let provider: Provider = provider.trim().parse()?;
        let device = device.trim();
        let known = DeviceKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(device));
        let known =
            known.ok_or_else(|| ParseWantedError::Device { device: device.to_owned(), asked: asked.to_owned() })?;
        match provider {
            Provider::OpenVino | Provider::WebGpu | Provider::Qnn => Ok(Self { provider, device: Some(known) }),
            Provider::Cpu | Provider::Cuda | Provider::TensorRt => {
                Err(ParseWantedError::NoChoice { asked: asked.to_owned(), provider })
            }
        }
    }
}

impl TryFrom<String> for Wanted {
    type Error = ParseWantedError;

    fn try_from(asked: String) -> Result<Self, ParseWantedError> {
        asked.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_device_stands_behind_a_colon() {
        let wanted: Wanted = "openvino:NPU".parse().unwrap();
        assert_eq!(wanted, Wanted { provider: Provider::OpenVino, device: Some(DeviceKind::Npu) });
        assert_eq!("openvino".parse::<Wanted>().unwrap().device, None);
        assert_eq!(
            "openvino:tpu".parse::<Wanted>().unwrap_err().to_string(),
            "there is no device 'tpu' in 'openvino:tpu', only 'gpu', 'npu' and 'cpu'"
        );
        assert!(matches!("cuda:gpu".parse::<Wanted>(), Err(ParseWantedError::NoChoice { .. })));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_taken_as_it_is_written_or_refused(asked in ".{0,20}") {
            if let Ok(wanted) = asked.parse::<Wanted>() {
                prop_assert_eq!(wanted.to_string().parse::<Wanted>(), Ok(wanted));
            }
        }
    }
}
