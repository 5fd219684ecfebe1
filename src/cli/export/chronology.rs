//! `ecaf export chronology`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::app;
use crate::cli::failure::{Failure, NO, print_json};
use crate::cli::say::not_seen;
use crate::config;
use crate::domain::clocks::Setting;
use crate::domain::ids::ReferralId;
use crate::domain::party::TrustDomain;
use crate::effects::{Clock, SystemClock, files};
use crate::protocol::evidence::Bundle;
use crate::protocol::trust::{TrustScope, TrustStore, pem};
use crate::report::chronology::Chronology;
use crate::report::gather::Gathered;

/// One referral's whole thread, line by line, with who signed each line and what proves it
///
/// Verifies everything first, and says at the top what is proved and what is not. It holds personal
/// data wherever this reader may read the documents.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "From the gateway, for a school or an authority's worker; or offline from an evidence file, with
nothing but the scheme's root certificate.

Exit codes: 0 everything is proved; 1 something is not, or refused; 2 wrong input; 3 no answer.

Examples:
  ecaf export chronology 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --config school.toml
  ecaf export chronology 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --config worker.toml --html -o case.html
  ecaf export chronology --bundle status.json --root root.crt --document document.json
  ecaf export chronology --bundle evidence.json --root root.crt --json"
)]
pub(super) struct Args {
    /// The referral; with --bundle it is the bundle's
    #[arg(required_unless_present = "bundle")]
    referral: Option<ReferralId>,
    /// Configuration of a school or of a worker; see deploy/
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// Signed directory, for office hours [default: the configuration's]
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    directory: Option<PathBuf>,
    /// An evidence file instead of the gateway: status.json, receipt.json or evidence.json
    #[arg(long, value_name = "FILE", requires = "root")]
    bundle: Option<PathBuf>,
    /// With --bundle: the scheme's root certificate (PEM), got from its operator
    #[arg(long, value_name = "FILE", requires = "bundle")]
    root: Option<PathBuf>,
    /// With --bundle: a document that the evidence names; may be given several times
    #[arg(long = "document", value_name = "FILE", requires = "bundle")]
    documents: Vec<PathBuf>,
    /// With --bundle: the scheme's trust domain [default: that of the first token's signer]
    #[arg(long, value_name = "DOMAIN", requires = "bundle")]
    domain: Option<TrustDomain>,
    /// With --bundle: accept the example keys that are published with this program
    #[arg(long, requires = "bundle")]
    demo: bool,
    /// One HTML page for print, instead of text
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// The machine form (.docs/chronology.md)
    #[arg(long)]
    json: bool,
    /// Write it there instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let chronology = match &args.bundle {
        Some(file) => offline(args, file)?,
        None => online(args)?,
    };
    match (args.json, args.html, &args.out) {
        (true, _, None) => print_json(&chronology),
        (_, html, out) => {
            let text = match (args.json, html) {
                (true, _) => serde_json::to_string_pretty(&chronology).map_err(Failure::fault)?,
                (_, true) => chronology.readable().to_html(),
                _ => chronology.readable().to_text(),
            };
            write(out.as_deref(), &text)?;
        }
    }
    if !chronology.proved {
        for why in &chronology.not_proved {
            eprintln!("ecaf: NOT PROVED. {why}");
        }
        return Ok(ExitCode::from(NO));
    }
    Ok(ExitCode::SUCCESS)
}

fn online(args: &Args) -> Result<Chronology, Failure> {
    let Some(id) = args.referral else { return Err(Failure::usage("name a referral")) };
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let made = app::block_on(async {
        let member = app::open_member(&settings).await.map_err(Failure::usage)?;
        let setting = super::setting(&member, &settings, args.directory.as_deref())?;
        let gathered = Gathered::from_gateway(&member, id).await.map_err(not_seen)?;
        Ok(Chronology::of(&gathered, &setting))
    });
    made.map_err(Failure::fault)?
}

fn offline(args: &Args, file: &Path) -> Result<Chronology, Failure> {
    let bundle = Bundle::parse(&read(file)?).map_err(Failure::usage)?;
    if args.referral.is_some_and(|id| id != bundle.referral_id) {
        return Err(Failure::usage("the evidence is of another referral"));
    }
    let Some(root) = &args.root else { return Err(Failure::usage("--root is missing")) };
    let roots = pem::certificates(&read(root)?)
        .map_err(|fault| Failure::usage(format_args!("{}: {fault}", root.display())))?;
    let domain = args.domain.clone().or_else(|| bundle.claimed_domain());
    let unreadable = "not verified: the first token of the bundle cannot be read";
    let domain = domain.ok_or_else(|| Failure::no(unreadable))?;
    let scope = if args.demo { TrustScope::Demo } else { TrustScope::Live };
    let issuing = bundle.issuing().map_err(Failure::usage)?;
    let lists = bundle.crls().map_err(Failure::usage)?;
    let trust = TrustStore::new(domain.clone(), scope, roots, issuing, lists);
    let trust = trust.map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::no(lines.join("\n"))
    })?;
    let documents = args.documents.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let gathered = Gathered::offline(bundle, &trust, &domain, &documents, SystemClock.now());
    let gathered = gathered.map_err(|index| {
        let name = args.documents.get(index).map(|path| path.display().to_string());
        let name = name.unwrap_or_default();
        Failure::no(format_args!("{name}: no token of this evidence names this document"))
    })?;
    Ok(Chronology::of(&gathered, &Setting::default()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::usage(format_args!("{}: {e}", path.display())))
}

/// To a file that only its owner reads, or to standard output.
fn write(out: Option<&Path>, text: &str) -> Result<(), Failure> {
    match out {
        Some(path) => files::replace(path, text.as_bytes(), files::PRIVATE)
            .map_err(|e| Failure::fault(format_args!("{}: {e}", path.display()))),
        None => {
            // A closed pipe is the reader's choice, not a failure.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            Ok(())
        }
    }
}
