//! `ecaf pki`.

use std::process::ExitCode;

/// Run the scheme's certificate authority
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
