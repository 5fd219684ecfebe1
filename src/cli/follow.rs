//! `ecaf follow`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::failure::{Failure, end, plain};
use super::say::not_seen;
use crate::app;
use crate::config;
use crate::domain::hours::england_text;
use crate::domain::ids::ReferralId;
use crate::domain::party::Party;
use crate::domain::time::Timestamp;
use crate::party::look::{Event, NotSeen, look};
use crate::party::member::Member;
use crate::party::poll::{News, Stream};
use crate::party::words::held;

/// Between two looks at one referral, and the first wait when the gateway cannot be reached.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After a poll that brought nothing.
const IDLE: Duration = Duration::from_secs(1);
/// The longest wait when it cannot be reached.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Print each new event as it comes, until it is interrupted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is proved by its signatures, and acknowledged after it is printed: what was not
printed comes again at the next start, what was printed does not. Every machine that follows needs
a stream of its own (--stream). With a referral: its whole story, then what is new.

Exit codes: 0 interrupted, or all is printed (--once); 1 refused; 2 wrong input; 3 no answer (--once).

Examples:
  ecaf follow --config school.toml
  ecaf follow --config worker.toml --stream case-system --json
  ecaf follow 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10 --once"
)]
pub struct Args {
    /// Only this referral, from its beginning
    referral: Option<ReferralId>,
    /// Configuration of a school or of a worker at an authority; see deploy/
    #[arg(long, value_name = "FILE", default_value = "/etc/ecaf/school.toml")]
    config: PathBuf,
    /// Name of this machine's stream
    #[arg(long, value_name = "NAME", default_value = "follow", conflicts_with = "referral")]
    stream: String,
    /// Print what is there now, and end
    #[arg(long)]
    once: bool,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(attempt(&args))
}

fn attempt(args: &Args) -> Result<ExitCode, Failure> {
    let settings = config::load_member(&args.config).map_err(Failure::usage)?;
    let followed = app::block_on(async {
        let member = app::open_member(&settings).await.map_err(Failure::usage)?;
        let follow = async {
            match args.referral {
                Some(id) => follow_one(&member, id, args).await,
                None => follow_all(&member, args).await,
            }
        };
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::fault),
            done = follow => done,
        }
    });
    followed.map_err(Failure::fault)??;
    Ok(ExitCode::SUCCESS)
}

async fn follow_all(member: &Member, args: &Args) -> Result<(), Failure> {
    let mut stream = Stream::new(member, args.stream.clone());
    let mut patience = Patience::new(member, args.once);
    loop {
        let batch = match stream.next(!args.once).await {
            Ok(batch) => batch,
            Err(not) => {
                patience.wait(not).await?;
                continue;
            }
        };
        patience.reached();
        for not in &batch.not_proved {
            eprintln!("ecaf: NOT PROVED, and set aside: {}", not.because);
        }
        for news in &batch.news {
            print(args, news, &line(news))?;
        }
        if args.once && !batch.more {
            return stream.finish().await.map_err(not_seen);
        }
        // A gateway whose waiting room is full answers at once.
        if !stream.has_moved() {
            member.clock.sleep(IDLE).await;
        }
    }
}

async fn follow_one(member: &Member, id: ReferralId, args: &Args) -> Result<(), Failure> {
    let mut patience = Patience::new(member, args.once);
    let mut seen = 0;
    loop {
        match look(member, id).await {
            Ok(state) => {
                patience.reached();
                for event in state.events.iter().filter(|event| event.position > seen) {
                    print(args, event, &line(&news(id, event)))?;
                }
                seen = seen.max(state.position);
                if args.once {
                    return Ok(());
                }
                member.clock.sleep(LOOK_EVERY).await;
            }
            Err(not) => patience.wait(not).await?,
        }
    }
}

