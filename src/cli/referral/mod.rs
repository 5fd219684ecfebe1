//! `ecaf referral`: drafts, the offline check, the readable form and the field reference.

mod copy;
mod refused;
mod split;

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::domain::ids::ReferralId;
use crate::domain::party::SchoolId;
use crate::domain::referral::{Completeness, RequestType};
use crate::domain::refusal::Violation;
use crate::effects::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::protocol::document::readable;
use crate::protocol::hash::sha256;
use crate::protocol::json::{self, DEFAULT_LIMIT, Position, position_of};
use crate::protocol::schema::{self, Draft, Finding};

/// Start, check and read referrals
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral new --minimal --school 900001 -o today.jsonc
  ecaf referral check today.jsonc
  ecaf referral show today.jsonc | less")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(New),
    Check(Check),
    Show(Show),
    Split(split::Args),
    Copy(copy::Args),
    AfterRefusal(refused::Args),
    /// Print the field reference of the form, in Markdown
    Fields,
    /// Print the table of events that may follow a referral, in Markdown
    Events,
}

/// Start a referral: a draft with notes, for a text editor
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral new --minimal -o today.jsonc       the dozen answers of an urgent referral
  ecaf referral new --type family_help -o hall.jsonc
  ecaf referral new --type lado --school 900001    to the screen")]
