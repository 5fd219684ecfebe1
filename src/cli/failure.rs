//! How a subcommand ends when it does not end well.

use std::fmt::Display;
use std::process::ExitCode;

/// The answer is no.
pub(super) const NO: u8 = 1;
/// The command line or an input file is wrong.
pub(super) const USAGE: u8 = 2;
/// A fault: disk, network, time-out.
pub(super) const FAULT: u8 = 3;

/// An exit code and a line or more for standard error.
pub(super) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    pub fn no(text: impl Display) -> Self {
        Self { code: NO, text: text.to_string() }
    }

    pub fn usage(text: impl Display) -> Self {
        Self { code: USAGE, text: text.to_string() }
    }

    pub fn fault(text: impl Display) -> Self {
        Self { code: FAULT, text: text.to_string() }
    }
}

/// Prints a failure, each line named, and gives the exit code.
pub(super) fn end(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        for line in failure.text.lines() {
            eprintln!("ecaf: {line}");
        }
        ExitCode::from(failure.code)
    })
}

/// Prints a value as JSON for other programs.
pub(super) fn print_json(value: &impl serde::Serialize) {
    // Writing to a closed pipe is the reader's choice, not a failure.
    use std::io::Write;
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A table with aligned columns for people.
pub(super) fn print_table(heads: &[&str], rows: &[Vec<String>]) {
    use std::io::Write;
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
        cells.chain([heads[i].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut out = std::io::stdout().lock();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let text: String = cells.zip(&widths).map(|(c, w)| format!("{c:w$}  ")).collect();
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(&mut heads.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// Text of another party, without anything that could move the cursor or hide a line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
