//! `ecaf keys`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::failure::{Failure, end, print_json, print_table};
use crate::app::SealedStore;
use crate::domain::retention::Period;
use crate::effects::files::{self, PRIVATE};
use crate::effects::{Clock, SystemClock, SystemEntropy};
use crate::store::sealing::{KeyId, KeyRing, LocalKek, RingFile, RingFileFault};

/// Make and look after the keys that documents are sealed with
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Run as the user of the service. The configuration names the key ring and the \
key-encryption key (KEK); keep a copy of each, apart from each other and from backups of the store. \
Without the ring or without the KEK nobody can read a single referral again.

Exit codes: 0 done; 1 the answer is no; 2 wrong input; 3 a fault.

Examples:
  ecaf keys create --config gateway.toml                 a KEK and a ring with keys for five years
  ecaf keys show --config gateway.toml                   what there is, and what was destroyed
  ecaf keys prepare --config gateway.toml --months 60    once a year
  ecaf keys rotate-kek --config gateway.toml             the ring under next_kek
  ecaf keys rotate --config gateway.toml --period 2026-11
  ecaf keys retire --config gateway.toml --key 0123456789abcdef"
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
    /// Make what is missing of KEK and key ring; never touches one that exists
    Create {
        /// Keys for so many months after this one
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=1200))]
        months: u16,
    },
    /// Show keys, destroyed keys and tombstones
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add the keys of months to come; serving processes notice by themselves
    Prepare {
        /// Keys for so many months after this one
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=1200))]
        months: u16,
    },
    /// Put the ring under the KEK that the configuration names as next_kek
    RotateKek,
    /// Replace the key of a month; serving processes move its documents in the background
    Rotate {
        /// The month, such as 2026-11
        #[arg(long, value_name = "MONTH")]
        period: Period,
    },
    /// Destroy a replaced key under which no document is left; older backups of the store can then give
    /// back nothing that lay under it
    Retire {
        /// The key, by its name in `ecaf keys show`
        #[arg(long, value_name = "NAME")]
        key: String,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(attempt(args).map(|()| ExitCode::SUCCESS))
}

fn attempt(args: Args) -> Result<(), Failure> {
    let sealed = SealedStore::configured(&args.config).map_err(Failure::usage)?;
    let ring = RingFile::at(&sealed.keys.ring);
    let now = SystemClock.now();
    let entropy = SystemEntropy::default();
    let until = |months: u16| Period::of(now).plus_months(i32::from(months));
    if let Command::Create { months } = args.command {
        return create(&sealed, &ring, until(months));
    }
    let keks = sealed.keks().map_err(Failure::fault)?;
    let fault = |f: RingFileFault| {
        let text = format!("{}: {f}", ring.path().display());
        match f {
            RingFileFault::Refused(_) | RingFileFault::Busy => Failure::no(text),
            _ => Failure::fault(text),
        }
    };
    match args.command {
        Command::Create { .. } => {}
        Command::Show { json } => {
            let read = ring.load(&keks).map_err(fault)?;
            let used = sealed.keys_in_use().map_err(Failure::fault)?;
            if json { show_json(&read, &used) } else { show(&read, &used) }
        }
        Command::Prepare { months } => {
            let lock = ring.lock().map_err(fault)?;
            let prepare =
                |ring: &mut KeyRing, kek: &_| ring.prepare(kek, now, until(months), &entropy);
            let added = ring.change(&lock, &keks, now, prepare).map_err(fault)?;
            println!("{added} keys added; the ring has keys until {}", until(months));
            remind_of_backup(&ring);
        }
        Command::RotateKek => {
            let next = sealed.next_kek().map_err(Failure::usage)?;
            let lock = ring.lock().map_err(fault)?;
            let rotate = |ring: &mut KeyRing, kek: &_| ring.rotate_kek(kek, next.as_ref());
            ring.change(&lock, &keks, now, rotate).map_err(fault)?;
            println!("the key ring lies under {} now", next.id());
            println!("make next_kek the kek of the configuration, then destroy the old one");
            remind_of_backup(&ring);
        }
        Command::Rotate { period } => {
            let lock = ring.lock().map_err(fault)?;
            let rotate = |ring: &mut KeyRing, kek: &_| ring.rotate(kek, period, now, &entropy);
            let key = ring.change(&lock, &keks, now, rotate).map_err(fault)?;
            println!("{key} is the key of {period} now; documents follow in the background");
            println!("\"ecaf keys show\" says how many are left, then \"ecaf keys retire\"");
            remind_of_backup(&ring);
        }
        Command::Retire { key } => {
            let bad = || Failure::usage("--key is a name of 16 hexadecimal digits");
            let key = KeyId::from_hex(&key).ok_or_else(bad)?;
            let lock = ring.lock().map_err(fault)?;
            let used = sealed.keys_in_use().map_err(Failure::fault)?;
            if let Some(used) = used.iter().find(|used| used.key_id == key) {
                let left = used.documents;
                return Err(Failure::no(format_args!("{left} documents still lie under {key}")));
            }
            ring.change(&lock, &keks, now, |ring, _| ring.retire(key, now)).map_err(fault)?;
            println!("{key} is destroyed");
            complete(&sealed, now);
        }
    }
    Ok(())
}

