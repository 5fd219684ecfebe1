//! `ecaf demo`.

use std::process::ExitCode;

/// Show the whole exchange on this machine, with a throw-away scheme
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
