//! Lines for the report on faults. A suite that injects faults says what it did, one line each; with
//! `ECAF_FAULT_REPORT` naming a file they are appended to it, and `tests/faults` prints the table.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

/// One row of the table.
pub struct Line<'a> {
    /// Which suite.
    pub suite: &'a str,
    /// What went wrong.
    pub fault: &'a str,
    /// Where it was put in.
    pub at: &'a str,
    /// How many times.
    pub runs: u64,
    /// What was checked afterwards.
    pub checked: &'a str,
}

/// Says that everything in `line` held. Called after the checks: a suite that fails says nothing, and the
/// table shows its test as failed.
pub fn held(line: &Line<'_>) {
    write(line, "held");
}

fn write(line: &Line<'_>, result: &str) {
    let Some(path) = std::env::var_os("ECAF_FAULT_REPORT") else { return };
    let Line { suite, fault, at, runs, checked } = line;
    let text = json!({
        "suite": suite, "fault": fault, "at": at, "runs": runs, "checked": checked,
        "result": result,
    });
    // One write of one line, so that test binaries may append at the same time.
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}
