//! `ecaf pki`: the scheme's certification authority in a folder.

mod index;
pub(crate) mod scheme;
mod show;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use index::unhex;
use scheme::{NewLeaf, Scheme};

use crate::domain::party::{Party, TrustDomain};
use crate::domain::time::Timestamp;
use crate::effects::files::{self, PRIVATE, PUBLIC};
use crate::effects::{Clock, SystemClock, SystemEntropy};
use crate::protocol::trust::issue::{IssueFault, LeafKind, Reason};
use crate::protocol::trust::{ChainRefusal, may_serve, pem, serial};

/// Run the scheme's certificate authority
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  ecaf pki init --trust-domain demo.ecaf.example --name \"Example scheme\"
  ecaf pki issue gateway/london-1 --dns gateway.example.org --out keys/gateway
  ecaf pki issue school/900001 --out keys/school-900001
  ecaf pki show keys/school-900001-tls.crt --scheme scheme
  ecaf pki revoke keys/school-900001-tls.crt --reason key-compromise
  ecaf pki crl            # at least every other day, by a timer"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Init),
    Issue(Issue),
    Renew(Renew),
    Revoke(Revoke),
    Crl(Crl),
    Show(show::Args),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The folder of the scheme
    #[arg(long, value_name = "FOLDER", default_value = "scheme")]
    scheme: PathBuf,
    /// Act as if it were this time, such as 2026-11-01T00:00:00Z (for examples and rehearsals)
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

impl Common {
    fn now(&self) -> Timestamp {
        self.at.unwrap_or_else(|| SystemClock.now())
    }
}

/// Make a new scheme: root, issuing CA and empty revocation lists
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  ecaf pki init --trust-domain demo.ecaf.example --name \"Example scheme\"

Afterwards take root.key offline; it is needed for the root's list once a quarter.")]
struct Init {
    #[command(flatten)]
    common: Common,
    /// The host part of every identity in the scheme
    #[arg(long)]
    trust_domain: TrustDomain,
    /// What people read in the certificates of the two CAs
    #[arg(long, default_value = "ecaf scheme")]
    name: String,
}

/// Make keys and certificates for a party
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf pki issue school/900001 --out keys/school           # connects and signs
  ecaf pki issue authority/204/person/w12 --only tls --out keys/w12
  ecaf pki issue gateway/london-1 --dns gateway.example.org --out keys/gateway

Writes OUT-tls.crt, OUT-tls.key, OUT-signing.crt and OUT-signing.key. Keys are readable by their
owner alone, and no file is ever written over.")]
struct Issue {
    #[command(flatten)]
    common: Common,
    /// school/URN, authority/CODE, gateway/NAME or operator/NAME, the first two optionally with
    /// /person/ID; or the whole SPIFFE ID
    party: String,
    /// Host name of a server (repeat for more); not for schools and persons
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Only one of the two certificates
    #[arg(long)]
    only: Option<Kind>,
    /// Where to write, without the ending
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// For connections
    Tls,
    /// For signing tokens
    Signing,
}

/// Make a new key and certificate for the party of an old one, which stays valid
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  ecaf pki renew keys/school-tls.crt --out keys/school-tls-2

