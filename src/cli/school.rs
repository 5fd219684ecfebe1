//! `ecaf school`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::{Failure, end};
use super::say::Say;
use crate::config::{self, MemberSettings};
use crate::domain::ids::ReferralId;
use crate::effects::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::school::compose::{Change, next_version};
use crate::school::state;

/// Say something about a referral that this school sent
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  ecaf status 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10       what was said, and who is waited for
  ecaf school read 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10
  ecaf school challenge --draft > challenge.jsonc
  ecaf school supplement 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 > more.json"
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
    Supplement(Supplement),
    #[command(flatten)]
    Say(Say<false>),
}

/// Start the next version of a referral: a supplement, or a correction
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Starts from the newest version that this machine sent. Nothing is overwritten: every version
is kept, signed and delivered like the first.

Examples:
  ecaf school supplement 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 > more.json   (then change it)
  ecaf submit more.json"
)]
struct Supplement {
    /// The referral
    referral: ReferralId,
    /// It corrects what was wrong, rather than adding what was missing
    #[arg(long)]
    correction: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    if let Command::Say(say) = &args.command
        && say.is_draft()
    {
        return say.print_draft();
    }
    match (config::load_school(&args.config), args.command) {
        (Ok(settings), Command::Say(say)) => say.run(&settings),
        (Ok(settings), Command::Supplement(what)) => end(supplement(&settings, &what)),
        (Err(mistakes), _) => end(Err(Failure::usage(mistakes))),
    }
}

fn supplement(settings: &MemberSettings, what: &Supplement) -> Result<ExitCode, Failure> {
    let kept = state::newest(&settings.state_dir, what.referral).map_err(Failure::fault)?;
    let missing = || Failure::no("this machine has not sent that referral");
    let (_, folder) = kept.ok_or_else(missing)?;
    let document = folder.document().map_err(Failure::fault)?.ok_or_else(missing)?;
    let change = if what.correction { Change::Correction } else { Change::Supplement };
    let mut salt = [0; 16];
    SystemEntropy::default().fill(&mut salt).map_err(Failure::fault)?;
    let text = next_version(&document, change, SystemClock.now(), salt);
    println!("{}", text.ok_or_else(|| Failure::fault("the kept document is not a referral"))?);
    Ok(ExitCode::SUCCESS)
}
