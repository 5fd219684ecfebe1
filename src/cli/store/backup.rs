//! `ecaf store backup` and `ecaf store restore`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::json;

use super::bar;
use crate::app::{self, OpenStore, SealedStore};
use crate::cli::failure::{Failure, print_json};
use crate::effects::{Clock, SystemClock};
use crate::store::CheckReport;
use crate::store::sealing::upkeep::{self, Upkeep};
use crate::store::sealing::{Plan, RingFile};
use crate::store::sqlite::{CopyFault, Draft, backup};

/// Copy the store while it is in use, and check the copy. It holds ciphertext only: the key ring and the
/// KEK are not in it and need backups of their own, apart from it
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to write; nothing is ever overwritten
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Put a backup where the configuration says that the store is. Refused if there is a store already.
/// What was erased since the backup was made does not come back
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn back_up(sealed: &SealedStore, args: &Backup) -> Result<ExitCode, Failure> {
    let from = sealed.file().map_err(Failure::usage)?;
    let here = |fault: CopyFault| refused(&args.to, fault);
    let total = backup::size(from).map_err(Failure::fault)?;
    let draft = backup::begin(&args.to).map_err(here)?;
    watched(&draft, total, || backup::copy(from, &draft)).map_err(here)?;
    // Checked before it has its name: what lies there under that name can be relied on.
    let (report, _) = look_into(sealed, &draft, false)?;
    sound(&report)?;
    draft.keep().map_err(|e| here(e.into()))?;
    if args.json {
        print_json(&json!({
            "file": args.to.display().to_string(),
            "referrals": report.referrals,
            "documents": report.documents,
            "erased": report.erased,
            "tokens": report.tokens,
        }));
    } else {
        println!("{}: {}", args.to.display(), counts(&report));
        println!("checked; sealed under the key ring {}", sealed.keys.ring.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(sealed: &SealedStore, args: &Restore) -> Result<ExitCode, Failure> {
    let to = sealed.file().map_err(Failure::usage)?;
    // No key changes hands and nothing is erased while the backup is brought to what the ring says.
    let _lock = RingFile::at(&sealed.keys.ring).lock().map_err(Failure::fault)?;
    let total = std::fs::metadata(&args.from).map_err(|e| refused(&args.from, e.into()))?.len();
    let progress = bar(total, true);
    let draft = backup::restore(&args.from, to).map_err(|fault| refused(to, fault))?;
    progress.finish_and_clear();
    let (report, followed) = look_into(sealed, &draft, true)?;
    sound(&report)?;
    draft.keep().map_err(|e| refused(to, e.into()))?;
    let Followed { upkeep, lost } = followed;
    if args.json {
        let lost = lost.forward.iter().map(|(place, why)| {
            let id = place.referral_id.to_string();
            json!({ "referral_id": id, "document": place.part(), "kept_because": why.as_str() })
        });
        print_json(&json!({
            "store": to.display().to_string(),
            "referrals": report.referrals,
            "documents": report.documents,
            "erased": report.erased,
            "erased_by_restore": upkeep.purged,
            "lost": lost.collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: {}", to.display(), counts(&report));
    println!(
        "{} documents were erased after this backup was made, and are not back",
        upkeep.purged
    );
    for (place, why) in &lost.forward {
        let (id, part) = (place.referral_id, place.part());
        println!(
            "NOT READABLE ANY MORE: {id} {part}, although when the backup was made {}; the \
             school and the authority have it",
            why.as_str()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What a restored copy had to give up.
struct Followed {
    upkeep: Upkeep,
    lost: Plan,
}

/// Opens a draft, takes out of it what the ring says is erased if `follow`, checks it and closes it.
fn look_into(
    sealed: &SealedStore,
    draft: &Draft,
    follow: bool,
) -> Result<(CheckReport, Followed), Failure> {
    let vault = sealed.vault().map_err(Failure::fault)?;
    let store: OpenStore = sealed.open_at(draft.path(), vault.clone()).map_err(Failure::fault)?;
    let looked = app::block_on(async {
        let mut followed = Followed { upkeep: Upkeep::default(), lost: Plan::default() };
        if follow {
            let retention = store.retention();
            followed.lost = upkeep::unreadable(retention, &vault).await?;
            followed.upkeep = upkeep::run(retention, &vault, SystemClock.now(), |_| {}).await?;
        }
        Ok((store.check().await?, followed))
    });
    looked.map_err(Failure::fault)?.map_err(|fault: crate::store::StoreFault| Failure::fault(fault))
}

fn sound(report: &CheckReport) -> Result<(), Failure> {
    if report.is_sound() {
        return Ok(());
    }
    let first: Vec<_> = report.problems.iter().take(20).map(String::as_str).collect();
    let count = report.problems.len();
    Err(Failure::no(format_args!(
        "the copy is not sound and was not kept; {count} problems:\n{}",
        first.join("\n")
    )))
}

fn counts(report: &CheckReport) -> String {
    format!(
        "{} referrals, {} documents, {} erased, {} tokens",
        report.referrals, report.documents, report.erased, report.tokens
    )
}

fn refused(path: &Path, fault: CopyFault) -> Failure {
    let text = format!("{}: {fault}", path.display());
    match fault {
        CopyFault::Io(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Failure::no(text),
        _ => Failure::fault(text),
    }
}

/// Runs `work` and shows meanwhile how the draft grows.
fn watched<T>(draft: &Draft, total: u64, work: impl FnOnce() -> T) -> T {
    let progress = bar(total, true);
    std::thread::scope(|scope| {
        let (ended, end) = channel::<()>();
        let path = draft.path();
        let shown = progress.clone();
        scope.spawn(move || {
            while end.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
                shown.set_position(std::fs::metadata(path).map_or(0, |found| found.len()));
            }
        });
        let done = work();
        drop(ended);
        progress.finish_and_clear();
        done
    })
}
