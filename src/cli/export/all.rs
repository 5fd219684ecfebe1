//! `ecaf export all`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::app;
use crate::cli::failure::{Failure, NO, print_json};
use crate::cli::say::not_seen;
use crate::config::{self, MemberSettings};
use crate::domain::ids::ReferralId;
use crate::domain::party::Role;
use crate::domain::time::Date;
use crate::party::look::NotSeen;
use crate::party::member::Member;
use crate::report::archive::{Archive, Manifest, accepted_at};
use crate::report::gather::Gathered;
use crate::report::many;
use crate::store::AuthorityStore;

/// Every referral of a period into a folder: chronologies, evidence, documents, an index, digests
///
/// A school's from its state folder, an authority's from its inbox; what each has become is asked of the
/// gateway. It holds personal data wherever this reader may read the documents.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The folder has index.csv (a line for each referral), manifest.json, SHA256SUMS for `sha256sum -c`,
and a folder for each referral.

Exit codes: 0 all of it is proved; 1 something is not; 2 wrong input; 3 no answer.

Examples:
  ecaf export all --from 2026-09-01 --to 2026-12-31 -o inspection --config school.toml
  ecaf export all --from 2026-09-01 --to 2026-12-31 -o inspection --config worker.toml --inbox authority.toml"
)]
pub(super) struct Args {
    /// The first day, by England's time
    #[arg(long, value_name = "DATE")]
    from: Date,
    /// The last day
    #[arg(long, value_name = "DATE")]
    to: Date,
    /// The folder, empty or missing
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    /// Configuration of a school or of a worker; see deploy/
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// For a worker: configuration of the authority whose inbox it is
    #[arg(long, value_name = "FILE")]
    inbox: Option<PathBuf>,
    /// Signed directory, for office hours [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.from > args.to {
        return Err(Failure::usage("--from is after --to"));
    }
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let made = app::block_on(async {
        let member = app::open_member(&settings).await.map_err(Failure::usage)?;
        make(args, &settings, &member).await
    });
    let manifest = made.map_err(Failure::fault)??;
    match args.json {
        true => print_json(&manifest),
        false => {
            println!("{} referrals in {}", manifest.referrals, args.out.display());
            if manifest.not_proved > 0 {
                println!("NOT PROVED: {}; index.csv says which", manifest.not_proved);
            }
        }
    }
    Ok(if manifest.not_proved == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

async fn make(
    args: &Args,
    settings: &MemberSettings,
    member: &Member,
) -> Result<Manifest, Failure> {
    let here = |fault| Failure::usage(format_args!("{}: {fault}", args.out.display()));
    let inbox = inbox(settings, args.inbox.as_deref()).await?;
    let ids = ids(member, inbox.as_deref()).await?;
    let setting = super::setting(member, settings, args.directory.as_deref())?;
    let mut archive = Archive::begin(&args.out).map_err(here)?;
    let bar = crate::cli::store::bar(ids.len() as u64, false);
    bar.set_message("reading");
    for id in ids {
        bar.inc(1);
        let gathered = match Gathered::from_gateway(member, id).await {
            Ok(gathered) => gathered,
            // What is for others only is not even counted.
            Err(NotSeen::Refused(problem)) if problem.status == 404 => continue,
            Err(not) => return Err(not_seen(not)),
        };
        let day = accepted_at(&gathered).map(|at| at.in_england().0);
        if day.is_some_and(|day| args.from <= day && day <= args.to) {
            archive.add(&gathered, &setting).map_err(here)?;
        }
    }
    bar.finish_and_clear();
    let whose = member.party.to_string();
    let now = member.clock.now();
    archive.finish(whose, (args.from, args.to), now).map_err(here)
}

/// The inbox of a worker's authority; a school has none.
pub(in crate::cli) async fn inbox(
    settings: &MemberSettings,
    file: Option<&Path>,
) -> Result<Option<Arc<dyn AuthorityStore>>, Failure> {
    match (settings.role, file) {
        (Role::School, None) => Ok(None),
        (Role::School, Some(_)) => Err(Failure::usage("--inbox is for a worker's configuration")),
        (_, None) => Err(Failure::usage("--inbox FILE: name the authority's configuration")),
        (_, Some(file)) => {
            let settings = config::load_authority(file).map_err(Failure::usage)?;
            app::open_authority(&settings).await.map(Some).map_err(Failure::fault)
        }
    }
}

/// The referrals of a member: of the inbox, or of a school's state folder.
pub(in crate::cli) async fn ids(
    member: &Member,
    inbox: Option<&dyn AuthorityStore>,
) -> Result<Vec<ReferralId>, Failure> {
    match inbox {
        Some(store) => many::of_inbox(store).await.map_err(Failure::fault),
        None => many::of_school(&member.state)
            .map_err(|e| Failure::fault(format_args!("{}: {e}", member.state.display()))),
    }
}
