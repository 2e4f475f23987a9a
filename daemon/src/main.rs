//! The hob binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hob::cli::main().into()
}
