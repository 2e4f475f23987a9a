//! What a tool acts on: one device, or all of a kind.

use crate::error::ToolError;
use crate::tool::Arguments;

/// What a tool acts on, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One device, by name or alias.
    Device(String),
    /// All devices of a kind.
    Group {
        /// `light`, `cover`, …
        kind: String,
        /// In this room or on this floor only.
        area: Option<String>,
    },
}

impl Target {
    /// Reads `device`, `kind` and `area`.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`] when neither a device nor a kind is given.
    pub fn from_arguments(arguments: &mut Arguments) -> Result<Self, ToolError> {
        if let Some(device) = arguments.take::<Option<String>>("device")? {
            return Ok(Self::Device(device));
        }
        let area = arguments.take("area")?;
        match arguments.take::<Option<String>>("kind")? {
            Some(kind) => Ok(Self::Group { kind, area }),
            None => Err(ToolError::InvalidArguments("give 'device', or 'kind' with or without 'area'".to_owned())),
        }
    }
}
