//! `ecaf authority`.

use std::process::ExitCode;

/// Run an authority's receiving endpoint, or read its inbox
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(3)
}
