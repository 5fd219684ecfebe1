//! Whole exchanges in a world that a seed decides about: real schools, gateways, authorities, stores
//! and signatures; network, disks, clocks and the order of everything from the seed. After each run
//! every invariant is re-checked from stored bytes. See `tests/FAULTS.md`.
//!
//! - `cargo test --test simulation` runs the kept seeds and fresh ones for a while.
//! - `ECAF_SIM_SEED=17 cargo test --test simulation replay -- --nocapture` shows one run.
//! - `ECAF_SIM_SEEDS=5000 cargo test --profile bench-quick --test simulation fresh -- --nocapture`
//!   runs many; `ECAF_SIM_FROM` sets the first.

mod simulation_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulation_support::run::Tally;
use simulation_support::{Bug, Plan, run};

/// Seeds that found something, each with a word on what it was.
const KEPT: &str = include_str!("simulation_seeds.txt");
/// How long fresh seeds are tried, unless the environment says how many.
const BUDGET: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

fn kept() -> Vec<u64> {
    let lines = KEPT.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| line.parse().unwrap()).collect()
}

/// Runs a plan; what is wrong with it, a panic included.
fn problems_of(plan: &Plan) -> (Vec<String>, Vec<String>, Tally) {
    match catch_unwind(AssertUnwindSafe(|| run(plan))) {
        Ok(outcome) => (outcome.problems, outcome.trace, outcome.tally),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            (vec![format!("panics: {}", text.unwrap_or_default())], Vec::new(), Tally::default())
        }
    }
}

/// What a reader needs who wants to see it again.
fn report(plan: &Plan, problems: &[String], trace: &[String]) -> String {
    let mut text = format!("seed {}:\n", plan.seed);
    for problem in problems.iter().take(20) {
        text.push_str(&format!("  {problem}\n"));
    }
    let last = trace.len().saturating_sub(40);
    for line in &trace[last..] {
        text.push_str(&format!("  | {line}\n"));
    }
    text.push_str(&format!(
        "the whole run: ECAF_SIM_SEED={} cargo test --test simulation replay -- --nocapture\n",
        plan.seed
    ));
    text
}

/// Runs seeds on every core until there are no more or the time is up; the first failures' reports.
fn sweep(seeds: impl Iterator<Item = u64> + Send, budget: Option<Duration>) -> (u64, Vec<String>) {
    let began = Instant::now();
    let (seeds, failures) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    let (done, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let over = budget.is_some_and(|budget| began.elapsed() > budget);
                    let enough = failures.lock().unwrap().len() >= 3;
                    let next = seeds.lock().unwrap().next();
                    let Some(seed) = next.filter(|_| !over && !enough) else { return };
                    let plan = Plan::of(seed);
                    let (problems, trace, tally) = problems_of(&plan);
                    if !problems.is_empty() {
                        let text = report(&plan, &problems, &trace);
                        eprintln!("{text}");
                        failures.lock().unwrap().push(text);
                    }
                    let mut total = total.lock().unwrap();
                    total.receipts += tally.receipts;
                    total.delivered += tally.delivered;
                    total.not_delivered += tally.not_delivered;
                    total.crashes += tally.crashes;
                    total.turns += tally.turns;
                    total.virtual_s += tally.virtual_s;
                    let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                    if done.is_multiple_of(250) {
                        println!("{done} seeds after {:?}", began.elapsed());
                    }
                }
            });
        }
    });
    let (done, total) = (done.into_inner(), total.into_inner().unwrap());
    println!(
        "{done} seeds in {:.1?}: {} receipts, {} delivered, {} by hand or given up, {} crashes, \
         {} turns, {} hours of their time",
        began.elapsed(),
        total.receipts,
        total.delivered,
        total.not_delivered,
        total.crashes,
        total.turns,
        total.virtual_s / 3_600
    );
    (done, failures.into_inner().unwrap())
}

#[test]
fn kept_seeds_hold() {
    let (_, failures) = sweep(kept().into_iter(), None);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn fresh_seeds_hold() {
    let from = number("ECAF_SIM_FROM").unwrap_or_else(|| {
        let clock = &ecaf::effects::SystemClock;
        u64::try_from(ecaf::effects::Clock::now(clock).millis()).unwrap_or(0) * 1_000
    });
    let seeds = number("ECAF_SIM_SEEDS");
    let budget = seeds.is_none().then_some(BUDGET);
    println!("seeds from {from}");
    let (done, failures) = sweep(from..from + seeds.unwrap_or(u64::MAX - from), budget);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(done > 0);
}

/// The whole trace of the seed in `ECAF_SIM_SEED`; of seed 1 if there is none.
#[test]
fn replay() {
    let plan = Plan::of(number("ECAF_SIM_SEED").unwrap_or(1));
    let (problems, trace, tally) = problems_of(&plan);
    if number("ECAF_SIM_SEED").is_some() {
        println!("{plan:#?}");
        trace.iter().for_each(|line| println!("{line}"));
        println!("{tally:?}");
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn one_seed_is_one_run() {
    for seed in [1, 2, 3, 4, 5, 6] {
        let (first, second) = (run(&Plan::of(seed)), run(&Plan::of(seed)));
        let differ = first.trace.iter().zip(&second.trace).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert!(first.trace.len() > 20, "seed {seed}: nothing happened");
    }
}

/// Each planted bug is found, by some of a few seeds; without it those seeds hold.
#[test]
fn planted_bugs_are_found() {
    for bug in Bug::ALL {
        let found = (100..112).find_map(|seed| {
            let (problems, ..) = problems_of(&Plan::of(seed).with(bug));
            problems.into_iter().next().map(|problem| (seed, problem))
        });
        let (seed, problem) = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {problem}");
        let (problems, ..) = problems_of(&Plan::of(seed));
        assert!(problems.is_empty(), "seed {seed} without a bug: {problems:?}");
    }
}
