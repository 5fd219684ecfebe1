//! `ecaf submit`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::failure::{FAULT, Failure, NO, end, plain, print_json};
use crate::app;
use crate::config::{self, MemberSettings};
use crate::domain::party::DfeCode;
use crate::effects::{Clock, SystemClock, files};
use crate::protocol::problem::ProblemDocument;
use crate::report::moment::length;
use crate::school::compose::{LARGEST_DRAFT, compose};
use crate::school::submit::{NotSubmitted, Submitted, submit};

/// Sign and send a referral, and store its receipt
#[derive(Debug, clap::Args)]
#[command(after_help = "Safe to repeat: the same file is one referral, however often it is sent.

Exit codes: 0 there is a verified receipt; 1 refused, nothing was sent on; 2 the file or the
configuration is wrong; 3 no answer: send again, and ring if it is urgent.

Examples:
  ecaf submit referral.json --config school.toml
  ecaf submit - --json < referral.json")]
pub struct Args {
    /// The referral, as `ecaf referral new` starts it; - for standard input
    file: PathBuf,
    /// Configuration; see deploy/school.toml
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(attempt(&args))
}

fn attempt(args: &Args) -> Result<ExitCode, Failure> {
    let settings = config::load_school(&args.config).map_err(Failure::usage)?;
    let draft = read(&args.file)?;
    let today = SystemClock.now().in_england().0;
    let composed = compose(&draft, today).map_err(|violations| {
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let more =
            format!("nothing was sent; ecaf referral check {} shows where", args.file.display());
        Failure::no(format!("{}\n{more}", lines.join("\n")))
    })?;
    let outcome = app::block_on(async {
        let sender = app::open_member(&settings).await.map_err(Failure::usage)?;
        let progress = |attempt, fault: &_| {
            if std::io::stderr().is_terminal() {
                eprintln!("attempt {attempt}: {fault}; sending the same again");
            }
        };
        Ok::<_, Failure>(submit(&sender, &composed, progress).await)
    });
    let id = composed.checked.header().referral_id.to_string();
    match outcome.map_err(Failure::fault)?? {
        Ok(submitted) => {
            if args.json {
                print_json(&as_json(&id, &submitted))
            } else {
                tell(&id, &submitted)
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(not) => refused(args, &settings, &id, not),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = LARGEST_DRAFT as u64 + 1;
    let outcome = if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(most).read_to_end(&mut bytes))
    };
    outcome.map_err(|e| Failure::usage(format_args!("{}: {e}", file.display())))?;
    Ok(bytes)
}

fn tell(id: &str, s: &Submitted) {
    let mut out = std::io::stdout().lock();
    let new = if s.new { "" } else { " (it was there already: this is the same receipt)" };
    let name = &plain(&s.authority);
    let _ = writeln!(out, "Held by the exchange; {name} does not have it yet{new}");
    let _ = writeln!(out, "  referral   {id}");
    let _ = writeln!(out, "  recorded   {}", s.accepted.recorded_at);
    let _ = writeln!(
        out,
        "  authority  {name} ({}), by {}",
        s.accepted.authority, s.accepted.routing_rule
    );
    let _ = writeln!(out, "  receipt    {}", s.receipt.display());
    match &s.unattended {
        Some(now) => {
            let _ = writeln!(out, "  NOW        {}", plain(now));
        }
        None => {
            let _ = writeln!(out, "  meanwhile  {}", plain(&s.help));
        }
    }
    if let Some(ahead) = s.ahead.map(length) {
        let _ = writeln!(
            out,
            "  CLOCK      recorded {ahead} ahead of this machine's clock: if this one is right, {name} \
             takes it only then, so ring now and tell the gateway's operator"
        );
    }
    for advice in &s.advice {
        let place = if advice.pointer.is_empty() { "" } else { &advice.pointer };
        let detail =
            if advice.detail.is_empty() { String::new() } else { format!(" ({})", advice.detail) };
        let _ = writeln!(out, "  advice     {place} {}{detail}. {}", advice.title, advice.action);
    }
    let _ = writeln!(out, "See whether it has arrived: ecaf status {id}");
}

fn as_json(id: &str, s: &Submitted) -> serde_json::Value {
    json!({
        "referral_id": id,
        "version": s.accepted.version,
        "new": s.new,
        "recorded_at": s.accepted.recorded_at.to_string(),
        "authority": s.accepted.authority.to_string(),
        "authority_name": s.authority,
        "routing_rule": s.accepted.routing_rule,
        "accepted_sha256": s.accepted_sha256.to_string(),
        "payload_sha256": s.accepted.payload_sha256.to_string(),
        "receipt": s.receipt.display().to_string(),
        "help": s.help,
        "ahead_millis": s.ahead,
        "unattended": s.unattended,
        "attempts": s.attempts,
        "advice": s.advice,
    })
}

fn refused(
    args: &Args,
    settings: &MemberSettings,
    id: &str,
    not: NotSubmitted,
) -> Result<ExitCode, Failure> {
    match not {
        NotSubmitted::OtherBytesHere => Err(Failure::no(format_args!(
            "this referral was sent before with other content; nothing was sent now. To send a new \
             one: ecaf referral new. What was sent is in {}",
            settings.state_dir.join("referrals").join(id).display()
        ))),
        NotSubmitted::Refused(problem) => {
            if args.json {
                print_json(&*problem);
                return Ok(ExitCode::from(NO));
            }
            told(args, id, &problem)
        }
        NotSubmitted::BadReceipt(refusal) => Err(Failure::fault(refusal)),
        NotSubmitted::NotKnown { attempts, problem } => {
            for v in problem.iter().flat_map(|problem| &problem.violations) {
                eprintln!("ecaf: not taken now: {}. {} [{}]", v.title, v.action, v.rule);
            }
            eprintln!(
                "ecaf: no receipt after {attempts} attempts: whether it was taken is not known"
            );
            eprintln!("ecaf: send the same file again: that is safe, and brings the receipt");
            eprintln!("ecaf: if it is urgent, ring now (999 if a child is in danger)");
            Ok(ExitCode::from(FAULT))
        }
        NotSubmitted::NoAnswer { last, attempts } => {
            eprintln!("ecaf: not sent, after {attempts} attempts: {last}");
            eprintln!(
                "ecaf: send the same file again; if it is urgent, ring now (999 if a child is in danger)"
            );
            Ok(ExitCode::from(FAULT))
        }
        NotSubmitted::Here(fault) => {
            Err(Failure::fault(format_args!("{}: {fault}", settings.state_dir.display())))
        }
        NotSubmitted::Signing(fault) => Err(Failure::fault(fault)),
    }
}

/// How to record what now goes by telephone or secure e-mail, where the exchange cannot bring it: by the rules of
/// the gateway that say so.
fn hand_over(problem: &ProblemDocument, readable: &Path) -> Option<String> {
    let by_hand = ["routing.not-connected", "routing.no-way-from-here"];
    let refused = problem.violations.iter().find(|v| by_hand.contains(&v.rule.as_str()))?;
    // The detail ends with the code of the authority.
    let code = refused.detail.rsplit(' ').next().and_then(|last| last.parse::<DfeCode>().ok());
    let code = code.map_or("CODE".to_owned(), |code| code.to_string());
    let sent = match &problem.readable {
        Some(_) => format!(" --sent {}", readable.display()),
        None => String::new(),
    };
    Some(format!(
        "then record that you have handed it over (TYPE as in the referral, such as protection):\n  \
         ecaf school handed-over --draft > handed-over.jsonc\n  \
         ecaf school handed-over {code} TYPE -d handed-over.jsonc{sent}"
    ))
}

/// A refusal for a person: every rule, whom to ring, and the way out where there is one.
fn told(args: &Args, id: &str, problem: &ProblemDocument) -> Result<ExitCode, Failure> {
    let mut lines = vec!["refused; nothing was sent on".to_owned()];
    for v in &problem.violations {
        let detail = if v.detail.is_empty() { String::new() } else { format!(" ({})", v.detail) };
        lines.push(
            format!("{} {}{detail}. {} [{}]", v.pointer, v.title, v.action, v.rule).trim().into(),
        );
    }
    lines.extend(problem.help.as_deref().map(plain));
    let beside = |name: String| match args.file.parent() {
        Some(folder) if args.file != Path::new("-") => folder.join(name),
        _ => PathBuf::from(name),
    };
    let mut keep = |name: String, bytes: &[u8], say: &str| {
        let path = beside(name);
        match files::replace(&path, bytes, 0o600) {
            Ok(()) => lines.push(format!("{say}: {}", path.display())),
            Err(fault) => lines.push(format!("{}: {fault}", path.display())),
        }
    };
    if let Some(bytes) =
        problem.minimal_document.as_ref().and_then(|t| URL_SAFE_NO_PAD.decode(t).ok())
    {
        keep(
            format!("{id}.minimal.json"),
            &bytes,
            "what was urgent in it can go at once, with ecaf submit",
        );
    }
    if let Some(text) = &problem.readable {
        keep(
            format!("{id}.txt"),
            text.as_bytes(),
            "to read out on the phone, or for secure e-mail",
        );
    }
    lines.extend(hand_over(problem, &beside(format!("{id}.txt"))));
    Err(Failure::no(lines.join("\n")))
}
