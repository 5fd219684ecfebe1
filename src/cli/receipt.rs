//! `ecaf receipt`.

use std::process::ExitCode;

/// Verify receipts offline
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
