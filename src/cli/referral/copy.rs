//! `ecaf referral copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{Stopped, parse, print, read, stopped, write_new};
use crate::protocol::document::copy::family_copy;

/// Draft a copy for one member of the family, by local id
///
/// It holds the school's own words about that person's own children, and nothing that reveals a place
/// where any address is withheld. There is none for a person who is said to have done harm, none where
/// parents do not know of the referral, and none of an allegation about staff. It is a draft: a
/// data-protection officer decides whether it is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral copy today.jsonc --for p1
  ecaf referral copy today.jsonc --for p1 --html -o copy.html
  ecaf referral copy today.jsonc --for p1 --left-out     what it does not hold; for the school alone

Exit code: 0 made, 1 there is none for this person, 2 a file cannot be read.")]
pub(super) struct Args {
    /// A draft or an exact document; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Local id of the person, such as p1
    #[arg(long = "for", value_name = "ID")]
    person: String,
    /// One self-contained HTML page instead of text
    #[arg(long, conflicts_with_all = ["left_out", "json"])]
    html: bool,
    /// Write to this file, which must not exist yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what is left out and why instead of the copy: never for the family
    #[arg(long)]
    left_out: bool,
    /// Print what is left out as JSON
    #[arg(long, requires = "left_out")]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Stopped> {
    let wrong = |violation| stopped(1, format!("{}: {violation}", args.file.display()));
    let document = parse(&read(&args.file)?).map_err(wrong)?;
    let copy = family_copy(&document, &args.person).map_err(wrong)?;
    let text = match (args.left_out, args.json, args.html) {
        (true, true, _) => {
            let each = |(pointer, why): &(String, &str)| json!({"pointer": pointer, "why": why});
            format!("{:#}\n", copy.left_out.iter().map(each).collect::<serde_json::Value>())
        }
        (true, false, _) => {
            let lines = copy.left_out.iter().map(|(pointer, why)| format!("  {pointer}  {why}\n"));
            format!(
                "Left out of the copy (internal; never for the family):\n{}",
                lines.collect::<String>()
            )
        }
        (false, _, true) => copy.page.to_html(),
        (false, _, false) => copy.page.to_text(),
    };
    match &args.output {
        None => print(&text),
        Some(path) => write_new(path, &text).map(|()| ExitCode::SUCCESS),
    }
}
