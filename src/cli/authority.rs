//! `ecaf authority`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueEnum};

use super::failure::{Failure, end, print_json, print_table};
use super::say::Say;
use crate::app;
use crate::authority::collect::Collected;
use crate::authority::inbox;
use crate::config;
use crate::domain::ids::ReferralId;
use crate::effects::files;
use crate::protocol::trust::Chain;
use crate::store::{AuthorityStore, Document, InboxEntry, InboxFilter, InboxItem, StoredToken};
use crate::telemetry::{self, LogLevel};

/// Run an authority's receiving endpoint, collect from the gateway, read the inbox, or say something about a referral
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf authority --config authority.toml                 run it; SIGTERM stops, SIGHUP reloads
  ecaf authority collect --config authority.toml         open no endpoint, collect instead
  ecaf authority inbox list --config authority.toml
  ecaf authority inbox show NEW-2026-000001 --config authority.toml
  ecaf authority inbox events NEW-2026-000001 --config authority.toml    what was pushed about it
  ecaf authority inbox export NEW-2026-000001 -o folder --config authority.toml
  ecaf authority acknowledge 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --config worker.toml")]
pub struct Args {
    /// Configuration: /etc/ecaf/authority.toml to run or to read the inbox, and
    /// /etc/ecaf/worker.toml to say something, unless given; see deploy/
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect referrals from the gateway's mailbox, for an authority that opens no endpoint
    #[command(
        after_help = "The directory must say `pull` of this authority, and the configuration where the gateway is
([gateway], see deploy/authority-collects.toml). Runs until SIGTERM; SIGHUP reloads.

Examples:
  ecaf authority collect --config authority.toml         run it
  ecaf authority collect --once --config authority.toml  what there is now; 0 unless something was left
  ecaf authority collect --once --json --config authority.toml"
    )]
    Collect {
        /// Collect what there is now, and end
        #[arg(long)]
        once: bool,
        /// Print what came of it as JSON
        #[arg(long, requires = "once")]
        json: bool,
    },
    Inbox(InboxArgs),
    #[command(flatten)]
    Say(Say<true>),
}

/// Read what was received
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An allegation about staff (LADO) is listed, shown and exported for a designated officer alone: with --as and the \
configuration of that person, whose keys must be readable and whom the directory must list.

Examples:
  ecaf authority inbox list --config authority.toml
  ecaf authority inbox list --config authority.toml --as lado-worker.toml")]
struct InboxArgs {
    /// Who reads: configuration of a designated officer; see deploy/worker.toml
    #[arg(long = "as", global = true, value_name = "FILE")]
    reader: Option<PathBuf>,
    #[command(subcommand)]
    command: Inbox,
}

#[derive(Debug, Subcommand)]
enum Inbox {
    /// List referrals, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one referral as a document
    Show {
        /// Our reference or the referral id
        which: String,
        /// As text, as one HTML page, or the exact document
        #[arg(long, value_enum, default_value_t = Form::Text)]
        form: Form,
    },
    /// What gateways pushed about one referral since: who said what, as it was recorded
    #[command(
        after_help = "Only where the directory has an events_endpoint of this authority; else poll: ecaf follow.
Shown are events and receipts; their records are in --json. Each was verified when it came.

Examples:
  ecaf authority inbox events NEW-2026-000001 --config authority.toml
  ecaf authority inbox events 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --json --config authority.toml"
    )]
    Events {
        /// Our reference, or the id of a referral or of a thread that an event began
        which: String,
        /// Print JSON, with the tokens
        #[arg(long)]
        json: bool,
    },
    /// Write one referral with its evidence into a folder: document.json, referral.txt,
    /// referral.html, evidence.json (what `ecaf receipt verify` takes), delivered.jws (our receipt)
    Export {
        /// Our reference or the referral id
        which: String,
        /// The folder, created if it is missing
        #[arg(short, long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Html,
    Json,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let or = |usual: &str| args.config.clone().unwrap_or_else(|| usual.into());
    end(match args.command {
        None => serve(&or("/etc/ecaf/authority.toml")),
        Some(Command::Collect { once: false, .. }) => collect(&or("/etc/ecaf/authority.toml")),
        Some(Command::Collect { json, .. }) => once(&or("/etc/ecaf/authority.toml"), json),
        Some(Command::Inbox(command)) => read(&or("/etc/ecaf/authority.toml"), command),
        Some(Command::Say(say)) if say.is_draft() => return say.print_draft(),
        Some(Command::Say(say)) => match config::load_worker(&or("/etc/ecaf/worker.toml")) {
            Ok(settings) => return say.run(&settings),
            Err(mistakes) => Err(Failure::usage(mistakes)),
        },
    })
}

fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let settings = config::load_authority(file).map_err(Failure::usage)?;
    telemetry::init(settings.log.format, LogLevel::default()).map_err(Failure::fault)?;
    let served = app::block_on(app::run_authority(settings)).map_err(Failure::fault)?;
    served.map_err(Failure::fault)?;
    Ok(ExitCode::SUCCESS)
}

fn collect(file: &Path) -> Result<ExitCode, Failure> {
    let settings = config::load_authority(file).map_err(Failure::usage)?;
    telemetry::init(settings.log.format, LogLevel::default()).map_err(Failure::fault)?;
    let ran = app::block_on(app::run_collector(settings)).map_err(Failure::fault)?;
    ran.map_err(Failure::fault)?;
    Ok(ExitCode::SUCCESS)
}

fn once(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let settings = config::load_authority(file).map_err(Failure::usage)?;
    telemetry::init(settings.log.format, LogLevel::default()).map_err(Failure::fault)?;
    let collected = app::block_on(app::collect_once(settings)).map_err(Failure::fault)?;
    let collected = collected.map_err(Failure::fault)?.map_err(Failure::fault)?;
    let Collected { stored, again, not_taken, left } = collected;
    if json {
        let figures = [("stored", stored), ("again", again), ("not_taken", not_taken)];
        let figures = figures.into_iter().chain([("left", left)]);
        print_json(&figures.collect::<std::collections::BTreeMap<_, _>>());
    } else {
        println!("Collected {stored} ({again} of them stored before).");
        if not_taken > 0 {
            println!(
                "{not_taken} were refused; the log says by which rules, and the gateway was told."
            );
        }
        if left > 0 {
            println!("{left} were left: they come again, see the log.");
        }
    }
    Ok(ExitCode::from(u8::from(not_taken + left > 0)))
}

fn read(file: &Path, args: InboxArgs) -> Result<ExitCode, Failure> {
    let settings = config::load_authority(file).map_err(Failure::usage)?;
    let reader = args.reader.as_deref().map(config::load_worker).transpose();
    let reader = reader.map_err(Failure::usage)?;
    let answered = async {
        let allegations = match &reader {
            None => false,
            Some(person) => match app::is_officer(&settings, person).await {
                Ok(true) => true,
                Ok(false) => {
                    return Err(Failure::no(
                        "the directory does not list this person as a designated officer here",
                    ));
                }
                Err(fault) => return Err(Failure::usage(fault)),
            },
        };
        let store = app::open_authority(&settings).await.map_err(Failure::fault)?;
        answer(store.as_ref(), args.command, allegations).await
    };
    app::block_on(answered).map_err(Failure::fault)??;
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    store: &dyn AuthorityStore,
    command: Inbox,
    allegations: bool,
) -> Result<(), Failure> {
    match command {
        Inbox::List { json } => {
            let mut entries = all(store, InboxFilter::default()).await?;
            // Not even how many there are.
            entries.retain(|entry| allegations || !inbox::is_allegation(entry));
            if json {
                print_json(&entries.iter().map(inbox::as_json).collect::<Vec<_>>());
            } else if entries.is_empty() {
                println!("The inbox is empty.");
            } else {
                print_table(
                    &inbox::HEADS,
                    &entries.iter().map(inbox::as_cells).collect::<Vec<_>>(),
                );
            }
        }
        Inbox::Show { which, form } => {
            let item = find(store, &which, allegations).await?;
            let erased = || match &item.document {
                Document::Erased(erasure) => Failure::no(format_args!(
                    "the document of this referral was {erasure}; its receipts are kept"
                )),
                Document::Kept(_) => Failure::fault("the document is not a referral"),
            };
            let text = match form {
                Form::Json => {
                    let document = item.document.kept().ok_or_else(erased)?;
                    String::from_utf8_lossy(document).into_owned()
                }
                Form::Text => inbox::readable(&item).ok_or_else(erased)?.to_text(),
                Form::Html => inbox::readable(&item).ok_or_else(erased)?.to_html(),
            };
            print!("{text}");
        }
        Inbox::Events { which, json } => {
            let pushed = pushed(store, &which, allegations).await?;
            if json {
                print_json(&pushed.iter().map(inbox::pushed_as_json).collect::<Vec<_>>());
            } else if pushed.is_empty() {
                println!("Nothing was pushed about it.");
            } else {
                let lines: Vec<_> = pushed.iter().filter_map(inbox::pushed_as_cells).collect();
                print_table(&inbox::PUSHED_HEADS, &lines);
            }
        }
        Inbox::Export { which, out } => {
            let item = find(store, &which, allegations).await?;
            let count = export(store, &item, &out).await?;
            println!("{}: {count} files in {}", item.entry.reference, out.display());
            if let Document::Erased(erasure) = &item.document {
                println!("Without the document: it was {erasure}.");
            }
        }
    }
    Ok(())
}

