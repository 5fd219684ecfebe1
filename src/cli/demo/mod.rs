//! `ecaf demo`: the whole exchange on this machine, with a throw-away scheme and real processes.

mod answers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::app;
use crate::cli::failure::{Failure, end};
use crate::cli::sandbox::{AUTHORITIES, Process, SCHOOLS, SandboxSchool, World, operator_get};
use crate::config;
use crate::domain::ids::ReferralId;
use crate::domain::referral::RequestType;
use crate::effects::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::party::member::Member;
use crate::protocol::problem::ProblemDocument;
use crate::school::compose::{Composed, compose};
use crate::school::follow::follow;
use crate::school::submit::{NotSubmitted, Submitted, submit};

/// Show the whole exchange on this machine, with a throw-away scheme
#[derive(Debug, clap::Args)]
#[command(after_help = "Makes a certificate authority, a signed directory, a gateway and three \
authorities in a folder of their own, starts them as real processes with mutual TLS on loopback \
addresses, and sends the example referrals. Everybody in them is invented. Nothing is left behind.

Examples:
  ecaf demo
  ecaf demo --keep        leave it running, and print commands to try")]
pub struct Args {
    /// Leave everything running, and print commands to try
    #[arg(long)]
    keep: bool,
    /// Where to put it; empty or missing [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

macro_rules! examples {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../conformance/examples/", $name, ".json")).as_slice())),*]
    };
}

/// The example referrals, without later versions of them.
const EXAMPLES: [(&str, &[u8]); 20] = examples![
    "danger-now-unknown-child",
    "a01-disclosure-before-the-bell",
    "a02-address-on-file-is-old",
    "a03a-three-siblings-two-schools",
    "a03b-half-brother-in-another-borough",
    "a04a-harmed-by-a-sibling",
    "a04b-sibling-who-is-said-to-have-harmed",
    "a05-looked-after-by-kent-placed-in-hackney",
    "a06-refuge-address",
    "a07-parent-must-not-know",
    "a08a-help-refused-consult",
    "a08b-help-refused-child-in-need",
    "a08c-help-refused-then-harm-stated",
    "a14-unborn-child-of-a-pupil",
    "a15a-allegation-about-a-teacher",
    "a15b-child-of-the-same-incident",
    "a19-wrong-upn-no-postcode",
    "private-fostering",
    "family-help-agreed",
    "information-for-an-open-case",
];

/// The authority that is down at first, by its place in [`AUTHORITIES`].
const DOWN_AT_FIRST: usize = 2;
/// The authority that opens no endpoint and collects.
const COLLECTS: usize = 1;
/// Retries are quick here, so that nobody has to wait for the story.
const DELIVERY: &str = "retry_first = \"200ms\"\nretry_longest = \"1s\"\nbreaker_pause = \"1s\"";
/// How long everything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(tell(&args))
}

fn tell(args: &Args) -> Result<ExitCode, Failure> {
    let story = Story { began: Instant::now() };
    let entropy = SystemEntropy::default();
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => temporary(&entropy)?,
    };
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format_args!("{}: not empty", folder.display())));
    }
    let outcome = app::block_on(story.run(&folder, &entropy));
    match outcome.map_err(Failure::fault) {
        Ok(Ok((world, processes))) if args.keep => {
            what_next(&world, &processes);
            processes.into_iter().for_each(Process::leave_running);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok((_, processes))) => {
            drop(processes);
            if args.folder.is_none() {
                let _ = std::fs::remove_dir_all(&folder);
            }
            println!(
                "\nEverything is stopped and removed. To keep it running and try commands of your own:\n  ecaf demo --keep"
            );
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(failure)) | Err(failure) => {
            eprintln!("ecaf: the logs are in {}", folder.display());
            Err(failure)
        }
    }
}

fn temporary(entropy: &dyn Entropy) -> Result<PathBuf, Failure> {
    let id = entropy.uuid().map_err(Failure::fault)?;
    let name = format!("ecaf-demo-{}", &ReferralId::from_bytes(id).to_string()[..8]);
    Ok(std::env::temp_dir().join(name))
}

struct Story {
    began: Instant,
}

/// A referral of the demonstration that was accepted.
struct Sent {
    name: &'static str,
    school: usize,
    composed: Composed,
    receipt: Submitted,
}

