//! `ecaf gateway`.

use std::process::ExitCode;

/// Run a gateway of the exchange
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
