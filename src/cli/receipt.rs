//! `ecaf receipt`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::json;

use super::failure::{Failure, end, plain, print_json};
use crate::domain::case::words_of;
use crate::domain::party::{Organisation, TrustDomain};
use crate::domain::time::Timestamp;
use crate::protocol::evidence::{Bundle, Proven, Says, Statement};
use crate::protocol::tokens::CaseEvent;
use crate::protocol::trust::{Revocation, TrustScope, TrustStore, pem};

/// Verify receipts and evidence offline
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every signature of a receipt or evidence bundle, and that its parts belong together
    ///
    /// Needs nothing but the file and the scheme's root certificate: no network, no gateway. Each
    /// signature is judged at the time at which the exchange recorded it.
    #[command(
        after_help = "Exit codes: 0 everything verified; 1 something did not; 2 not a bundle.

Examples:
  ecaf receipt verify receipt.json --root root.crt
  ecaf receipt verify status.json --root root.crt --document document.json"
    )]
    Verify {
        /// receipt.json or status.json of `ecaf submit`, or evidence.json of an inbox
        file: PathBuf,
        /// The scheme's root certificate (PEM), got from its operator and not from the bundle
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// The document: checks that it is, byte for byte, the one that was sent
        #[arg(long, value_name = "FILE")]
        document: Option<PathBuf>,
        /// The scheme's trust domain [default: that of the first token's signer]
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<TrustDomain>,
        /// Accept the example keys that are published with this program
        #[arg(long)]
        demo: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let Command::Verify { file, root, document, domain, demo, json } = args.command;
    end(verify(&file, &root, document.as_deref(), domain, demo, json))
}

fn verify(
    file: &Path,
    root: &Path,
    document: Option<&Path>,
    domain: Option<TrustDomain>,
    demo: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| Failure::usage(format_args!("{}: {e}", path.display())))
    };
    let mut bundle = Bundle::parse(&read(file)?).map_err(Failure::usage)?;
    if let Some(path) = document {
        bundle.documents.push(URL_SAFE_NO_PAD.encode(read(path)?));
    }
    let roots = pem::certificates(&read(root)?)
        .map_err(|f| Failure::usage(format_args!("{}: {f}", root.display())))?;
    let domain = domain.or_else(|| bundle.claimed_domain());
    // A bundle by its form, so the answer is "no" and not "wrong file": a token was changed.
    let unreadable = "not verified: the first token of the bundle cannot be read";
    let domain = domain.ok_or_else(|| Failure::no(unreadable))?;
    let scope = if demo { TrustScope::Demo } else { TrustScope::Live };
    let issuing = bundle.issuing().map_err(Failure::usage)?;
    let lists = bundle.crls().map_err(Failure::usage)?;
    let trust =
        TrustStore::new(domain.clone(), scope, roots, issuing, lists).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Failure::no(lines.join("\n"))
        })?;
    let proven = bundle.verify(&trust, &domain).map_err(Failure::no)?;
    if json {
        let erased = bundle.erased.iter().map(|e| json!(e)).collect::<Vec<_>>();
        let statements = lines(&proven);
        print_json(&json!({ "verified": true, "statements": statements, "erased": erased }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("Verified: referral {}", proven.referral_id);
    for line in lines(&proven) {
        println!("  {line}");
    }
    if proven.withheld > 0 {
        println!("  ({} places concern other parties and are not shown)", proven.withheld);
    }
    for erased in &bundle.erased {
        println!("  (a document was {}, says whoever gave this file)", plain(&erased.words()));
    }
    match proven.documents.len() {
        0 => println!("The document itself was not checked (--document FILE)."),
        _ => println!("The document is, byte for byte, the one that was sent."),
    }
    Ok(ExitCode::SUCCESS)
}

/// The statements of a proof as lines for people, in the order of their times.
pub(super) fn lines(proven: &Proven) -> Vec<String> {
    let mut statements: Vec<&Statement> = proven.statements.iter().collect();
    statements.sort_by_key(|s| s.at);
    statements.into_iter().map(line).collect()
}

fn line(statement: &Statement) -> String {
    let by = match &statement.by.person {
        Some(person) => format!("{}/person/{person}", statement.by.organisation),
        None => statement.by.organisation.to_string(),
    };
    let said = match &statement.says {
        Says::Submitted(s) => match (&s.attested, &s.iss.organisation) {
            (Some(by), Organisation::Gateway(name)) => {
                format!(
                    "attested by gateway {name} for {}: version {}",
                    by.sender.organisation, s.version
                )
            }
            _ => format!("signed by {by}: version {}, {} {}", s.version, s.urgency, s.request_type),
        },
        Says::Accepted(a) => {
            format!("accepted by {by} at position {} for authority {}", a.position, a.authority)
        }
        Says::Dispatched(note, to) => {
            format!(
                "addressed by {by} to {} as {}",
                to.organisation,
                note.purpose.as_str().replace('_', " ")
            )
        }
        Says::Delivered(d) => format!("stored by {by} under {}", d.reference),
        Says::Recorded(r) => format!("recorded by {by} at position {}", r.position),
        Says::Said(event) => said(event, &by),
    };
    let note = match statement.revocation {
        Revocation::Good => "",
        Revocation::Stale => " (revocation list was stale)",
        Revocation::Doubted => " (DOUBTED: the key may have been in other hands by then)",
    };
    let claimed =
        if statement.recorded { "" } else { " (by its own clock; not recorded by a gateway here)" };
    format!("{}  {said}{claimed}{note}", time(statement.at))
}

/// An event: what is said, by whom, about which children.
fn said(event: &CaseEvent, by: &str) -> String {
    let (kind, body) = (event.kind(), event.body());
    let mut text = match &event.attested {
        None => format!("{} by {by}", kind.name().replace('_', " ")),
        Some(of) => format!(
            "{} by {}, attested by {by}",
            kind.name().replace('_', " "),
            of.sender.organisation
        ),
    };
    if let Some(code) = &body.code {
        let _ = write!(text, ": {}", words_of(kind, code).unwrap_or("a code of a later version"));
    }
    if !body.children.is_empty() {
        let children: Vec<String> = body.children.iter().map(ToString::to_string).collect();
        let _ = write!(text, " (child {})", children.join(", "));
    }
    if let Some(to) = body.to {
        let _ = write!(text, " to authority {to}");
    }
    if let Some(school) = &body.school {
        let _ = write!(text, " to school {school}");
    }
    if let Some(stage) = body.stage {
        let _ = write!(text, " (stage {stage})");
    }
    text
}

fn time(at: Timestamp) -> String {
    let (date, minute) = at.in_england();
    format!("{date} {:02}:{:02}:{:02}", minute / 60, minute % 60, at.seconds().rem_euclid(60))
}
