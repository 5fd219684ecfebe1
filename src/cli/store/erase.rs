//! `ecaf store erase`.

use std::process::ExitCode;

use serde_json::json;

use super::{bar, open};
use crate::app::{self, SealedStore};
use crate::cli::failure::{Failure, print_json};
use crate::cli::keys::complete;
use crate::domain::ids::ReferralId;
use crate::domain::retention::{ErasureReason, Period};
use crate::domain::time::Timestamp;
use crate::effects::{Clock, SystemClock};
use crate::store::sealing::{EraseFault, Eraser, Plan, RingFile};

/// Erase the documents of a month whose time is over, or of one referral. Without --yes it lists what
/// would happen and changes nothing
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Args {
    /// Destroy the key of this month, such as 2025-10. What is open, held or not delivered is carried
    /// forward first
    #[arg(long, group = "which", value_name = "MONTH")]
    period: Option<Period>,
    /// Erase all documents of this referral, now and everywhere here
    #[arg(long, group = "which", value_name = "ID", requires = "why")]
    referral: Option<ReferralId>,
    /// The reason: misidentified (wrong child or wrong recipient)
    #[arg(long, value_name = "REASON", value_parser = ["misidentified"], conflicts_with = "period")]
    why: Option<String>,
    /// Do it; it cannot be undone
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(sealed: &SealedStore, args: &Args) -> Result<ExitCode, Failure> {
    let now = SystemClock.now();
    let file = RingFile::at(&sealed.keys.ring);
    let lock = file.lock().map_err(Failure::fault)?;
    let keks = sealed.keks().map_err(Failure::fault)?;
    let vault = sealed.vault().map_err(Failure::fault)?;
    let store = open(sealed)?;
    let eraser =
        Eraser { store: store.retention(), vault: &vault, file: &file, keks: &keks, lock: &lock };
    let erased = app::block_on(async {
        match (args.period, args.referral) {
            (Some(period), _) => erase_period(sealed, &eraser, period, args, now).await,
            (_, Some(referral)) => erase_referral(sealed, &eraser, referral, args, now).await,
            // clap asks for one of them.
            _ => Err(Failure::usage("--period or --referral")),
        }
    });
    erased.map_err(Failure::fault)?
}

async fn erase_period(
    sealed: &SealedStore,
    eraser: &Eraser<'_>,
    period: Period,
    args: &Args,
    now: Timestamp,
) -> Result<ExitCode, Failure> {
    let due = sealed.keys.retention.due(period);
    if now < due {
        return Err(Failure::no(format_args!(
            "{period} is kept until {}: keep_months is {}",
            due.utc_date(),
            sealed.keys.retention.keep_months
        )));
    }
    let plan = eraser.plan(period).await.map_err(failure)?;
    if !args.yes {
        tell_plan(period, &plan, args.json);
        return Ok(ExitCode::SUCCESS);
    }
    let progress = bar(plan.erase + plan.forward.len() as u64, false);
    let step = |count| progress.inc(count);
    let erased = eraser.erase_period(period, now, step).await.map_err(failure)?;
    progress.finish_and_clear();
    if args.json {
        print_json(&json!({
            "period": period.to_string(),
            "keys_destroyed": erased.keys,
            "documents_erased": erased.purged,
            "documents_carried_forward": erased.forwarded,
            "complete_after": sealed.keys.retention.complete(now).utc_date().to_string(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{period}: {} keys destroyed, {} documents erased, {} carried forward",
        erased.keys, erased.purged, erased.forwarded
    );
    if erased.forwarded > 0 {
        println!("make a backup of the store now: older ones cannot give those back");
    }
    complete(sealed, now);
    Ok(ExitCode::SUCCESS)
}

fn tell_plan(period: Period, plan: &Plan, json: bool) {
    if json {
        let forward = plan.forward.iter().map(|(place, why)| {
            let id = place.referral_id.to_string();
            json!({ "referral_id": id, "document": place.part(), "because": why.as_str() })
        });
        return print_json(&json!({
            "period": period.to_string(),
            "erase": plan.erase,
            "forward": forward.collect::<Vec<_>>(),
            "done": false,
        }));
    }
    for (place, why) in &plan.forward {
        println!("carried forward: {} {}, {}", place.referral_id, place.part(), why.as_str());
    }
    println!(
        "{period}: {} documents would be erased, {} carried forward; nothing is changed without --yes",
        plan.erase,
        plan.forward.len()
    );
}

async fn erase_referral(
    sealed: &SealedStore,
    eraser: &Eraser<'_>,
    referral: ReferralId,
    args: &Args,
    now: Timestamp,
) -> Result<ExitCode, Failure> {
    let found = eraser.documents_of(referral).await.map_err(failure)?;
    if found.is_empty() {
        return Err(Failure::no("this referral has no document here"));
    }
    let unsettled: u32 = found.first().map_or(0, |document| document.facts.unsettled);
    if !args.yes {
        println!(
            "{referral}: {} documents would be erased and {unsettled} deliveries ended; nothing is \
             changed without --yes",
            found.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let why = args.why.as_deref().and_then(ErasureReason::from_name);
    let why = why.ok_or_else(|| Failure::usage("--why misidentified"))?;
    let count = eraser.erase_referral(referral, why, now).await.map_err(failure)?;
    if args.json {
        print_json(&json!({
            "referral_id": referral.to_string(),
            "documents_erased": count,
            "deliveries_ended": unsettled,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{referral}: {count} documents erased, {unsettled} deliveries ended");
    println!(
        "older backups of the store still hold them, sealed; to close those too: \"ecaf keys rotate\" and \
         \"ecaf keys retire\" for the month"
    );
    if sealed.kind == crate::store::sealing::StoreKind::Gateway {
        println!("tell each authority that has it: \"ecaf store erase\" works there too");
    }
    Ok(ExitCode::SUCCESS)
}

fn failure(fault: EraseFault) -> Failure {
    match fault {
        EraseFault::NotEnded(_) | EraseFault::Unmovable(_) => Failure::no(fault),
        EraseFault::Store(_) | EraseFault::Ring(_) => Failure::fault(fault),
    }
}
