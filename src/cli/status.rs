//! `ecaf status`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::failure::{Failure, end, plain, print_json};
use super::receipt::lines;
use super::say::not_seen;
use super::timeline::{clocks, contacts, heading, standing, timeline};
use crate::app;
use crate::config;
use crate::domain::ids::ReferralId;
use crate::school::follow::{Followed, follow};

/// Show what happened to a referral, who is waited for, and prove it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Asks the gateway, verifies every token of the answer, and keeps the evidence \
beside the receipt.

Exit codes: 0 stored at every authority, or a notice, consultation or hand-over that is proved; 1 not
yet, or refused; 2 wrong input; 3 no answer.

Examples:
  ecaf status 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --config school.toml
  ecaf status 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --json"
)]
pub struct Args {
    /// The referral, or the thread of a notice, a consultation or a hand-over
    referral: ReferralId,
    /// Configuration of a school or of a worker; see deploy/
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(attempt(&args))
}

fn attempt(args: &Args) -> Result<ExitCode, Failure> {
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let followed = app::block_on(async {
        let member = app::open_member(&settings).await.map_err(Failure::usage)?;
        let followed = follow(&member, args.referral).await.map_err(not_seen)?;
        let told = match args.json {
            true => (Vec::new(), Vec::new()),
            false => (
                timeline(&member, &followed.state).await.map_err(not_seen)?,
                contacts(&member, &followed.state).await.map_err(not_seen)?,
            ),
        };
        Ok((followed, told))
    });
    let (followed, (timeline, contacts)) = followed.map_err(Failure::fault)??;
    let arrived = followed.has_arrived();
    if args.json {
        print_json(&as_json(&followed))
    } else {
        tell(&followed, &timeline, &contacts)
    }
    Ok(if arrived { ExitCode::SUCCESS } else { ExitCode::from(super::failure::NO) })
}

fn tell(followed: &Followed, timeline: &[String], contacts: &[String]) {
    let state = &followed.state;
    println!("{}", heading(state));
    for line in standing(state) {
        println!("  {}", plain(&line));
    }
    for delivery in &state.deliveries {
        println!("  {}", plain(&delivery.words));
    }
    for erased in &state.erased {
        println!("  {} ({})", plain(&erased.words), plain(&erased.erased_at));
    }
    for ring in &state.also_ring {
        println!("  Not reached through the exchange: {}", plain(ring));
    }
    if !timeline.is_empty() {
        println!("What happened:");
    }
    for line in timeline {
        println!("  {}", plain(line));
    }
    let open = clocks(state);
    if !open.is_empty() {
        println!("Clocks:");
        for line in open {
            println!("  {}", plain(&line));
        }
    }
    if !contacts.is_empty() {
        println!("Contacts, as of now:");
        for line in contacts {
            println!("  {}", plain(line));
        }
    }
    match &followed.proven {
        Ok(proven) => {
            println!("Proved by signatures:");
            for line in lines(proven) {
                println!("  {line}");
            }
        }
        Err(refusal) => println!("NOT PROVED: the evidence does not verify. {refusal}"),
    }
    println!("{}", plain(&state.authority.help));
}

fn as_json(followed: &Followed) -> serde_json::Value {
    let proven = followed.proven.as_ref();
    json!({
        "state": followed.state,
        "proven": proven.map(lines).unwrap_or_default(),
        "unproven_because": proven.err().and_then(|r| r.rule()).map(|rule| rule.id),
    })
}
