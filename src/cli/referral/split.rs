//! `ecaf referral split`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{Stopped, parse, print, read, stopped, write_new};
use crate::cli::postcodes::tables;
use crate::effects::{Clock, SystemClock};
use crate::protocol::schema;
use crate::school::split::{NotSplit, Part, split};

/// Make one draft for each authority out of one about children in several
///
/// Each draft holds only what its recipient needs, and all have one group_id. Texts about all of the
/// children stand in each of them: the list says which ones to read before sending.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral split siblings.jsonc -o siblings/
  ecaf referral split siblings.jsonc -o siblings/ --json

The same draft gives the same drafts: splitting twice sends nothing twice.
Exit code: 0 split, 1 there is nothing to split, 2 a file cannot be read.")]
pub(super) struct Args {
    /// A draft; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the drafts into this folder, named by the code of the authority; none is overwritten
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A postcode table of your own instead of the one inside the program
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Stopped> {
    let day = SystemClock.now().in_england().0;
    let draft = parse(&read(&args.file)?)
        .map_err(|violation| stopped(1, format!("{}: {violation}", args.file.display())))?;
    let tables = tables(args.table.as_deref()).map_err(|f| stopped(f.code, f.text))?;
    let checked = schema::check(&draft, day).map_err(|_| {
        let file = args.file.display();
        stopped(1, format!("not valid yet; see: ecaf referral check {file}"))
    })?;
    let parts =
        split(&draft, checked.facts(), &tables, day).map_err(|why| stopped(1, words(why)))?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.output);
    made.map_err(|error| stopped(2, format!("{}: {error}", args.output.display())))?;
    let path = |part: &Part| {
        let code = part.authority.map_or("undecided".into(), |code| code.to_string());
        args.output.join(format!("{code}.json"))
    };
    for part in &parts {
        write_new(&path(part), &format!("{:#}\n", part.draft))?;
    }
    let name = |part: &Part| {
        part.authority.map_or("not decided by the address".into(), |a| tables.districts().name(a))
    };
    if args.json {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| {
                json!({
                    "file": path(part).display().to_string(),
                    "authority": part.authority.map(|code| code.to_string()),
                    "name": name(part),
                    "children": part.children,
                    "to_read": part.to_read,
                })
            })
            .collect();
        return print(&format!("{:#}\n", json!(parts)));
    }
    let mut text = format!("Wrote {} drafts, one for each authority:\n", parts.len());
    for part in &parts {
        let children = part.children.join(", ");
        text.push_str(&format!(
            "  {}  {} (children: {children})\n",
            path(part).display(),
            name(part)
        ));
        if !part.to_read.is_empty() {
            text.push_str(&format!("    read before sending: {}\n", part.to_read.join(" ")));
        }
    }
    text.push_str(
        "Cut from each what its authority need not know, then check and send each of them.\n",
    );
    print(&text)
}

fn words(why: NotSplit) -> &'static str {
    match why {
        NotSplit::OneAuthority => "nothing to split: it goes to one authority as it is",
        NotSplit::LaterVersion => "a later version goes where the first one went; it is not split",
        NotSplit::InAGroup => "it is one of a group already (it has a group_id)",
        NotSplit::Unreadable => "its ids cannot be read; see: ecaf referral check",
    }
}
