//! `ecaf config`: check configuration files.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{load, process_environment};

/// Check configuration files
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  ecaf config check gateway.toml
  ecaf config check *.toml --no-files     before the certificates are in place"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
}

/// Report every mistake at once, with line and key; the file says itself what it is for
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0: no mistake. 2: mistakes, each on a line of its own.

Commented samples of all kinds are in the folder deploy of the source. The environment overrides
ECAF_LISTEN, ECAF_OPERATOR_LISTEN, ECAF_STORE_PATH, ECAF_STATE_DIR and ECAF_LOG_FORMAT.")]
struct Check {
    /// Configuration files of gateways, authorities or schools
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Do not look whether the files that they name are there and keys are private; needed outside
    /// of a service that gets its keys as systemd credentials
    #[arg(long)]
    no_files: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let Command::Check(args) = args.command;
    let mut good = true;
    let mut report = Vec::new();
    for file in &args.files {
        let name = file.display();
        let environment = |variable: &str| match (process_environment(variable), variable) {
            // Only the service itself is given its credentials.
            (None, "CREDENTIALS_DIRECTORY") if args.no_files => Some("/run/credentials".to_owned()),
            (found, _) => found,
        };
        let (kind, mistakes) = match load(file, &environment) {
            Ok(settings) => {
                let found = if args.no_files { Vec::new() } else { settings.file_mistakes() };
                let lines = found.iter().map(|text| format!("{name}: {text}")).collect();
                (Some(settings.kind().as_str()), lines)
            }
            Err(mistakes) => (None, mistakes.to_string().lines().map(str::to_owned).collect()),
        };
        let mistakes: Vec<String> = mistakes;
        good &= mistakes.is_empty();
        if args.json {
            report.push(json!({ "file": file, "kind": kind, "mistakes": mistakes }));
        } else if let (Some(kind), true) = (kind, mistakes.is_empty()) {
            println!("{name}: good configuration of {} {kind}", article(kind));
        } else {
            mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
        }
    }
    if args.json {
        println!("{:#}", serde_json::Value::from(report));
    }
    ExitCode::from(if good { 0 } else { 2 })
}

fn article(word: &str) -> &'static str {
    if word.starts_with('a') { "an" } else { "a" }
}
