//! `ecaf submit`.

use std::process::ExitCode;

/// Sign and send a referral, and store its receipt
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
