//! `ecaf route`.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::postcodes::{Failed, print, tables, today};
use crate::domain::routing::answer::Answer;
use crate::domain::time::Date;

/// Explain which authority is responsible
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Which authority is responsible for children who live at a postcode, and why
    ///
    /// Exit code 0: one answer; 1: a person has to decide; 2: not a postcode, or a wrong argument.
    #[command(after_help = "Examples:\n  ecaf route explain E15 4LZ\n  \
        ecaf route explain KT13 8QY --at 2027-04-01\n  \
        ecaf route explain - --json        (type the postcode, so that no history keeps it)")]
    Explain {
        /// The postcode, with or without its space, or - to read it from standard input
        #[arg(required = true, num_args = 1..=2)]
        postcode: Vec<String>,
        /// The day for which the answer holds [default: today]
        #[arg(long, value_name = "YYYY-MM-DD")]
        at: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// A postcode table of your own instead of the one inside the program
        #[arg(long, value_name = "FILE")]
        table: Option<PathBuf>,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let Command::Explain { postcode, at, json, table } = args.command;
    match explain(&postcode.join(" "), at.as_deref(), json, table.as_deref()) {
        Ok(code) => ExitCode::from(code),
        Err(failed) => {
            eprintln!("ecaf: {}", failed.text);
            ExitCode::from(failed.code)
        }
    }
}

fn explain(
    postcode: &str,
    at: Option<&str>,
    json: bool,
    table: Option<&Path>,
) -> Result<u8, Failed> {
    let wrong = |text: &str| Failed { code: 2, text: text.to_string() };
    let day = match at {
        Some(text) => {
            text.parse::<Date>().map_err(|_| wrong("--at is not a day such as 2027-04-01"))?
        }
        None => today(),
    };
    let typed = if postcode == "-" { first_line()? } else { postcode.to_string() };
    let explanation = tables(table)?.explain(&typed, day);
    if json {
        print(&explanation.json());
    } else {
        print!("{explanation}");
    }
    Ok(match explanation.answer {
        Answer::NotAPostcode => 2,
        answer if answer.certain().is_some() => 0,
        _ => 1,
    })
}

/// One line of standard input; no more than could be a postcode.
fn first_line() -> Result<String, Failed> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(1024)
        .read_line(&mut text)
        .map_err(|error| Failed { code: 2, text: format!("standard input: {error}") })?;
    Ok(text)
}