fn news(id: ReferralId, event: &Event) -> News {
    News {
        referral_id: id.to_string(),
        position: event.position,
        recorded_at: event.recorded_at.clone(),
        event: event.event.clone(),
        by: event.by.clone(),
        attested_by: event.attested_by.clone(),
        code: event.code.clone(),
        words: event.words.clone(),
        to: event.to.clone(),
        since: event.since.clone(),
        next_attempt_at: event.next_attempt_at.clone(),
        children: event.children.clone(),
        sha256: event.sha256.clone(),
    }
}

/// Printed and flushed, or an end: what nobody can read is not acknowledged.
fn print(args: &Args, value: &impl serde::Serialize, line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = match args.json {
        true => serde_json::to_string(value).map_err(Failure::fault)?,
        false => line.to_owned(),
    };
    writeln!(out, "{printed}").and_then(|()| out.flush()).map_err(Failure::fault)
}

fn line(news: &News) -> String {
    let at = news.recorded_at.parse::<Timestamp>();
    let at = at.map_or_else(|_| news.recorded_at.clone(), england_text);
    let by =
        news.by.parse::<Party>().map_or_else(|_| news.by.clone(), |p| p.organisation.to_string());
    let what = match news.event.as_str() {
        "accepted" => "held by the exchange".to_owned(),
        "delivered" => "stored there, nobody need have opened it yet".to_owned(),
        event => event.replace('_', " "),
    };
    let words = news.words.as_ref().or(news.code.as_ref());
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    let children: Vec<_> = news.children.iter().map(ToString::to_string).collect();
    let children = match children.len() {
        0 => String::new(),
        1 => format!(" (child {})", children[0]),
        _ => format!(" (children {})", children.join(", ")),
    };
    let to = news.to.as_ref().map(|to| format!(", to authority {to}")).unwrap_or_default();
    let times = held(news.since.as_deref(), news.next_attempt_at.as_deref());
    plain(&format!("{at}  {}  {by}  {what}{words}{to}{times}{children}", news.referral_id))
}

/// Goes on when the gateway is away for a while.
struct Patience<'a> {
    member: &'a Member,
    once: bool,
    wait: Duration,
}

impl<'a> Patience<'a> {
    fn new(member: &'a Member, once: bool) -> Self {
        Self { member, once, wait: LOOK_EVERY }
    }

    fn reached(&mut self) {
        self.wait = LOOK_EVERY;
    }

    async fn wait(&mut self, not: NotSeen) -> Result<(), Failure> {
        let passing = match &not {
            NotSeen::NoAnswer(_) => true,
            NotSeen::Refused(problem) => matches!(problem.status, 429 | 500..),
            NotSeen::Unreadable | NotSeen::StaleTrust(_) | NotSeen::Here(_) => false,
        };
        if self.once || !passing {
            return Err(not_seen(not));
        }
        if self.wait == LOOK_EVERY {
            eprintln!("ecaf: no answer from the gateway; trying again");
        }
        self.member.clock.sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_what_and_who() {
        let mut news = News {
            referral_id: "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10".into(),
            position: 4,
            recorded_at: "2026-11-23T14:20:00.000Z".into(),
            event: "decided".into(),
            by: "spiffe://example.test/authority/316/person/w7".into(),
            attested_by: None,
            code: Some("advice".into()),
            words: Some("Advice\u{1b}[2J".into()),
            to: None,
            since: None,
            next_attempt_at: None,
            children: vec![1, 2],
            sha256: String::new(),
        };
        let told = line(&news);
        assert!(told.starts_with("Mon 23 Nov 14:20  018f3d5e"), "{told}");
        assert!(
            told.ends_with("authority/316  decided: Advice\u{fffd}[2J (children 1, 2)"),
            "{told}"
        );
        (news.event, news.words, news.code) = ("accepted".into(), None, None);
        news.children.clear();
        assert!(line(&news).ends_with("held by the exchange"), "never the word accepted");
        (news.event, news.to) = ("delivery_delayed".into(), Some("316".into()));
        news.since = Some("2026-11-23T14:20:00.000Z".into());
        let told = line(&news);
        assert!(
            told.ends_with("delivery delayed, to authority 316, held since Mon 23 Nov 14:20"),
            "{told}"
        );
    }
}
