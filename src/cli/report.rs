//! `ecaf report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::export;
use super::failure::{Failure, end, print_json};
use super::say::not_seen;
use super::store::bar;
use crate::app;
use crate::config;
use crate::domain::clocks::Setting;
use crate::domain::party::DfeCode;
use crate::domain::referral::RequestType;
use crate::domain::statistics::{Quarter, Record, again, quarters};
use crate::domain::time::{Date, Timestamp};
use crate::effects::{Clock, SystemClock, files};
use crate::party::look::NotSeen;
use crate::protocol::schema::list;
use crate::report::facts::authority;
use crate::report::figures;
use crate::report::gather::Gathered;
use crate::report::many;
use crate::report::statistics::{LeftOut, Population, Report, Scope};
use crate::report::tokens::{Entry, entries};
use crate::report::words::organisation;
use crate::store::GatewayStore;

/// Figures over a period: referrals by source and area, times, limits kept, outcomes, ethnicity
///
/// Children are counted and never named. Without --internal it is fit for publication: whole quarters
/// only, final ones only, no figure under five, rounded to the nearest five.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A school's figures are over what it sent, an authority's over its inbox; an operator's (--store) over
all referrals of a gateway, from codes alone. .docs/statistics.md says how figures are protected.

Exit codes: 0 done; 1 refused, or something is not proved; 2 wrong input; 3 a fault.

Examples:
  ecaf report --from 2026-07-01 --to 2026-09-30 --config school.toml
  ecaf report --from 2026-07-01 --to 2026-09-30 --config worker.toml --inbox authority.toml --html report.html
  ecaf report --from 2026-09-01 --to 2026-09-12 --config worker.toml --inbox authority.toml --internal
  ecaf report --from 2026-07-01 --to 2026-09-30 --store gateway.toml --csv"
)]
pub(super) struct Args {
    /// The first day, by England's time
    #[arg(long, value_name = "DATE")]
    from: Date,
    /// The last day
    #[arg(long, value_name = "DATE")]
    to: Date,
    /// Configuration of a school or of a worker; see deploy/
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// For a worker: configuration of the authority whose inbox it is
    #[arg(long, value_name = "FILE")]
    inbox: Option<PathBuf>,
    /// For an operator: configuration of the gateway, instead of --config
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "inbox"])]
    store: Option<PathBuf>,
    /// Signed directory, for office hours [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// Children by ethnicity: lines of CODE,NUMBER with the census codes, to set counts against
    #[arg(long, value_name = "FILE")]
    population: Option<PathBuf>,
    /// Exact figures of any period, as it stands now: not for publication
    #[arg(long)]
    internal: bool,
    /// As CSV, one line for each figure
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// As one HTML page with plots, into this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json"])]
    html: Option<PathBuf>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> ExitCode {
    end(attempt(args))
}

