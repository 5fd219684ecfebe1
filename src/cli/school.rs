//! `ecaf school`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::{Failure, end};
use super::say::Say;
use crate::config;

/// Say something about a referral that this school sent
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  ecaf status 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10       what was said, and who is waited for
  ecaf school read 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10
  ecaf school challenge --draft > challenge.jsonc"
)]
pub struct Args {
    /// Configuration; see deploy/school.toml
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Say(Say<false>),
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let Command::Say(say) = args.command;
    if say.is_draft() {
        return say.print_draft();
    }
    match config::load_school(&args.config) {
        Ok(settings) => say.run(&settings),
        Err(mistakes) => end(Err(Failure::usage(mistakes))),
    }
}
