//! Exit codes. Scripts and the unit file depend on them.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// Something went wrong on the way; trying again may help.
    Failed = 1,
    /// The command was understood and not carried out: denied, refused, or not sure enough.
    NotDone = 2,
    /// The command line is wrong (sysexits: EX_USAGE; clap ends with it too).
    Usage = 64,
    /// Settings, inventory, model or plugins are wrong: starting again changes nothing (sysexits: EX_CONFIG).
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