async fn all(
    store: &dyn AuthorityStore,
    mut filter: InboxFilter,
) -> Result<Vec<InboxEntry>, Failure> {
    let mut entries = Vec::new();
    loop {
        let page = store.inbox(filter.clone()).await.map_err(Failure::fault)?;
        let Some(last) = page.last() else { return Ok(entries) };
        filter.after = Some(last.entry);
        entries.extend(page);
    }
}

async fn find(
    store: &dyn AuthorityStore,
    which: &str,
    allegations: bool,
) -> Result<InboxItem, Failure> {
    let filter = match which.parse::<ReferralId>() {
        Ok(id) => InboxFilter { referral_id: Some(id), limit: 1, ..InboxFilter::default() },
        Err(_) => InboxFilter { reference: Some(which.into()), limit: 1, ..InboxFilter::default() },
    };
    let found = store.inbox(filter).await.map_err(Failure::fault)?;
    let missing = || Failure::no("there is no such reference or referral in this inbox");
    let shown = found.first().filter(|entry| allegations || !inbox::is_allegation(entry));
    let entry = shown.ok_or_else(missing)?.entry;
    store.item(entry).await.map_err(Failure::fault)?.ok_or_else(missing)
}

/// What was pushed about a referral of the inbox, or of a thread that has no dispatch: those are given by their
/// id. What is in the inbox is for those who may see it there.
async fn pushed(
    store: &dyn AuthorityStore,
    which: &str,
    allegations: bool,
) -> Result<Vec<StoredToken>, Failure> {
    let id = match which.parse::<ReferralId>() {
        Err(_) => find(store, which, allegations).await?.entry.key.referral_id,
        Ok(id) => {
            let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
            let entries = all(store, filter).await?;
            if entries.iter().any(inbox::is_allegation) && !allegations {
                // Not even that there is one.
                return Ok(Vec::new());
            }
            id
        }
    };
    store.pushed(id).await.map_err(Failure::fault)
}

async fn export(store: &dyn AuthorityStore, item: &InboxItem, out: &Path) -> Result<u32, Failure> {
    let here = |e| Failure::fault(format_args!("{}: {e}", out.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(here)?;
    let mut bundle = inbox::tokens(item);
    for token in &item.tokens {
        let chain = store.chain(token.token.x5t).await.map_err(Failure::fault)?;
        if let Some(chain) = chain.and_then(Chain::new) {
            bundle.push_chain(&chain);
        }
        for digest in &token.token.crl_digests {
            if let Some(der) = store.crl(*digest).await.map_err(Failure::fault)? {
                let text = STANDARD.encode(der);
                if !bundle.crls.contains(&text) {
                    bundle.crls.push(text);
                }
            }
        }
    }
    let evidence = serde_json::to_vec_pretty(&bundle).unwrap_or_default();
    let mut parts = vec![("evidence.json", evidence)];
    parts.extend(inbox::receipt(item).map(|jws| ("delivered.jws", jws.as_bytes().to_vec())));
    if let (Some(document), Some(readable)) = (item.document.kept(), inbox::readable(item)) {
        parts.push(("document.json", document.to_vec()));
        parts.push(("referral.txt", readable.to_text().into_bytes()));
        parts.push(("referral.html", readable.to_html().into_bytes()));
    }
    for (name, bytes) in &parts {
        files::replace(&out.join(name), bytes, 0o600).map_err(here)?;
    }
    Ok(parts.len() as u32)
}