/// Crash between the two files: the next call makes the one that is missing.
fn create(sealed: &SealedStore, ring: &RingFile, until: Period) -> Result<(), Failure> {
    let entropy = SystemEntropy::default();
    for path in sealed.missing_keks() {
        let text = LocalKek::generate(&entropy).map_err(Failure::fault)?;
        files::create(&path, text.as_bytes(), PRIVATE)
            .map_err(|e| Failure::fault(format_args!("{}: {e}", path.display())))?;
        println!("{}: a key-encryption key", path.display());
    }
    let keks = sealed.keks().map_err(Failure::fault)?;
    let here = |f: &dyn std::fmt::Display| format!("{}: {f}", ring.path().display());
    if ring.path().exists() {
        let found = ring.load(&keks).map_err(|f| Failure::no(here(&f)))?;
        println!("{}: there is a key ring already, under {}", ring.path().display(), found.kek());
        return Ok(());
    }
    let kek = sealed.kek().map_err(Failure::fault)?;
    let made = KeyRing::create(kek.as_ref(), SystemClock.now(), until, &entropy)
        .map_err(|f| Failure::fault(here(&f)))?;
    ring.create(&made, kek.as_ref()).map_err(|f| Failure::fault(here(&f)))?;
    println!("{}: a key ring under {}, keys until {until}", ring.path().display(), kek.id());
    remind_of_backup(ring);
    Ok(())
}

fn remind_of_backup(ring: &RingFile) {
    println!("back up {} now, apart from the store and from the KEK", ring.path().display());
}

/// When a destruction can no longer be undone from a backup of the ring.
pub(super) fn complete(sealed: &SealedStore, now: crate::domain::time::Timestamp) {
    let policy = sealed.keys.retention;
    println!(
        "complete after {}: backups of the key ring are kept for {} days at most (ring_backup_days)",
        policy.complete(now).utc_date(),
        policy.ring_backup_days
    );
}

type Used = [crate::store::KeyUse];

fn documents(used: &Used, id: KeyId) -> u64 {
    used.iter().find(|used| used.key_id == id).map_or(0, |used| used.documents)
}

fn state(ring: &KeyRing, key: &crate::store::sealing::RingKey) -> &'static str {
    match ring.current(key.period) {
        Some(current) if current.id == key.id => "in use",
        _ => "replaced",
    }
}

fn show(ring: &KeyRing, used: &Used) {
    println!(
        "Key ring {}, revision {}, under {}, written {}",
        ring.id(),
        ring.revision(),
        ring.kek(),
        ring.written_at()
    );
    let cells = ring.keys().iter().map(|key| {
        let count = documents(used, key.id).to_string();
        let state = state(ring, key).to_owned();
        vec![key.period.to_string(), key.id.to_string(), state, count]
    });
    let gone = ring.destroyed_keys().iter().map(|key| {
        let state =
            format!("destroyed {} ({})", key.erasure.at.utc_date(), key.erasure.why.as_str());
        vec![key.period.to_string(), key.id.to_string(), state, documents(used, key.id).to_string()]
    });
    let mut rows: Vec<_> = cells.chain(gone).collect();
    rows.sort();
    print_table(&["MONTH", "KEY", "STATE", "DOCUMENTS"], &rows);
    for stone in ring.tombstones() {
        println!("{}: {}", stone.referral_id, stone.erasure);
    }
}

fn show_json(ring: &KeyRing, used: &Used) {
    let keys = ring.keys().iter().map(|key| {
        json!({
            "key": key.id.to_string(),
            "period": key.period.to_string(),
            "created_at": key.created_at.to_string(),
            "state": if state(ring, key) == "in use" { "in_use" } else { "replaced" },
            "documents": documents(used, key.id),
        })
    });
    let destroyed = ring.destroyed_keys().iter().map(|key| {
        json!({
            "key": key.id.to_string(),
            "period": key.period.to_string(),
            "at": key.erasure.at.to_string(),
            "reason": key.erasure.why.as_str(),
            "documents": documents(used, key.id),
        })
    });
    let tombstones = ring.tombstones().iter().map(|stone| {
        json!({
            "referral_id": stone.referral_id.to_string(),
            "sha256": stone.sha256.to_string(),
            "at": stone.erasure.at.to_string(),
            "reason": stone.erasure.why.as_str(),
        })
    });
    print_json(&json!({
        "ring": ring.id().to_string(),
        "revision": ring.revision(),
        "kek": ring.kek(),
        "written_at": ring.written_at().to_string(),
        "keys": keys.collect::<Vec<_>>(),
        "destroyed": destroyed.collect::<Vec<_>>(),
        "tombstones": tombstones.collect::<Vec<_>>(),
    }));
}
