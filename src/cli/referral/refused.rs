//! `ecaf referral after-refusal`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{Stopped, parse, print, read, stopped, write_new};
use crate::domain::ids::ReferralId;
use crate::effects::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::school::refused::{Fresh, NotTurned, Turned, Way, turn};

/// Go on after a parent has refused family help, without typing anything again
///
/// There are three ways, and none is chosen for you: a refusal is not evidence of harm. Without --way all
/// three are shown with what each still asks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf referral after-refusal help.jsonc                                   shows the three ways
  ecaf referral after-refusal help.jsonc --way consult -o question.json
  ecaf referral after-refusal help.jsonc --way child_in_need -o need.json
  ecaf referral after-refusal help.jsonc --way protection -o protection.json

A referral that is made so has an id of its own; the draft stays as it is. A consultation leaves out the names
that the draft has in fields; read its texts before you send it: ecaf school consult --help

Exit code: 0 shown or written, 1 the draft is not one of refused family help, 2 a file cannot be read.")]
pub(super) struct Args {
    /// The draft or document of the family help that was refused; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which of the three
    #[arg(long, requires = "output", value_parser = ["consult", "child_in_need", "protection"])]
    way: Option<String>,
    /// Write to this file, which must not exist yet
    #[arg(short, long, value_name = "FILE", requires = "way")]
    output: Option<PathBuf>,
    /// Name the child in the consultation
    #[arg(long, requires = "way")]
    name_child: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Stopped> {
    let draft = parse(&read(&args.file)?)
        .map_err(|violation| stopped(1, format!("{}: {violation}", args.file.display())))?;
    let entropy: &dyn Entropy = &SystemEntropy::default();
    let mut salt = [0; 16];
    let id = entropy.fill(&mut salt).and_then(|()| entropy.uuid());
    let referral_id = ReferralId::from_bytes(id.map_err(|e| stopped(3, e.to_string()))?);
    let fresh = Fresh { referral_id, salt, now: SystemClock.now() };
    let turned =
        |way| turn(&draft, way, fresh, args.name_child).map_err(|why| stopped(1, words(why)));
    let wanted = Way::ALL.into_iter().find(|way| args.way.as_deref() == Some(way.as_str()));
    let (Some(way), Some(output)) = (wanted, &args.output) else {
        return show(args, turned);
    };
    let Turned { document, asked } = turned(way)?;
    write_new(output, &format!("{document:#}\n"))?;
    if args.json {
        let asked: Vec<_> = asked.iter().map(|(at, _)| at).collect();
        let (way, file) = (way.as_str(), output.display().to_string());
        return print(&format!("{:#}\n", json!({"way": way, "file": file, "asked": asked})));
    }
    let file = output.display();
    let mut text = format!("Wrote {file}: {}\n{}", way.words(), still(&asked));
    text.push_str(&match way {
        Way::Consult => {
            "Read its texts: names that stand only there are still in them. Then: ecaf school consult\n"
                .to_owned()
        }
        Way::ChildInNeed | Way::Protection => format!("Then: ecaf referral check {file}\n"),
    });
    print(&text)
}

/// The three side by side; nothing is written.
fn show(args: &Args, turned: impl Fn(Way) -> Result<Turned, Stopped>) -> Result<ExitCode, Stopped> {
    let mut ways = Vec::new();
    for way in Way::ALL {
        ways.push((way, turned(way)?.asked));
    }
    if args.json {
        let ways: Vec<_> = ways
            .iter()
            .map(|(way, asked)| {
                let asked: Vec<_> = asked.iter().map(|(at, _)| at).collect();
                json!({"way": way.as_str(), "words": way.words(), "asked": asked})
            })
            .collect();
        return print(&format!("{:#}\n", json!(ways)));
    }
    let mut text = String::from("Three ways to go on; a refusal is not evidence of harm:\n");
    for (way, asked) in &ways {
        text.push_str(&format!("\n--way {}: {}\n{}", way.as_str(), way.words(), still(asked)));
    }
    print(&text)
}

fn still(asked: &[(String, &'static str)]) -> String {
    if asked.is_empty() {
        return "  nothing is missing\n".to_owned();
    }
    asked.iter().map(|(at, action)| format!("  still asked: {at}  {action}\n")).collect()
}

fn words(why: NotTurned) -> &'static str {
    match why {
        NotTurned::NotFamilyHelp => "this is no request for family help (request_type family_help)",
        NotTurned::Agreed => {
            "by this draft the family agrees; if they have refused since, put \"no\" into /agreement/status"
        }
    }
}
