//! `ecaf referral`.

use std::process::ExitCode;

/// Start and check referrals
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
