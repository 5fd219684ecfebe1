//! `ecaf store copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::bar;
use crate::app::{self, SealedStore};
use crate::cli::failure::{Failure, print_json};
use crate::store::copy::Doing;

/// Move the store into another database: SQLite into PostgreSQL, or back. Stop the service first; every
/// row is copied, read again on both sides and compared, and only then can the new store be served
/// from. Cut short, the same command goes on where it stopped. The old store stays as it is
#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// Configuration that names the new store, and the same key ring
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn copy(from: &SealedStore, args: &Copy) -> Result<ExitCode, Failure> {
    let to = SealedStore::configured(&args.to).map_err(Failure::usage)?;
    let progress = bar(0, false);
    let copied = app::block_on(from.copy_to(&to, |at| {
        progress.set_length(at.of);
        progress.set_position(at.rows);
        progress.set_message(match at.doing {
            Doing::Copying => format!("copying {:<18}", at.table),
            Doing::Comparing => format!("comparing {:<16}", at.table),
        });
    }));
    progress.finish_and_clear();
    let copied = copied.map_err(Failure::fault)?.map_err(Failure::fault)?;
    if args.json {
        print_json(&json!({
            "from": from.store.to_string(),
            "to": to.store.to_string(),
            "rows": copied.rows,
            "rows_kept_from_an_earlier_copy": copied.kept,
            "sha256": copied.digest.to_string(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} -> {}: {} rows, the same on both sides", from.store, to.store, copied.rows);
    if copied.kept > 0 {
        println!("{} of them were there from a copy that was cut short", copied.kept);
    }
    println!("SHA-256 over all of them: {}", copied.digest);
    println!("next: ecaf store check --config {}", args.to.display());
    Ok(ExitCode::SUCCESS)
}
