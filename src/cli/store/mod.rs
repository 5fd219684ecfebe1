//! `ecaf store`.

mod backup;
mod copy;
mod database;
mod erase;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::failure::{Failure, end, print_json, print_table};
use crate::app::{self, OpenStore, SealedStore};
use crate::domain::ids::ReferralId;
use crate::effects::{Clock, SystemClock};
use crate::store::Hold;
use crate::store::sealing::RingFile;

/// Migrate, check, back up, restore and erase what a gateway or an authority has stored
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "All of it but copy works beside the running service; run it as the user of the service.

Exit codes: 0 done; 1 the answer is no; 2 wrong input; 3 a fault.

Examples:
  ecaf store migrate --config gateway.toml                PostgreSQL: before the first start, after an update
  ecaf store check --config gateway.toml
  ecaf store promote --config gateway.toml                PostgreSQL: after a replica became the primary
  ecaf store copy --config gateway.toml --to gateway-postgres.toml
  ecaf store backup --to /backup/gateway-2026-11-21.db --config gateway.toml
  ecaf store restore --from /backup/gateway-2026-11-21.db --config gateway.toml
  ecaf store close 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --config gateway.toml
  ecaf store hold 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --code court-17 --config gateway.toml
  ecaf store erase --period 2025-10 --config gateway.toml          what would be erased
  ecaf store erase --period 2025-10 --yes --config gateway.toml
  ecaf store erase --referral 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --why misidentified --yes"
)]
pub struct Args {
    /// Configuration of the gateway or authority
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/ecaf/gateway.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the PostgreSQL database's tables, or bring them to this program's version. Logs in as the
    /// role that owns them; processes that serve never change tables
    Migrate,
    /// Re-hash and cross-check everything that is stored
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// After a replica was promoted: advance the promotion epoch, so that the old primary is refused by
    /// everybody when it comes back. Run once, against the new primary
    Promote,
    Copy(copy::Copy),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Erase(erase::Args),
    /// Keep a referral's documents beyond their period until the hold is released
    Hold {
        /// The referral
        referral: ReferralId,
        /// Your own code for the reason: small letters, digits and hyphens, nobody's name
        #[arg(long, value_name = "CODE", value_parser = code)]
        code: String,
    },
    /// Take a hold away
    Release {
        /// The referral
        referral: ReferralId,
        /// The code of the hold
        #[arg(long, value_name = "CODE", value_parser = code)]
        code: String,
    },
    /// Mark a referral as closed: every child decided and filed in the case system. Only then may its
    /// documents be erased at the end of their period; a later version opens it again
    Close {
        /// The referral
        referral: ReferralId,
    },
    /// List holds
    Holds {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn code(text: &str) -> Result<String, &'static str> {
    let sound = Hold::is_code(text);
    sound.then(|| text.to_owned()).ok_or("1 to 40 small letters, digits and hyphens")
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(attempt(args))
}

fn attempt(args: Args) -> Result<ExitCode, Failure> {
    let sealed = SealedStore::configured(&args.config).map_err(Failure::usage)?;
    match args.command {
        Command::Migrate => database::migrate(&sealed),
        Command::Check { json } => database::check(&sealed, json),
        Command::Promote => database::promote(&sealed),
        Command::Copy(args) => copy::copy(&sealed, &args),
        Command::Backup(args) => backup::back_up(&sealed, &args),
        Command::Restore(args) => backup::restore(&sealed, &args),
        Command::Erase(args) => erase::run(&sealed, &args),
        Command::Holds { json } => {
            let store = open(&sealed)?;
            let holds = app::block_on(store.retention().holds()).map_err(Failure::fault)?;
            list(&holds.map_err(Failure::fault)?, json);
            Ok(ExitCode::SUCCESS)
        }
        other => change(&sealed, other),
    }
}

/// Holds and closures decide about erasures, so they wait for one that is under way.
fn change(sealed: &SealedStore, command: Command) -> Result<ExitCode, Failure> {
    let _lock = RingFile::at(&sealed.keys.ring).lock().map_err(Failure::fault)?;
    let store = open(sealed)?;
    let now = SystemClock.now();
    let retention = store.retention();
    let (done, words, missing) = app::block_on(async {
        let nothing = "there is no such referral here";
        Ok::<_, Failure>(match command {
            Command::Hold { referral, code } => {
                let hold = Hold { referral_id: referral, code, placed_at: now };
                let done = retention.hold(hold).await.map_err(Failure::fault)?;
                (done, "held: its documents are kept until the hold is released", nothing)
            }
            Command::Release { referral, code } => {
                let done = retention.release_hold(referral, code).await;
                let words = "released: there is no hold of this code on it";
                (done.map_err(Failure::fault)?, words, nothing)
            }
            Command::Close { referral } => {
                let done = retention.close(referral, now).await.map_err(Failure::fault)?;
                (done, "closed: its documents may be erased at the end of their period", nothing)
            }
            // Dealt with by the caller.
            _ => (false, "", nothing),
        })
    })
    .map_err(Failure::fault)??;
    if !done {
        return Err(Failure::no(missing));
    }
    println!("{words}");
    Ok(ExitCode::SUCCESS)
}

fn open(sealed: &SealedStore) -> Result<OpenStore, Failure> {
    let vault = sealed.vault().map_err(Failure::fault)?;
    sealed.open(vault).map_err(Failure::fault)
}

fn list(holds: &[Hold], json: bool) {
    if json {
        let all = holds.iter().map(|hold| {
            json!({
                "referral_id": hold.referral_id.to_string(),
                "code": hold.code,
                "placed_at": hold.placed_at.to_string(),
            })
        });
        return print_json(&all.collect::<Vec<_>>());
    }
    if holds.is_empty() {
        return println!("There are no holds.");
    }
    let rows = holds.iter().map(|hold| {
        vec![hold.referral_id.to_string(), hold.code.clone(), hold.placed_at.utc_date().to_string()]
    });
    print_table(&["REFERRAL", "HOLD", "SINCE"], &rows.collect::<Vec<_>>());
}

/// Progress on standard error, where that is a terminal.
pub(super) fn bar(total: u64, bytes: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = match bytes {
        true => "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}",
        false => "{msg} [{bar:30}] {pos}/{len} {eta}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
