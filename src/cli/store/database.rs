//! `ecaf store migrate`, `ecaf store check` and `ecaf store promote`.

use std::process::ExitCode;

use serde_json::json;

use super::open;
use crate::app::{self, SealedStore};
use crate::cli::failure::{Failure, print_json};
use crate::store::postgres::{self, Migrated};

/// Problems that are printed one by one.
const SHOWN: usize = 50;

/// Creates or migrates the database, as the role that owns it.
pub(super) fn migrate(sealed: &SealedStore) -> Result<ExitCode, Failure> {
    let (settings, kind) = sealed.database(true).map_err(Failure::usage)?;
    let migrated = app::block_on(postgres::migrate(&settings, kind)).map_err(Failure::fault)?;
    let here = |fault| Failure::fault(format_args!("{}: {fault}", sealed.store));
    let Migrated { from, to } = migrated.map_err(here)?;
    match (from == to, from) {
        (true, _) => println!("{}: version {to} already", sealed.store),
        (_, 0) => println!("{}: created, version {to}", sealed.store),
        _ => println!("{}: from version {from} to {to}", sealed.store),
    }
    Ok(ExitCode::SUCCESS)
}

/// Advances the promotion epoch of the new primary.
pub(super) fn promote(sealed: &SealedStore) -> Result<ExitCode, Failure> {
    let (settings, kind) = sealed.database(true).map_err(Failure::usage)?;
    let promoted = app::block_on(postgres::promote(&settings, kind)).map_err(Failure::fault)?;
    let here = |fault| Failure::fault(format_args!("{}: {fault}", sealed.store));
    let epoch = promoted.map_err(here)?;
    println!("{}: promotion epoch {epoch}; primaries of earlier epochs are refused", sealed.store);
    Ok(ExitCode::SUCCESS)
}

/// Re-hashes and cross-checks everything.
pub(super) fn check(sealed: &SealedStore, as_json: bool) -> Result<ExitCode, Failure> {
    let store = open(sealed)?;
    let checked = app::block_on(store.check()).map_err(Failure::fault)?;
    let report = checked.map_err(Failure::fault)?;
    if as_json {
        print_json(&json!({
            "store": sealed.store.to_string(),
            "sound": report.is_sound(),
            "referrals": report.referrals,
            "documents": report.documents,
            "erased": report.erased,
            "tokens": report.tokens,
            "log_entries": report.log_entries,
            "problems": report.problems,
        }));
    } else {
        println!(
            "{}: {} referrals, {} documents, {} erased, {} tokens, {} log entries",
            sealed.store,
            report.referrals,
            report.documents,
            report.erased,
            report.tokens,
            report.log_entries
        );
        report.problems.iter().take(SHOWN).for_each(|problem| println!("  {problem}"));
        if report.problems.len() > SHOWN {
            println!("  and {} more", report.problems.len() - SHOWN);
        }
        println!("{}", if report.is_sound() { "sound" } else { "NOT SOUND" });
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
