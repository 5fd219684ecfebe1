//! Whole exchanges in a world that a seed decides about: real schools, gateways, authorities, stores
//! and signatures; network, disks, clocks and the order of everything from the seed. After each run
//! every invariant is re-checked from stored bytes. See `tests/FAULTS.md`.
//!
//! - `cargo test --test simulation` runs the kept seeds and fresh ones for a while.
//! - `ECAF_SIM_SEED=17 cargo test --test simulation replay -- --nocapture` shows one run.
//! - `ECAF_SIM_SEEDS=5000 cargo test --profile bench-quick --test simulation fresh -- --nocapture`
//!   runs many; `ECAF_SIM_FROM` sets the first.

mod fault_lines;
mod simulation_support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fault_lines::{Line, held};
use simulation_support::run::Tally;
use simulation_support::{Bug, Plan, run};

/// Seeds that found something, each with a word on what it was.
const KEPT: &str = include_str!("simulation_seeds.txt");
/// How long fresh seeds are tried, unless the environment says how many.
const BUDGET: Duration = Duration::from_secs(60);

/// What strikes in a run, by the words of its trace: words, fault, where.
const FAULTS: [(&str, &str, &str); 26] = [
    (" is killed", "a process dies at any step", "gateways and authorities"),
    (" is asked to stop", "a process is told to stop, then dies", "gateways"),
    (" is switched off", "a machine dies at any step", "schools"),
    (" crashes and is opened", "a database restarts from its files", "under the gateways"),
    (" cut off from", "a partition", "any machines"),
    (" cannot reach", "nobody can be reached", "requests"),
    (" nobody answers", "the other side dies over a request", "requests"),
    (" lost:", "a request never arrives", "requests"),
    (" answer lost:", "an answer never comes", "requests"),
    (" breaks ", "the connection breaks over a request", "before, while, after"),
    (" late:", "seconds on the way, so that others overtake", "requests and answers"),
    (" doubled:", "a request arrives again, up to a minute later", "requests"),
    (" answer swapped:", "another request's answer comes", "requests"),
    (" misrouted:", "a dispatch arrives at another authority", "dispatches"),
    (" slow:", "seconds in the store", "store operations"),
    ("> fails:", "the store does not do it", "store operations"),
    ("done, but fails", "the store does it and says that it failed", "store writes"),
    (" clock is wrong", "a clock is stepped", "any machine"),
    ("operator  ", "an operator replays, or hands over by hand", "the gateway's store"),
    (" purge misidentified", "one referral is erased at once", "every store"),
    (" purge retention", "a period's keys are destroyed, its documents deleted", "any store"),
    (" rewrap ", "a document moves to another key", "any store"),
    (" command dies in the middle", "a command dies at any step", "holds, erasures"),
    (" receives otherwise", "an authority moves between push and pull, under way", "the directory"),
    ("everything is off", "all is switched off while limits pass", "every machine"),
    (" given renewed certificates", "certificates expire and are renewed", "any machine"),
];
/// What a run can come to, by the words of its trace. The kept seeds together reach all of it: a
/// simulation that never gets there would prove nothing about it.
const REACHED: [&str; 21] = [
    "-> already",
    "-> other bytes",
    "-> foreign",
    "-> lease lost",
    "-> already done",
    "-> head moved",
    "-> fence lost",
    "gave_up",
    "by hand: true",
    "is shown a bad receipt",
    "does not know",
    "has no answer",
    "is refused: submission.other-bytes",
    "is refused: submission.id-unusable",
    " clock_warning -> committed",
    " clock_breached -> committed",
    "POST /v1/inbox/delivered",
    " transfer_accepted is recorded",
    " transfer_declined is recorded",
    " is overtaken",
    " is not for them to say any more",
];

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

/// What many runs came to.
struct Swept {
    seeds: u64,
    failures: Vec<String>,
    /// How often each of [`FAULTS`] struck.
    struck: [u64; FAULTS.len()],
    /// How often each of [`REACHED`] was reached.
    reached: [u64; REACHED.len()],
}

impl Swept {
    /// Every run held; says so in the report.
    fn hold(&self, suite: &str) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        for ((_, fault, at), runs) in FAULTS.iter().zip(self.struck) {
            let checked = format!("{} seeds; every invariant, from stored bytes", self.seeds);
            held(&Line { suite, fault, at, runs, checked: &checked });
        }
    }
}

/// Runs seeds on every core until there are no more or the time is up.
fn sweep(seeds: impl Iterator<Item = u64> + Send, budget: Option<Duration>) -> Swept {
    let began = Instant::now();
    let (seeds, failures) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    let (done, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let counts = Mutex::new(([0; FAULTS.len()], [0; REACHED.len()]));
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
                    {
                        let (struck, reached) = &mut *counts.lock().unwrap();
                        for line in &trace {
                            for (count, (words, ..)) in struck.iter_mut().zip(FAULTS) {
                                *count += u64::from(line.contains(words));
                            }
                            for (count, words) in reached.iter_mut().zip(REACHED) {
                                *count += u64::from(line.contains(words));
                            }
                        }
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
    let (struck, reached) = counts.into_inner().unwrap();
    let what = |words: &str| words.trim().trim_start_matches("-> ").to_owned();
    let list: Vec<_> =
        REACHED.iter().zip(reached).map(|(words, n)| format!("{} {n}", what(words))).collect();
    println!("reached: {}", list.join(", "));
    Swept { seeds: done, failures: failures.into_inner().unwrap(), struck, reached }
}

#[test]
fn kept_seeds_hold() {
    let swept = sweep(kept().into_iter(), None);
    swept.hold("simulation, kept seeds");
    for (words, times) in REACHED.iter().zip(swept.reached) {
        assert!(times > 0, "no kept seed reaches {words:?}");
    }
    for ((words, ..), times) in FAULTS.iter().zip(swept.struck) {
        assert!(times > 0, "no kept seed has {words:?}");
    }
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
    let swept = sweep(from..from + seeds.unwrap_or(u64::MAX - from), budget);
    swept.hold("simulation, fresh seeds");
    assert!(swept.seeds > 0);
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
    for seed in [1, 2, 3, 1_001, 1_007, 1_017, 20_003] {
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
    let mut sound = BTreeSet::new();
    for bug in Bug::ALL {
        let found = bug.seeds().find_map(|seed| {
            let (problems, ..) = problems_of(&Plan::of(seed).with(bug));
            problems.into_iter().next().map(|problem| (seed, problem))
        });
        let (seed, problem) = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {problem}");
        if sound.insert(seed) {
            let (problems, ..) = problems_of(&Plan::of(seed));
            assert!(problems.is_empty(), "seed {seed} without a bug: {problems:?}");
        }
    }
}
