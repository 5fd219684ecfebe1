//! `ecaf status`.

use std::process::ExitCode;

/// Show where a referral is
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