Renewal is due from two thirds of the lifetime on; `ecaf pki show` says when. Install the new pair
and let the old certificate expire: both are good until then.")]
struct Renew {
    #[command(flatten)]
    common: Common,
    /// The certificate to be renewed
    certificate: PathBuf,
    /// Renew although it is not due yet
    #[arg(long)]
    early: bool,
    /// Where to write, without the ending
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// Revoke a certificate for ever, and make the revocation lists that say so
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf pki revoke keys/school-tls.crt --reason superseded
  ecaf pki revoke 5f3a... --reason key-compromise --invalid-from 2026-11-03T00:00:00Z

What the key signed from the invalidity date on reads \"doubted\"; what it signs from now on is
refused. Reasons: key-compromise, ca-compromise, affiliation-changed, superseded,
cessation-of-operation, privilege-withdrawn.")]
struct Revoke {
    #[command(flatten)]
    common: Common,
    /// A certificate file, or a serial number in hexadecimal
    certificate: String,
    /// Why
    #[arg(long, value_parser = reason)]
    reason: Reason,
    /// Since when the key may have been in other hands
    #[arg(long, value_name = "TIME")]
    invalid_from: Option<Timestamp>,
}

/// Make new revocation lists
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a timer that runs every other day:
  ecaf pki crl --scheme /srv/scheme

The issuing CA's list is current for 7 days, the root's for 92. Without root.key in the folder only
the issuing CA's list is made.")]
struct Crl {
    #[command(flatten)]
    common: Common,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no.
    No(String),
    /// The command line or an input file is wrong.
    Usage(String),
    /// Disk, randomness.
    Fault(String),
}

impl Failure {
    /// A file that cannot be read or written: the caller's mistake if it is missing or is there
    /// already, a fault otherwise.
    pub fn file(path: &Path, error: &io::Error) -> Self {
        let text = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::Usage(text),
            io::ErrorKind::AlreadyExists => {
                Failure::Usage(format!("{} exists already and is kept", path.display()))
            }
            _ => Failure::Fault(text),
        }
    }

    /// A fault at a file.
    pub fn fault(path: &Path, error: &io::Error) -> Self {
        Failure::Fault(format!("{}: {error}", path.display()))
    }

    /// A file with the wrong content.
    pub fn input(path: &Path, what: &str) -> Self {
        Failure::Usage(format!("{}: {what}", path.display()))
    }

    /// The exit code, after telling why.
    fn report(self) -> ExitCode {
        let (code, text) = match self {
            Failure::No(text) => (1, text),
            Failure::Usage(text) => (2, text),
            Failure::Fault(text) => (3, text),
        };
        eprintln!("error: {text}");
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::No(text) | Failure::Usage(text) | Failure::Fault(text)) = self;
        f.write_str(text)
    }
}

impl From<IssueFault> for Failure {
    fn from(fault: IssueFault) -> Self {
        match fault {
            IssueFault::Profile(_) => Failure::No(fault.to_string()),
            IssueFault::Key | IssueFault::Certificate => Failure::Usage(fault.to_string()),
            IssueFault::NoEntropy | IssueFault::Signing => Failure::Fault(fault.to_string()),
        }
    }
}

impl From<ChainRefusal> for Failure {
    fn from(refusal: ChainRefusal) -> Self {
        Failure::No(refusal.to_string())
    }
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Init(args) => init(args),
        Command::Issue(args) => issue(args),
        Command::Renew(args) => renew(args),
        Command::Revoke(args) => revoke(args),
        Command::Crl(args) => crl(args),
        Command::Show(args) => return show::run(args).unwrap_or_else(Failure::report),
    };
    done.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

fn init(args: Init) -> Result<(), Failure> {
    let Common { scheme: folder, .. } = &args.common;
    let now = args.common.now();
    Scheme::init(folder, &args.trust_domain, &args.name, now, &SystemEntropy::default())?;
    println!("Made the scheme {} in {}", args.trust_domain, folder.display());
    println!("Take {} offline; it is needed once a quarter.", folder.join("root.key").display());
    Ok(())
}

