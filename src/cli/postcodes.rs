//! `ecaf postcodes`.

use std::process::ExitCode;

/// Build and import postcode tables
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
