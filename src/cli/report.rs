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
use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::referral::RequestType;
use crate::domain::statistics::{Beside, Kind, Quarter, Record, again, quarters};
use crate::domain::time::{Date, Timestamp};
use crate::effects::{Clock, SystemClock, files};
use crate::party::look::NotSeen;
use crate::party::threads;
use crate::protocol::schema::list;
use crate::report::facts::authority;
use crate::report::figures;
use crate::report::gather::Gathered;
use crate::report::many;
use crate::report::statistics::{Counted, LeftOut, Population, Report, Scope};
use crate::report::tokens::{Entry, entries};
use crate::report::words::organisation;
use crate::store::DeliveryRow;

/// Figures over a period: referrals by source and area, times, limits kept, outcomes, ethnicity
///
/// Children are counted and never named. Without --internal it is fit for publication: whole quarters
/// only, final ones only, no figure under five, rounded to the nearest five.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A school's figures are over what it sent, an authority's over its inbox; an operator's
(--store) over all referrals of a gateway, from codes alone. .docs/statistics.md says how
figures are protected.

Exit codes: 0 done; 1 refused, or something is not proved; 2 wrong input; 3 a fault.

Examples:
  ecaf report --from 2026-07-01 --to 2026-09-30 --config school.toml
  ecaf report --from 2026-07-01 --to 2026-09-30 --config worker.toml \\
       --inbox authority.toml --html report.html
  ecaf report --from 2026-09-01 --to 2026-09-12 --config worker.toml \\
       --inbox authority.toml --internal
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
            let (counted, copies) = source.within(now, |day| args.from <= day && day <= args.to);
            let unread = |record: &&Record| !record.readable || !record.answers_readable;
            let unreadable = counted.records.iter().filter(unread).count() as u64;
            scope.left_out.copies = copies;
            scope.left_out.unreadable = if scope.documents { unreadable } else { 0 };
            Report::internal(&scope, &counted)
        }
        false => {
            let of = |quarter: Quarter| {
                source.within(quarter.settled_at(), |day| Quarter::of(day) == quarter).0
            };
            let each: Vec<(Quarter, Counted)> =
                public.into_iter().map(|quarter| (quarter, of(quarter))).collect();
            Report::public(&scope, &each)
        }
    };
    print(args, &report)?;
    if source.left_out.not_proved > 0 {
        let count = source.left_out.not_proved;
        let how = match args.store {
            None => "ecaf export chronology shows why",
            Some(_) => "ecaf store check looks at the store; their parties' chronologies show why",
        };
        return Err(Failure::no(format_args!(
            "not counted: {count} threads whose evidence does not verify ({how})"
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
    /// Deliveries that an operator confirmed by hand, with when; nobody else knows of them.
    by_hand: Vec<(Timestamp, Beside)>,
    /// The authority that reads: what it was accountable for is its own.
    mine: Option<DfeCode>,
}

enum One {
    Gathered(Box<Gathered>),
    Codes(Vec<Entry>),
}

impl One {
    fn entries(&self) -> &[Entry] {
        match self {
            One::Gathered(gathered) => &gathered.entries,
            One::Codes(entries) => entries,
        }
    }

    fn record(&self, setting: &Setting, as_at: Timestamp) -> Option<Record> {
        match self {
            One::Gathered(gathered) => figures::record(gathered, setting, as_at),
            One::Codes(entries) => figures::of_entries(entries, |_| None, setting, as_at),
        }
    }

    fn beside(&self, as_at: Timestamp) -> Option<Beside> {
        let document = |digest| match self {
            One::Gathered(gathered) => gathered.document(digest),
            One::Codes(_) => None,
        };
        figures::beside(self.entries(), document, as_at)
    }
}

impl Source {
    /// What counts as it stood at `as_at`, of the days that fit, and how many referrals are another
    /// authority's. A re-referral is one to whatever was recorded before, inside of the period or not.
    fn within(&self, as_at: Timestamp, fits: impl Fn(Date) -> bool) -> (Counted, u64) {
        let fits = |at: Timestamp| fits(at.in_england().0);
        let records = self.referrals.iter().filter_map(|one| one.record(&self.setting, as_at));
        let mut all: Vec<Record> = records.collect();
        again(&mut all);
        all.retain(|record| fits(record.recorded_at));
        let is_own = |code| move |r: &Record| r.first_authority == code || r.holder == code;
        // Allegations about adults are for named persons only.
        all.retain(|record| record.request_type != RequestType::Lado);
        let before = all.len();
        if let Some(code) = self.mine {
            all.retain(is_own(code));
        }
        let copies = before - all.len();
        let by_hand = self.by_hand.iter().filter(|(when, _)| *when <= as_at);
        let beside = self.referrals.iter().filter_map(|one| one.beside(as_at));
        let beside = beside.chain(by_hand.map(|(_, one)| one.clone()));
        let beside = beside.filter(|one| fits(one.recorded_at));
        let beside = beside.filter(|one| self.mine.is_none_or(|mine| one.authority == mine));
        (Counted { beside: beside.collect(), records: all }, copies as u64)
    }
}

async fn of_member(args: &Args) -> Result<(Source, String), Failure> {
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let member = app::open_member(&settings).await.map_err(Failure::usage)?;
    let inbox = export::inbox(&settings, args.inbox.as_deref()).await?;
    let mut ids = export::ids(&member, inbox.as_deref()).await?;
    // What an event began lies in no inbox.
    let (threads, not_proved) = threads::learn(&member).await.map_err(not_seen)?;
    ids.extend(threads);
    ids.sort_unstable();
    ids.dedup();
    let setting = export::setting(&member, &settings, args.directory.as_deref())?;
    let (mut referrals, mut left_out) = (Vec::new(), LeftOut { not_proved, ..LeftOut::default() });
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
    Ok((Source { referrals, setting, left_out, by_hand: Vec::new(), mine }, of))
}

/// From the codes of tokens, each verified; no document is opened.
async fn of_gateway(file: &Path) -> Result<(Source, String), Failure> {
    let settings = config::load_gateway(file).map_err(Failure::usage)?;
    let store = app::open_gateway(&settings).await.map_err(Failure::fault)?;
    let ids = many::of_gateway(store.as_ref()).await.map_err(Failure::fault)?;
    let progress = bar(ids.len() as u64, false);
    progress.set_message("reading");
    let trust = app::open_trust(&settings.trust).await.map_err(Failure::fault)?;
    let mut referrals = Vec::new();
    let (setting, mut left_out) = (Setting::default(), LeftOut::default());
    for id in ids {
        progress.inc(1);
        let bundle = many::evidence(store.as_ref(), id).await.map_err(Failure::fault)?;
        let Some(bundle) = bundle else { continue };
        let (entries, unreadable) = entries(&bundle.tokens);
        match bundle.verify(&trust, &settings.trust.domain) {
            Ok(_) if unreadable == 0 => referrals.push((id, One::Codes(entries))),
            _ => left_out.not_proved += 1,
        }
    }
    progress.finish_and_clear();
    let rows = many::by_hand(store.as_ref()).await.map_err(Failure::fault)?;
    let by_hand = by_hand(&rows, &referrals, &setting);
    let referrals = referrals.into_iter().map(|(_, one)| one).collect();
    let source = Source { referrals, setting, left_out, by_hand, mine: None };
    Ok((source, "All referrals of this exchange, from codes alone".to_owned()))
}

/// Deliveries of countable referrals that were confirmed by hand, with when.
fn by_hand(
    rows: &[DeliveryRow],
    referrals: &[(ReferralId, One)],
    setting: &Setting,
) -> Vec<(Timestamp, Beside)> {
    let counts = |id: ReferralId, when: Timestamp| {
        let found = referrals.binary_search_by_key(&id, |(id, _)| *id).ok();
        let one = found.and_then(|found| referrals.get(found));
        let record = one.and_then(|(_, one)| one.record(setting, when));
        record.is_some_and(|record| record.request_type != RequestType::Lado)
    };
    let one = |row: &DeliveryRow| {
        let when = row.settled_at?;
        counts(row.referral_id, when).then_some(())?;
        let (kind, authority) = (Kind::ByHand, row.authority);
        let (recorded_at, answered_after, means) = (row.recorded_at, None, None);
        Some((when, Beside { kind, recorded_at, authority, answered_after, means }))
    };
    rows.iter().filter_map(one).collect()
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