fn issue(args: Issue) -> Result<(), Failure> {
    let mut scheme = Scheme::open(&args.common.scheme)?;
    let full = match args.party.starts_with("spiffe://") {
        true => args.party,
        false => format!("spiffe://{}/{}", scheme.trust_domain(), args.party),
    };
    let party: Party = full.parse().map_err(|e| Failure::Usage(format!("{full}: {e}")))?;
    if party.trust_domain != *scheme.trust_domain() {
        let domain = scheme.trust_domain();
        return Err(Failure::Usage(format!("{full} is not of this scheme ({domain})")));
    }
    if !args.dns.is_empty() && !may_serve(&party) {
        return Err(Failure::Usage(
            "--dns is for organisations that listen: a person only connects".to_owned(),
        ));
    }
    let kinds = [(Kind::Tls, LeafKind::Tls { dns: args.dns }), (Kind::Signing, LeafKind::Signing)];
    let wanted = kinds.into_iter().filter(|(kind, _)| args.only.is_none_or(|only| only == *kind));
    let wanted: Vec<_> = wanted
        .map(|(kind, leaf)| {
            let ending = if kind == Kind::Tls { "-tls" } else { "-signing" };
            let mut out = args.out.clone().into_os_string();
            out.push(ending);
            (leaf, PathBuf::from(out))
        })
        .collect();
    for (_, out) in &wanted {
        refuse_taken(out)?;
    }
    for (kind, out) in wanted {
        let now = args.common.now();
        let leaf = scheme.issue(party.clone(), kind, now, &SystemEntropy::default())?;
        write(&leaf, &out)?;
    }
    Ok(())
}

fn renew(args: Renew) -> Result<(), Failure> {
    let now = args.common.now();
    let facts = show::facts(&show::chain(&args.certificate)?)?;
    let mut scheme = Scheme::open(&args.common.scheme)?;
    let Some(old) = scheme.find(&facts.serial).cloned() else {
        let path = args.certificate.display();
        return Err(Failure::No(format!("{path} was not issued by this scheme")));
    };
    let due = facts.period.renew_from();
    if now < due && !args.early {
        return Err(Failure::No(format!(
            "renewal is due from {} on; --early renews it now",
            due.utc_date()
        )));
    }
    refuse_taken(&args.out)?;
    let leaf = scheme.issue(old.party, old.kind, now, &SystemEntropy::default())?;
    write(&leaf, &args.out)?;
    println!("The old certificate stays valid until {}.", facts.period.not_after.utc_date());
    Ok(())
}

fn revoke(args: Revoke) -> Result<(), Failure> {
    let mut scheme = Scheme::open(&args.common.scheme)?;
    let path = Path::new(&args.certificate);
    let number = match unhex(&args.certificate) {
        Some(number) if !path.exists() => number,
        _ => serial(show::chain(path)?.leaf())?,
    };
    scheme.revoke(&number, args.reason, args.invalid_from, args.common.now())?;
    println!("Revoked {}, and made the lists that say so.", index::hex(&number));
    println!("Bring {} to every gateway and party now.", args.common.scheme.join("crl").display());
    Ok(())
}

fn crl(args: Crl) -> Result<(), Failure> {
    let mut scheme = Scheme::open(&args.common.scheme)?;
    for path in scheme.renew_lists(args.common.now())? {
        println!("Made {}", path.display());
    }
    Ok(())
}

fn reason(name: &str) -> Result<Reason, String> {
    Reason::from_name(name).ok_or_else(|| {
        let all: Vec<&str> = Reason::ALL.iter().map(|(_, name)| *name).collect();
        format!("one of {}", all.join(", "))
    })
}

fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Before anything is issued: a certificate whose files cannot be written would be lost.
fn refuse_taken(out: &Path) -> Result<(), Failure> {
    for path in [with_ending(out, ".key"), with_ending(out, ".crt")] {
        if path.exists() {
            return Err(Failure::file(&path, &io::ErrorKind::AlreadyExists.into()));
        }
    }
    match out.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder, &e)),
        None => Ok(()),
    }
}

fn write(leaf: &NewLeaf, out: &Path) -> Result<(), Failure> {
    let (key, certificate) = (with_ending(out, ".key"), with_ending(out, ".crt"));
    let chain = pem::to_pem(leaf.chain.certificates());
    // The key first: a certificate is of no use without it.
    files::create(&key, leaf.key.to_pem().as_bytes(), PRIVATE)
        .map_err(|e| Failure::file(&key, &e))?;
    files::create(&certificate, chain.as_bytes(), PUBLIC)
        .map_err(|e| Failure::file(&certificate, &e))?;
    println!("{} (serial {})", certificate.display(), leaf.serial);
    Ok(())
}