fn attempt(args: &Args) -> Result<ExitCode, Failure> {
    if args.from > args.to {
        return Err(Failure::usage("--from is after --to"));
    }
    let now = SystemClock.now();
    let public = match args.internal {
        true => Vec::new(),
        false => quarters(args.from, args.to, now).map_err(Failure::usage)?,
    };
    let population = args.population.as_deref().map(population).transpose()?;
    let read = app::block_on(async {
        match &args.store {
            Some(file) => of_gateway(file).await,
            None => of_member(args).await,
        }
    });
    let (source, of) = read.map_err(Failure::fault)??;
    let mut scope = Scope {
        of,
        from: args.from,
        to: args.to,
        now,
        documents: args.store.is_none(),
        population,
        left_out: source.left_out,
    };
    let report = match args.internal {
        true => {
            let (records, copies) = source.within(now, |day| args.from <= day && day <= args.to);
            let unreadable = records.iter().filter(|record| !record.readable).count() as u64;
            scope.left_out.copies = copies;
            scope.left_out.unreadable = if scope.documents { unreadable } else { 0 };
            Report::internal(&scope, &records)
        }
        false => {
            let of = |quarter: Quarter| {
                source.within(quarter.settled_at(), |day| Quarter::of(day) == quarter).0
            };
            let each: Vec<(Quarter, Vec<Record>)> =
                public.into_iter().map(|quarter| (quarter, of(quarter))).collect();
            Report::public(&scope, &each)
        }
    };
    print(args, &report)?;
    if source.left_out.not_proved > 0 {
        let count = source.left_out.not_proved;
        return Err(Failure::no(format_args!(
            "not counted: {count} referrals whose evidence does not verify (ecaf export chronology shows why)"
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, report: &Report) -> Result<(), Failure> {
    use std::io::Write as _;
    if let Some(path) = &args.html {
        let page = report.to_html();
        files::replace(path, page.as_bytes(), files::PRIVATE)
            .map_err(|e| Failure::fault(format_args!("{}: {e}", path.display())))?;
        println!("{}", path.display());
        return Ok(());
    }
    if args.json {
        print_json(report);
        return Ok(());
    }
    let text = if args.csv { report.to_csv() } else { report.to_text() };
    // A closed pipe is the reader's choice, not a failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// What figures are made of.
struct Source {
    referrals: Vec<One>,
    setting: Setting,
    left_out: LeftOut,
    /// The authority that reads: what it was accountable for is its own.
    mine: Option<DfeCode>,
}

enum One {
    Gathered(Box<Gathered>),
    Codes(Vec<Entry>),
}

impl Source {
    /// The records as they stood at `as_at`, of the days that fit. A re-referral is one to whatever was
    /// recorded before, inside of the period or not.
    fn within(&self, as_at: Timestamp, fits: impl Fn(Date) -> bool) -> (Vec<Record>, u64) {
        let record = |one: &One| match one {
            One::Gathered(gathered) => figures::record(gathered, &self.setting, as_at),
            One::Codes(entries) => figures::of_entries(entries, |_| None, &self.setting, as_at),
        };
        let mut all: Vec<Record> = self.referrals.iter().filter_map(record).collect();
        again(&mut all);
        all.retain(|record| fits(record.recorded_at.in_england().0));
        let is_own = |code| move |r: &Record| r.first_authority == code || r.holder == code;
        // Allegations about adults are for named persons only.
        all.retain(|record| record.request_type != RequestType::Lado);
        let before = all.len();
        if let Some(code) = self.mine {
            all.retain(is_own(code));
        }
        let copies = before - all.len();
        (all, copies as u64)
    }
}

async fn of_member(args: &Args) -> Result<(Source, String), Failure> {
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let member = app::open_member(&settings).await.map_err(Failure::usage)?;
    let inbox = export::inbox(&settings, args.inbox.as_deref()).await?;
    let ids = export::ids(&member, inbox.as_deref()).await?;
    let setting = export::setting(&member, &settings, args.directory.as_deref())?;
    let (mut referrals, mut left_out) = (Vec::new(), LeftOut::default());
    let progress = bar(ids.len() as u64, false);
    progress.set_message("reading");
    for id in ids {
        progress.inc(1);
        match Gathered::from_gateway(&member, id).await {
            Ok(mut gathered) if gathered.is_proved() => {
                if let Some(store) = &inbox {
                    let own = many::own_documents(store.as_ref(), id).await;
                    own.map_err(Failure::fault)?.iter().for_each(|bytes| gathered.add_own(bytes));
                }
                referrals.push(One::Gathered(Box::new(gathered)));
            }
            Ok(_) => left_out.not_proved += 1,
            // What is for others only is not even counted.
            Err(NotSeen::Refused(problem)) if problem.status == 404 => {}
            Err(not) => return Err(not_seen(not)),
        }
    }
    progress.finish_and_clear();
    let whose = organisation(&member.party.organisation);
    let of = match &args.inbox {
        Some(_) => format!("Referrals that {whose} received"),
        None => format!("Referrals that {whose} sent"),
    };
    let mine = authority(&member.party.organisation);
    Ok((Source { referrals, setting, left_out, mine }, of))
}

/// From the codes of tokens; no document is opened.
async fn of_gateway(file: &Path) -> Result<(Source, String), Failure> {
    let settings = config::load_gateway(file).map_err(Failure::usage)?;
    let store = app::open_gateway(&settings).await.map_err(Failure::fault)?;
    let ids = many::of_gateway(store.as_ref()).await.map_err(Failure::fault)?;
    let progress = bar(ids.len() as u64, false);
    progress.set_message("reading");
    let mut referrals = Vec::new();
    for id in ids {
        progress.inc(1);
        let tokens = tokens(store.as_ref(), id).await.map_err(Failure::fault)?;
        referrals.push(One::Codes(entries(&tokens).0));
    }
    progress.finish_and_clear();
    let (setting, left_out) = (Setting::default(), LeftOut::default());
    let source = Source { referrals, setting, left_out, mine: None };
    Ok((source, "All referrals of this exchange, from codes alone".to_owned()))
}

async fn tokens(
    store: &dyn GatewayStore,
    id: crate::domain::ids::ReferralId,
) -> Result<Vec<String>, crate::store::StoreFault> {
    let Some(timeline) = store.timeline(id).await? else { return Ok(Vec::new()) };
    let mut tokens = Vec::with_capacity(timeline.tokens.len());
    for row in &timeline.tokens {
        tokens.extend(store.token(id, row.sha256).await?.map(|stored| stored.token.jws));
    }
    Ok(tokens)
}

/// Lines of `CODE,NUMBER`; a head line may come first.
fn population(file: &Path) -> Result<Population, Failure> {
    let wrong =
        |line: usize, why: &str| Failure::usage(format_args!("{}:{line}: {why}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::usage(format_args!("{}: {e}", file.display())))?;
    let known = |code: &str| list("ethnicity").is_some_and(|list| list.label(code).is_some());
    let mut all = Population::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((code, number)) = line.split_once(',') else {
            return Err(wrong(index + 1, "not CODE,NUMBER"));
        };
        match number.trim().parse() {
            Ok(number) if known(code.trim()) => all.push((code.trim().to_owned(), number)),
            Err(_) if index == 0 => {}
            Ok(_) => return Err(wrong(index + 1, "not an ethnicity code of the census")),
            Err(_) => return Err(wrong(index + 1, "not a whole number")),
        }
    }
    Ok(all)
}
