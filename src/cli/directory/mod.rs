//! `ecaf directory`: build, sign, verify and read the scheme's directory.

mod show;

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::pki::scheme::trust_store;
use crate::domain::directory::{Directory, Freshness};
use crate::domain::party::TrustDomain;
use crate::domain::time::{DAY, Timestamp};
use crate::effects::{Clock, SystemClock, files};
use crate::protocol::directory::{
    self, DirectoryDoc, Header, Overlay, SignFault, check_production, read_json, read_register,
    unpack_unverified, write_json,
};
use crate::protocol::trust::issue::PrivateKey;
use crate::protocol::trust::{Chain, Purpose, TrustScope, identity, pem};

/// Build, sign, verify and read the scheme's directory
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  ecaf directory build --trust-domain scheme.example.org --issue 1 --overlay ours.toml -o directory.json
  ecaf directory sign directory.json --key operator-signing.key --chain operator-signing.crt -o directory.signed.json
  ecaf directory verify directory.signed.json --trust-domain scheme.example.org --production
  ecaf directory show directory.signed.json
  ecaf directory lookup authority Newham --directory directory.signed.json"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(Build),
    Sign(Sign),
    Verify(Verify),
    Show(Show),
    #[command(subcommand)]
    Lookup(Lookup),
}

/// Build a directory: the table of England's authorities with your overlay on top
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without an overlay all 153 authorities are there, not connected. An overlay is TOML:
  [[gateways]]
  name = \"london-1\"
  base_url = \"https://gateway.example.org:8443\"
  [[authorities]]
  code = \"316\"
  connection = \"push\"                  # or pull, page, not_connected
  endpoint = \"https://newham.example.org:8443\"
  events_endpoint = \"https://newham.example.org:8443\"  # events are pushed there (RFC 8935); optional
  staffed_hours = \"mon-fri 09:00-17:00\"
  out_of_hours = \"phone_only\"          # or endpoint, none_verified
  cut_off = \"16:30\"                    # later ones count as received the next working day; not U0, U1
  designated_officers = [\"lado-1\"]     # ids in certificates: nobody else sees an allegation (LADO)
  profile = { limits = { C5 = \"4 h of business\", C9 = \"44 working days\" }, head_of_service = true }
  [[authorities.contacts]]
  kind = \"daytime\"                     # or out_of_hours, lado, technical, escalation
  label = \"Multi-agency safeguarding hub\"
  phone = \"01632 960316\"
  verified_at = \"2026-11-02\"           # unverified contacts are never given out
  verified_by = \"operator-desk\"
  [[schools]]
  id = \"900001\"                        # name and authority from --gias, or given here
  signing = \"attested\"                 # or signed
  attested_by = [\"london-1\"]
  events_endpoint = \"https://events.school.example\"  # events are pushed there too; optional
  [schools.calendar]                   # also [authorities.calendar]: the terms of its area
  terms = [{ first = \"2026-09-03\", last = \"2026-10-23\" }, { first = \"2026-11-02\", last = \"2026-12-18\" }]
  inset_days = [\"2026-11-27\"]
  half_days = [{ day = \"2026-12-18\", ends = \"12:30\" }]
  closures = [{ first = \"2026-11-30\", last = \"2026-12-01\" }]
  opens = \"08:40\"
  home_time = \"15:15\"
  [schools.holiday_contact]            # a role, never a name or anybody's own number
  role = \"deputy_safeguarding_lead\"    # or safeguarding_lead, head_teacher, chair, trust_safeguarding_lead
  phone = \"01632 960777\"
  hours = \"mon-fri 10:00-16:00\"
  verified_at = \"2026-11-02\"
  verified_by = \"operator-desk\""
)]
struct Build {
    /// The host part of every identity in the scheme
    #[arg(long)]
    trust_domain: TrustDomain,
    /// Number of this issue; must be higher than the one in use
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    issue: u64,
    /// Days until the next issue should be in use, at most 92
    #[arg(long, default_value = "30", value_parser = clap::value_parser!(i64).range(1..=92))]
    days: i64,
    /// Connections, hours, contacts, schools and gateways, in TOML
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
    /// Schools register: edubasealldata of Get Information about Schools, also gzipped
    #[arg(long, value_name = "FILE")]
    gias: Option<PathBuf>,
    /// Time of issue; now if absent
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Where to write it; the screen if absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Sign a directory as the scheme's operator
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  ecaf directory sign directory.json --key operator-signing.key --chain operator-signing.crt -o directory.signed.json

The content is signed byte for byte. Gateways and authorities take it from their configured path.")]
struct Sign {
    /// What "ecaf directory build" wrote
    file: PathBuf,
    /// The operator's signing key, PKCS #8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The operator's signing certificate with its issuing CA, in PEM
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// Where to write it; the screen if absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Check a signed directory as every party of the scheme does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: good. 1: refused, with the rule. 2: a file or option is wrong.

Examples:
  ecaf directory verify directory.signed.json --trust-domain scheme.example.org --scheme trust
  ecaf directory verify directory.signed.json --trust-domain scheme.example.org --production"
)]
struct Verify {
    /// What "ecaf directory sign" wrote
    file: PathBuf,
    /// The host part of every identity in the scheme
    #[arg(long)]
    trust_domain: TrustDomain,
    /// Folder with root.crt, issuing.crt and crl/
    #[arg(long, value_name = "FOLDER", default_value = "scheme")]
    scheme: PathBuf,
    /// Accept the published example keys: for the demonstration only
    #[arg(long, conflicts_with = "production")]
    demo: bool,
    /// Also refuse invented phone numbers and connected authorities without verified contacts
    #[arg(long)]
    production: bool,
    /// Judge as of this time; now if absent
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Show a directory, signed or not; the signature is not checked
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf directory show directory.signed.json
  ecaf directory show directory.signed.json --json > directory.json")]
struct Show {
    /// The directory
    file: PathBuf,
    /// The document as it was signed, byte for byte
    #[arg(long)]
    json: bool,
}

/// Look up one school or authority; the signature is not checked
#[derive(Debug, Subcommand)]
enum Lookup {
    /// By its id: URN, ukprn-NUMBER or an assigned one
    School(Wanted),
    /// By its three-digit code, ONS area code or name
    Authority(Wanted),
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// What to look for
    wanted: String,
    /// The directory; if absent, the table of authorities in this program
    #[arg(long, short, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// As of this time; now if absent
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Why a command did not do what it should: exit codes 1, 2 and 3.
enum Failure {
    No(String),
    Usage(String),
    Fault(String),
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Build(args) => build(args),
        Command::Sign(args) => sign(args),
        Command::Verify(args) => verify(args),
        Command::Show(args) => show(&args),
        Command::Lookup(Lookup::School(wanted)) => show::school(&wanted),
        Command::Lookup(Lookup::Authority(wanted)) => show::authority(&wanted),
    };
    let (code, text) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::No(text)) => (1, text),
        Err(Failure::Usage(text)) => (2, text),
        Err(Failure::Fault(text)) => (3, text),
    };
    eprintln!("error: {text}");
    ExitCode::from(code)
}

fn build(args: Build) -> Result<(), Failure> {
    let overlay = match &args.overlay {
        Some(file) => {
            let text = String::from_utf8(read(file)?).map_err(|_| wrong(file, "not UTF-8"))?;
            directory::read_overlay(&text).map_err(|fault| wrong(file, fault))?
        }
        None => Overlay::default(),
    };
    let register = match &args.gias {
        Some(file) => {
            let open = fs::File::open(file).map_err(|fault| at_file(file, &fault))?;
            Some(read_register(open).map_err(|fault| wrong(file, fault))?)
        }
        None => None,
    };
    let issued_at = args.at.unwrap_or_else(|| SystemClock.now());
    let header = Header {
        version: args.issue,
        issued_at,
        expires_at: issued_at.plus(args.days * DAY),
        trust_domain: args.trust_domain,
    };
    let (directory, warnings) = directory::build(header, overlay, register.as_ref())
        .map_err(|fault| Failure::No(fault.to_string()))?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    write(args.output.as_deref(), &write_json(&directory))?;
    if let Some(file) = &args.output {
        println!("Wrote {}: {}", file.display(), show::summary(&directory));
        println!("Next: ecaf directory sign {} --key KEY --chain CHAIN -o FILE", file.display());
    }
    Ok(())
}

fn sign(args: Sign) -> Result<(), Failure> {
    let document = read(&args.file)?;
    let key = files::read_private(&args.key).map_err(|fault| at_file(&args.key, &fault))?;
    let key = PrivateKey::from_pem(&key).map_err(|fault| wrong(&args.key, fault))?;
    let key = key.to_signing_key().map_err(|fault| wrong(&args.key, fault))?;
    let chain =
        pem::certificates(&read(&args.chain)?).map_err(|fault| wrong(&args.chain, fault))?;
    let chain = Chain::presented(chain).map_err(|fault| wrong(&args.chain, fault))?;
    let party = identity(chain.leaf()).map_err(|fault| wrong(&args.chain, fault))?;
    let signed = directory::sign(&document, &party, &key, &chain).map_err(|fault| match fault {
        SignFault::Refused(refusal) => Failure::No(refusal.to_string()),
        SignFault::Key(fault) => wrong(&args.key, fault),
    })?;
    write(args.output.as_deref(), &signed)?;
    if let Some(file) = &args.output {
        println!("Signed by {party}: {}", file.display());
    }
    Ok(())
}

fn verify(args: Verify) -> Result<(), Failure> {
    let at = args.at.unwrap_or_else(|| SystemClock.now());
    let scope = if args.demo { TrustScope::Demo } else { TrustScope::Live };
    let trust = trust_store(&args.scheme, &args.trust_domain, scope)
        .map_err(|fault| Failure::Usage(fault.to_string()))?;
    let file = read(&args.file)?;
    let check = |chain: &Chain| trust.verify(chain, Purpose::Signing, at);
    let verified = directory::accept(&file, check, at, None)
        .map_err(|refusal| Failure::No(refusal.to_string()))?;
    let directory = verified.directory();
    if args.production {
        let found = check_production(directory, at);
        if !found.is_empty() {
            let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
            return Err(Failure::No(lines.join("\n")));
        }
    }
    println!("Good: {}", show::summary(directory));
    println!("Signed by {}, SHA-256 {}", verified.signer(), verified.digest());
    if directory.freshness(at) == Freshness::Stale {
        println!("Stale: ended at {}; usable for a day after that", directory.expires_at);
    }
    Ok(())
}

fn show(args: &Show) -> Result<(), Failure> {
    let document = document(&args.file)?;
    if args.json {
        return write(None, &document);
    }
    let directory = parsed(&args.file, &document)?;
    print(&show::table(&directory))
}

/// The document in a file, signed or not.
fn document(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(file)?;
    Ok(unpack_unverified(&bytes).unwrap_or(bytes))
}

fn parsed(file: &Path, document: &[u8]) -> Result<Directory, Failure> {
    read_json(document).map_err(|violations| {
        let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
        wrong(file, lines.join("\n"))
    })
}

/// The directory to look into: a file, or the table in this program.
fn directory_of(wanted: &Wanted, at: Timestamp) -> Result<Directory, Failure> {
    if let Some(file) = &wanted.directory {
        return parsed(file, &document(file)?);
    }
    let doc = DirectoryDoc {
        version: 1,
        issued_at: at.to_string(),
        expires_at: at.plus(DAY).to_string(),
        trust_domain: directory::DEMO_TRUST_DOMAIN.to_owned(),
        bank_holidays: directory::table::bank_holidays(),
        authorities: directory::table::authorities(),
        schools: Vec::new(),
        gateways: Vec::new(),
    };
    directory::read(&doc).map_err(|_| Failure::Fault("the table in this program is damaged".into()))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|fault| at_file(file, &fault))
}

/// Writes a whole file or none.
fn write(file: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    let Some(file) = file else {
        return io::stdout().write_all(bytes).map_err(|fault| Failure::Fault(fault.to_string()));
    };
    files::replace(file, bytes, files::PUBLIC)
        .map_err(|fault| Failure::Fault(format!("{}: {fault}", file.display())))
}

fn print(text: &str) -> Result<(), Failure> {
    write(None, text.as_bytes())
}

fn at_file(file: &Path, fault: &io::Error) -> Failure {
    let text = format!("{}: {fault}", file.display());
    match fault.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::Usage(text),
        _ => Failure::Fault(text),
    }
}

fn wrong(file: &Path, what: impl Display) -> Failure {
    Failure::Usage(format!("{}: {what}", file.display()))
}
