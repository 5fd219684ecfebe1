//! `ecaf export`.

mod all;
mod chronology;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

pub(super) use all::{ids, inbox};

use super::failure::{Failure, end};
use crate::config::MemberSettings;
use crate::domain::clocks::Setting;
use crate::party::member::Member;
use crate::protocol::directory::accept;
use crate::protocol::trust::{Chain, Purpose};

/// Write what happened as documents that stand by themselves: for a court, an inspector, an archive
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Chronology(Box<chronology::Args>),
    All(Box<all::Args>),
}

/// Runs the subcommand.
pub(super) fn run(args: Args) -> ExitCode {
    end(match args.command {
        Command::Chronology(args) => chronology::run(&args),
        Command::All(args) => all::run(&args),
    })
}

/// The calendars that clocks count by: of the signed directory `file`, else of the configuration's; none
/// without one, and what rests on days that nobody has told says so.
pub(super) fn setting(
    member: &Member,
    settings: &MemberSettings,
    file: Option<&Path>,
) -> Result<Setting, Failure> {
    let Some(file) = file.or(settings.directory.as_deref()) else { return Ok(Setting::default()) };
    let name =
        |why: &dyn std::fmt::Display| Failure::usage(format_args!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|fault| name(&fault))?;
    let (at, store) = (member.clock.now(), member.trust.store());
    let verify = |chain: &Chain| store.verify(chain, Purpose::Signing, at);
    let directory = accept(&bytes, verify, at, None).map_err(|refusal| name(&refusal))?;
    Ok(directory.calendars().clone())
}
