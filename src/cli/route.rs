//! `ecaf route`.

use std::process::ExitCode;

/// Explain which authority is responsible
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
