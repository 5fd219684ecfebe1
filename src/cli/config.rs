//! `ecaf config`.

use std::process::ExitCode;

/// Check configuration files
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
