//! `ecaf directory`.

use std::process::ExitCode;

/// Build, sign, verify and read the scheme's directory
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