impl Story {
    fn say(&self, text: &str) {
        println!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64());
        let _ = std::io::stdout().flush();
    }

    async fn run(
        &self,
        folder: &Path,
        entropy: &dyn Entropy,
    ) -> Result<(World, Vec<Process>), Failure> {
        println!(
            "ecaf demo: schools, a gateway and three authorities, with real mutual TLS and throw-away keys\n"
        );
        let now = SystemClock.now();
        let world = World::prepare_with(folder, now, entropy, DELIVERY, Some(COLLECTS));
        let world = world.map_err(Failure::fault)?;
        self.say("a scheme: root, issuing CA, certificates, revocation lists, signed directory of 153 authorities");
        let program = std::env::current_exe().map_err(Failure::fault)?;
        let mut processes = vec![start_gateway(&program, &world)?];
        for index in (0..AUTHORITIES.len()).filter(|i| *i != DOWN_AT_FIRST) {
            processes.push(start_authority(&program, &world, index)?);
        }
        processes.iter_mut().try_for_each(Process::wait_ready).map_err(Failure::fault)?;
        self.say(
            "the gateway and Hackney are up; Haringey opens no port and collects; Newham is down",
        );

        let mut senders = Vec::new();
        for index in 0..SCHOOLS.len() {
            let settings =
                config::load_school(&world.school_config(index)).map_err(Failure::fault)?;
            senders.push(app::open_member(&settings).await.map_err(Failure::fault)?);
        }
        let sent = self.send_all(&senders).await?;
        self.send_wrong(&senders[2]).await?;
        self.send_twice(&senders, &sent[0]).await?;

        wait_until(&world, |_, delayed_free| delayed_free, "Hackney and Haringey").await?;
        self.say("everything for Hackney and Haringey is stored there; Newham's referrals are held by the exchange");
        self.answers(&world, &senders, &sent).await?;
        self.overdue(&senders, &sent).await?;
        let mut newham = start_authority(&program, &world, DOWN_AT_FIRST)?;
        newham.wait_ready().map_err(Failure::fault)?;
        processes.push(newham);
        self.say("Newham comes up");
        wait_until(&world, |open, _| open == 0, "Newham").await?;
        self.say("everything is delivered");

        println!(
            "\nEach referral, as its receipts prove it (verified offline against the scheme's root):\n"
        );
        let mut signatures = 0;
        for one in &sent {
            signatures += self.timeline(&senders[one.school], one).await?;
        }
        println!();
        self.say(&format!(
            "{signatures} signatures verified; every receipt belongs to its own referral"
        ));
        self.notice(&world, &senders).await?;
        Ok((world, processes))
    }

    async fn send_all(&self, senders: &[Member]) -> Result<Vec<Sent>, Failure> {
        println!();
        let today = SystemClock.now().in_england().0;
        let mut sent = Vec::new();
        for (name, bytes) in EXAMPLES {
            let composed = compose(bytes, today).map_err(|v| {
                Failure::fault(v.first().map_or_else(String::new, ToString::to_string))
            })?;
            let id = composed.checked.header().school.to_string();
            // An allegation about staff is sent by a person, everything else by the school.
            let by_person = composed.checked.header().request_type == RequestType::Lado;
            let is_sender = |s: &SandboxSchool| s.id == id && s.person.is_some() == by_person;
            let school = SCHOOLS.iter().position(is_sender).unwrap_or(0);
            match submit(&senders[school], &composed, |_, _| {}).await {
                Ok(receipt) => {
                    let to = &receipt.authority;
                    println!(
                        "         {name:<42} -> held for {to} ({})",
                        receipt.accepted.routing_rule
                    );
                    sent.push(Sent { name, school, composed, receipt });
                }
                Err(NotSubmitted::Refused(problem)) => {
                    println!("         {name:<42} -> refused: {}", one_line(&problem));
                    println!(
                        "         {:<42}    {}",
                        "",
                        problem.help.as_deref().unwrap_or_default()
                    );
                }
                Err(other) => return Err(Failure::fault(format_args!("{name}: {other:?}"))),
            }
        }
        println!();
        self.say(&format!("{} referrals accepted, each with a signed receipt", sent.len()));
        Ok(sent)
    }

    /// A document that breaks two rules, sent past the school's own check.
    async fn send_wrong(&self, sender: &Member) -> Result<(), Failure> {
        let (_, bytes) = EXAMPLES
            .iter()
            .find(|(name, _)| *name == "a06-refuge-address")
            .copied()
            .unwrap_or(EXAMPLES[0]);
        let mut document: serde_json::Value =
            serde_json::from_slice(bytes).map_err(Failure::fault)?;
        let id = sender.entropy.uuid().map_err(Failure::fault)?;
        document["referral_id"] = ReferralId::from_bytes(id).to_string().into();
        document["urgency"] = "very".into();
        if let Some(members) = document.as_object_mut() {
            members.remove("concerns");
        }
        let json = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = Bytes::from(document.to_string());
        let answer =
            sender.client.post("/v1/referrals", json, body).await.map_err(Failure::fault)?;
        let problem: ProblemDocument =
            serde_json::from_slice(&answer.body).map_err(Failure::fault)?;
        self.say(&format!(
            "a wrong one is refused ({}), with a signed reason and nothing kept:",
            answer.status.as_u16()
        ));
        for v in problem.violations.iter().take(3) {
            println!("         {}: {} [{}]", v.pointer, v.title, v.rule);
        }
        Ok(())
    }

    async fn send_twice(&self, senders: &[Member], first: &Sent) -> Result<(), Failure> {
        let again = submit(&senders[first.school], &first.composed, |_, _| {}).await;
        let again = again.map_err(|e| Failure::fault(format_args!("{e:?}")))?;
        if again.new || again.accepted_sha256 != first.receipt.accepted_sha256 {
            return Err(Failure::fault("the same referral twice gave two receipts"));
        }
        self.say("the same one twice gives the same receipt, byte for byte");
        Ok(())
    }

    async fn timeline(&self, sender: &Member, sent: &Sent) -> Result<usize, Failure> {
        let header = sent.composed.checked.header();
        println!(
            "{}  ({} {})",
            sent.name,
            header.urgency.as_str(),
            header.request_type.as_str().replace('_', " ")
        );
        match follow(sender, header.referral_id).await {
            Ok(followed) => {
                for delivery in &followed.state.deliveries {
                    println!("    {}", delivery.words);
                }
                let arrived = followed.has_arrived() || !followed.state.also_ring.is_empty();
                let proven = followed.proven.map_err(Failure::fault)?;
                for line in crate::cli::receipt::lines(&proven) {
                    println!("      {line}");
                }
                for ring in &followed.state.also_ring {
                    println!("      not reached through the exchange: {ring}");
                }
                match arrived {
                    true => Ok(proven.statements.len()),
                    false => Err(Failure::fault("a referral has no receipt of its authority")),
                }
            }
            Err(other) => Err(Failure::fault(format_args!("{}: {other:?}", sent.name))),
        }
    }
}

