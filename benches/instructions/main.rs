//! Counts the instructions of the work behind one referral under valgrind, part by part, and
//! compares them with the counts committed beside this file. Unlike times they hardly depend on the
//! machine's mood. `benches/instructions/run --help` says how.

#[path = "../exchange/machine.rs"]
#[allow(dead_code, reason = "shared with the other bench")]
mod machine;
mod scene;
#[path = "../../tests/store_support/mod.rs"]
mod store_support;
#[path = "../exchange/work.rs"]
#[allow(dead_code, reason = "shared with the other bench")]
mod work;
mod workloads;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::thread;

use workloads::{WORKLOADS, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "Counts instructions under valgrind and compares them with the committed counts.

  benches/instructions/run                      all workloads; fails above the tolerance
  benches/instructions/run --only accept,parse
  benches/instructions/run --write              takes the counts of this run as the committed ones
  benches/instructions/run --plain accept 200   runs one workload so many times, for a profiler";

/// More than this above the committed count fails: what varies from run to run (random nonces, seeds
/// of hash tables) stays well below.
const TOLERANCE: f64 = 0.03;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline.txt");

fn main() -> ExitCode {
    // `cargo bench` adds --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["--plain", name, times] => plain(name, times),
        [] => compare(None, false),
        ["--write"] => compare(None, true),
        ["--only", names] => compare(Some(names), false),
        _ => Err(HELP.to_owned()),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn plain(name: &str, times: &str) -> Result<ExitCode, String> {
    let workload = WORKLOADS.iter().find(|w| w.name == name).ok_or(HELP)?;
    let times: usize = times.parse().map_err(|_| HELP)?;
    if times > workload.most() {
        return Err(format!("{name} can run at most {} times", workload.most()));
    }
    (workload.run)(workload.most(), times);
    Ok(ExitCode::SUCCESS)
}

fn compare(only: Option<&str>, write: bool) -> Result<ExitCode, String> {
    let committed = baseline()?;
    let mut counts = BTreeMap::new();
    let mut worse = false;
    println!("{:<12} {:>12} {:>12} {:>8}   what one is", "", "committed", "now", "change");
    for workload in WORKLOADS {
        if only.is_some_and(|names| names.split(',').all(|name| name != workload.name)) {
            continue;
        }
        let now = count(workload)?;
        counts.insert(workload.name, now);
        let before = committed.get(workload.name).copied();
        let change = before.map(|before| now as f64 / before as f64 - 1.0);
        worse |= change.is_none_or(|change| change > TOLERANCE);
        println!(
            "{:<12} {:>12} {now:>12} {:>8}   {}",
            workload.name,
            before.map_or_else(|| "-".into(), |n| n.to_string()),
            change.map_or_else(|| "new".into(), |c| format!("{:+.1} %", c * 100.0)),
            workload.what,
        );
    }
    if write {
        let lines: String = counts.iter().map(|(name, n)| format!("{name} {n}\n")).collect();
        std::fs::write(BASELINE, lines).map_err(|e| format!("{BASELINE}: {e}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if worse {
        println!(
            "\nMore than {} % above the committed count, or not committed. If that is meant, say \
             why in benches/README.md and run this with --write.",
            TOLERANCE * 100.0
        );
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

fn baseline() -> Result<BTreeMap<String, u64>, String> {
    let text = match std::fs::read_to_string(BASELINE) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.map_err(|e| format!("{BASELINE}: {e}"))?,
    };
    let line =
        |line: &str| Some((line.split_once(' ')?.0.into(), line.split_once(' ')?.1.parse().ok()?));
    text.lines().map(|l| line(l).ok_or(format!("{BASELINE}: {l}"))).collect()
}

/// Instructions of one: those of a long run less those of a short one, so that starting does not
/// count. Both prepare the same.
fn count(workload: &Workload) -> Result<u64, String> {
    let (short, long) = workload.times;
    let (few, many) = thread::scope(|scope| {
        let few = scope.spawn(|| instructions(workload.name, short));
        let many = scope.spawn(|| instructions(workload.name, long));
        (few.join(), many.join())
    });
    let few = few.map_err(|_| "a panic")??;
    let many = many.map_err(|_| "a panic")??;
    Ok((many.saturating_sub(few)) / (long - short) as u64)
}

fn instructions(name: &str, times: usize) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(this)
        .args(["--plain", name, &times.to_string()])
        .output()
        .map_err(|e| format!("valgrind: {e} (Debian: apt-get install valgrind)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said.lines().find_map(|line| line.split_once("I ")?.1.split_once("refs:"));
    let total = total.map(|(_, n)| n.trim().replace(',', ""));
    let total = total.and_then(|n| n.parse().ok()).filter(|_| output.status.success());
    total.ok_or_else(|| format!("{name}: {said}"))
}