struct New {
    /// The short form for urgent referrals
    #[arg(long, conflicts_with = "full")]
    minimal: bool,
    /// The whole form (what you get without --minimal)
    #[arg(long)]
    full: bool,
    /// Id of the sending school, such as its URN
    #[arg(long, value_name = "ID")]
    school: Option<SchoolId>,
    /// What is asked for
    #[arg(long = "type", value_name = "TYPE", default_value = "protection",
          value_parser = ["protection", "child_in_need", "family_help", "lado",
                          "private_fostering", "information_only"])]
    request_type: String,
    /// Write to this file, which must not exist yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Check referrals offline: everything that is missing or mistaken, with line and column
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral check today.jsonc
  ecaf referral check --json outbox/*.json
  curl -s https://... | ecaf referral check -

Exit code: 0 valid (advice may be given), 1 not valid, 2 a file cannot be read.")]
struct Check {
    /// Drafts or exact documents; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// Print a referral as a social worker reads it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral show today.jsonc
  ecaf referral show --html today.jsonc > today.html")]
struct Show {
    /// A draft or an exact document; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One self-contained HTML page instead of text
    #[arg(long)]
    html: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let result = match args.command {
        Command::New(args) => new(&args, &SystemClock, &SystemEntropy::default()),
        Command::Check(args) => check(&args, &SystemClock),
        Command::Show(args) => show(&args),
        Command::Split(args) => split::run(&args),
        Command::Copy(args) => copy::run(&args),
        Command::AfterRefusal(args) => refused::run(&args),
        Command::Fields => print(&schema::field_reference()),
        Command::Events => print(&crate::domain::case::page()),
    };
    result.unwrap_or_else(|stopped| {
        eprintln!("ecaf: {}", stopped.message);
        ExitCode::from(stopped.code)
    })
}

struct Stopped {
    code: u8,
    message: String,
}

fn stopped(code: u8, message: impl Into<String>) -> Stopped {
    Stopped { code, message: message.into() }
}

fn new(args: &New, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<ExitCode, Stopped> {
    let mut salt = [0; 16];
    let id = entropy.fill(&mut salt).and_then(|()| entropy.uuid());
    let id = id.map_err(|e| stopped(3, e.to_string()))?;
    let request_type = RequestType::from_code(&args.request_type)
        .ok_or_else(|| stopped(2, "there is no such type of request"))?;
    let text = Draft {
        completeness: if args.minimal {
            Completeness::UrgentMinimal
        } else {
            Completeness::Standard
        },
        request_type,
        school: args.school.as_ref(),
        referral_id: ReferralId::from_bytes(id),
        salt,
        now: clock.now(),
    }
    .text();
    let Some(path) = &args.output else { return print(&text) };
    write_new(path, &text)?;
    let shown = path.display();
    println!("Wrote {shown}\nFill it in with a text editor, then: ecaf referral check {shown}");
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> Result<(), Stopped> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => "it exists already; choose another name".to_owned(),
            _ => error.to_string(),
        };
        stopped(2, format!("{}: {why}", path.display()))
    })?;
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        // Half a draft would be worse than none; if even that fails, the error says enough.
        let _ = fs::remove_file(path);
        return Err(stopped(3, format!("{}: {error}", path.display())));
    }
    Ok(())
}

fn print(text: &str) -> Result<ExitCode, Stopped> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader went away (`| head`): nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(stopped(3, error.to_string())),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Stopped> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to refuse the rest unread.
    let limit = DEFAULT_LIMIT as u64 + 1;
    let done = if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    done.map_err(|error| stopped(2, format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

/// Parses a draft or an exact document; lines and columns in messages are those of the file.
fn parse(bytes: &[u8]) -> Result<Value, Violation> {
    match std::str::from_utf8(bytes) {
        Ok(text) => json::parse(json::blank_comments(text).as_bytes(), DEFAULT_LIMIT),
        Err(_) => json::parse(bytes, DEFAULT_LIMIT),
    }
}

fn check(args: &Check, clock: &dyn Clock) -> Result<ExitCode, Stopped> {
    let today = clock.now().in_england().0;
    let (mut reports, mut text, mut worst) = (Vec::new(), String::new(), 0);
    for path in &args.files {
        let name = path.display().to_string();
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("ecaf: {}", error.message);
                worst = 2;
                continue;
            }
        };
        let (broken, advice) = match parse(&bytes) {
            Ok(document) => schema::findings(&document, today),
            Err(violation) => (vec![Finding::plain(violation)], Vec::new()),
        };
        worst = worst.max(u8::from(!broken.is_empty()));
        let advice: Vec<Finding> = advice.into_iter().map(Finding::plain).collect();
        if args.json {
            reports.push(report(&name, &bytes, &broken, &advice));
        } else {
            describe(&name, &bytes, &broken, &advice, &mut text);
        }
    }
    if args.json {
        text = format!("{:#}\n", Value::Array(reports));
    }
    print(&text)?;
    Ok(ExitCode::from(worst))
}

fn place(bytes: &[u8], finding: &Finding) -> Option<Position> {
    position_of(bytes, &finding.place).filter(|_| !finding.violation.rule.id.starts_with("json."))
}

fn describe(name: &str, bytes: &[u8], broken: &[Finding], advice: &[Finding], out: &mut String) {
    for (findings, kind) in [(broken, "error"), (advice, "advice")] {
        let mut placed: Vec<(Option<Position>, &Finding)> =
            findings.iter().map(|finding| (place(bytes, finding), finding)).collect();
        placed.sort_by_key(|(at, _)| *at);
        for (at, Finding { violation, .. }) in placed {
            let at = at.map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
            let detail = match violation.detail.as_str() {
                "" => String::new(),
                detail => format!(" ({detail})"),
            };
            let rule = violation.rule;
            out.push_str(&format!("{name}{at}: {kind}: {}{detail}\n", rule.title));
            if !violation.pointer.is_empty() {
                out.push_str(&format!("    at {}\n", violation.pointer));
            }
            out.push_str(&format!("    {} [{}]\n", rule.action, rule.id));
        }
    }
    let count = |n: usize, one: &str, many: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let pieces = count(advice.len(), "piece of advice", "pieces of advice");
    out.push_str(&match (broken.len(), advice.len()) {
        (0, 0) => format!("{name}: valid\n"),
        (0, _) => format!("{name}: valid, with {pieces}\n"),
        (n, _) => format!("{name}: not valid, {}\n", count(n, "mistake", "mistakes")),
    });
}

fn report(name: &str, bytes: &[u8], broken: &[Finding], advice: &[Finding]) -> Value {
    let list = |findings: &[Finding]| -> Vec<Value> {
        findings
            .iter()
            .map(|finding| {
                let violation = &finding.violation;
                let mut value = json!({
                    "rule": violation.rule.id,
                    "pointer": violation.pointer,
                    "title": violation.rule.title,
                    "detail": violation.detail,
                    "action": violation.rule.action,
                });
                if let Some(at) = place(bytes, finding) {
                    value["line"] = json!(at.line);
                    value["column"] = json!(at.column);
                }
                value
            })
            .collect()
    };
    // The digest of what `submit` would send: a draft without its notes.
    let exact = std::str::from_utf8(bytes).map(json::strip_comments);
    let digest = exact.map_or(sha256(bytes), |text| sha256(text.as_bytes()));
    json!({
        "file": name,
        "valid": broken.is_empty(),
        "payload_sha256": digest.to_string(),
        "violations": list(broken),
        "advice": list(advice),
    })
}

fn show(args: &Show) -> Result<ExitCode, Stopped> {
    let bytes = read(&args.file)?;
    let document = parse(&bytes)
        .map_err(|violation| stopped(1, format!("{}: {violation}", args.file.display())))?;
    let page = readable(&document, "From a file on this machine; nothing here has been verified.");
    print(&if args.html { page.to_html() } else { page.to_text() })
}