fn one_line(problem: &ProblemDocument) -> String {
    let first = problem.violations.first();
    first.map_or_else(|| problem.title.clone(), |v| format!("{} [{}]", v.title, v.rule))
}

fn start_gateway(program: &Path, world: &World) -> Result<Process, Failure> {
    let file = world.gateway_config();
    let arguments = ["gateway", "--config", &file.to_string_lossy()];
    let log = world.folder().join("gateway/log.jsonl");
    Process::start(program, &arguments, world.gateway_operator(), &log).map_err(Failure::fault)
}

fn start_authority(program: &Path, world: &World, index: usize) -> Result<Process, Failure> {
    let file = world.authority_config(index);
    let file_name = file.to_string_lossy();
    let arguments: &[&str] = match index {
        COLLECTS => &["authority", "collect", "--config", &file_name],
        _ => &["authority", "--config", &file_name],
    };
    let log = file.with_file_name("log.jsonl");
    Process::start(program, arguments, world.authority_operator(index), &log)
        .map_err(Failure::fault)
}

/// Asks the gateway's readiness how much is still to be delivered. `enough` hears the number, and
/// whether it has stood still for a while: then only what goes to an authority that is down is left.
async fn wait_until(
    world: &World,
    enough: impl Fn(u64, bool) -> bool,
    whom: &str,
) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    let mut last = u64::MAX;
    let mut steady = 0;
    while Instant::now() < until {
        let (_, text) =
            operator_get(world.gateway_operator(), "/readyz").map_err(Failure::fault)?;
        let open = text
            .lines()
            .find_map(|line| line.strip_prefix("info: ")?.split(' ').next()?.parse().ok())
            .unwrap_or(u64::MAX);
        steady = if open == last { steady + 1 } else { 0 };
        last = open;
        if enough(open, steady >= 10) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Err(Failure::fault(format_args!("{last} referrals have not arrived at {whom} in time")))
}

fn what_next(world: &World, processes: &[Process]) {
    let folder = world.folder().display();
    let school = world.school_config(0);
    let newham = world.authority_config(DOWN_AT_FIRST);
    let pids: Vec<String> = processes.iter().map(|p| p.id().to_string()).collect();
    let gateway = world.gateway_address().port();
    println!(
        "\nIt goes on running in {folder}. Try:

  ecaf authority inbox list --config {newham}
  ecaf authority inbox show NEW-2026-000001 --config {newham}
  ecaf referral new --minimal --school 900001 -o mine.json   (then fill it in)
  ecaf submit mine.json --config {school}
  ecaf gateway deliveries --config {gateway_config}
  ecaf route explain 'E8 1EA'
  curl -s http://{operator}/readyz
  curl -s https://localhost:{gateway}/.well-known/ecaf --cacert {root} \\
       --cert {tls}/tls.crt --key {tls}/tls.key

To stop it and remove everything:

  kill {pids}; rm -r {folder}",
        newham = newham.display(),
        school = school.display(),
        gateway_config = world.gateway_config().display(),
        operator = world.gateway_operator(),
        root = world.root().display(),
        tls = school.parent().unwrap_or(Path::new(".")).display(),
        pids = pids.join(" "),
    );
}
