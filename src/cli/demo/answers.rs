//! What comes back, in the demonstration: a referral that went to the wrong borough is passed on, opened,
//! acknowledged, decided, and changes hands; the school reads each step. Another is not delivered in time:
//! the school is told, and whom to ring. At the end an authority tells a school of what it has not sent.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{COLLECTS, DOWN_AT_FIRST, PATIENCE, Sent, Story};
use crate::app;
use crate::cli::failure::{Failure, plain};
use crate::cli::sandbox::{AUTHORITIES, SCHOOLS, World};
use crate::cli::timeline::{clocks, standing, timeline};
use crate::config;
use crate::domain::case::EventKind;
use crate::domain::ids::ReferralId;
use crate::party::begin::begin;
use crate::party::look::{State, look};
use crate::party::member::Member;
use crate::party::say::{Said, Saying, say};

/// The example that goes to the wrong borough: the family has moved since.
const WRONG_BOROUGH: &str = "a01-disclosure-before-the-bell";
/// An urgent one for the authority that is down.
const OVERDUE: &str = "a03a-three-siblings-two-schools";
/// An urgent referral has to be stored at its authority within this time (clock C2).
const ONE_MINUTE: Duration = Duration::from_secs(60);

impl Story {
    /// Tells the way back of one referral, and what its school then sees.
    pub(super) async fn answers(
        &self,
        world: &World,
        senders: &[Member],
        sent: &[Sent],
    ) -> Result<(), Failure> {
        let missing = || Failure::fault("the example to be passed on was not sent");
        let one = sent.iter().find(|one| one.name == WRONG_BOROUGH).ok_or_else(missing)?;
        let id = one.composed.checked.header().referral_id;
        let school = &senders[one.school];
        let first = one.receipt.accepted.authority;
        let first = AUTHORITIES.iter().position(|a| a.code == first.as_str());
        let first = first.ok_or_else(missing)?;
        let is_up = |index: &usize| *index != first && *index != DOWN_AT_FIRST;
        let second = (0..AUTHORITIES.len()).find(is_up).ok_or_else(missing)?;
        let (here, there) = (worker(world, first).await?, worker(world, second).await?);
        println!();
        self.say("what comes back: a family that has moved, so the first council passes it on");

        say_one(&here, id, Saying::of(EventKind::Opened)).await?;
        let moved = "The family moved into temporary accommodation there last week.";
        let mut proposal = Saying::with(EventKind::TransferProposed, json!({ "reason": moved }));
        proposal.to = AUTHORITIES[second].code.parse().ok();
        let proposed = say_one(&here, id, worded(proposal, "Ada Example")).await?;
        delivered(&there, id).await?;
        let accepted = Saying::with(EventKind::TransferAccepted, json!({}));
        let accepted = Saying { answers: Some(proposed.position), ..accepted };
        say_one(&there, id, worded(accepted, "Cai Example")).await?;
        let acknowledged = Saying::with(EventKind::Acknowledged, json!({}));
        say_one(&there, id, worded(acknowledged, "Cai Example")).await?;
        let children = look(school, id).await.map_err(crate::cli::say::not_seen)?.children.len();
        let children: Vec<u32> = (1..=children as u32).collect();
        let decision = Saying::with(
            EventKind::Decided,
            json!({
                "disclosure": "outcome", "reason": "A clear account, and two earlier referrals.",
                "school_should": "Keep a chronology; ring before the holidays.",
                "how_to_challenge": "Ring the team manager, then ecaf school challenge.",
                "referrer_spoken_to": true, "child_seen": true
            }),
        );
        let decision =
            Saying { code: Some("assessment".into()), children: children.clone(), ..decision };
        say_one(&there, id, decision).await?;
        for (kind, name, previous) in [
            (EventKind::Allocated, "Ben Example", None),
            (EventKind::WorkerChanged, "Dee Example", Some("Ben Example")),
        ] {
            let mut document = json!({ "from": "2026-12-01" });
            if let Some(previous) = previous {
                document["previous"] = previous.into();
            }
            let saying = Saying { children: children.clone(), ..Saying::with(kind, document) };
            say_one(&there, id, worded(saying, name)).await?;
        }
        let state = look(school, id).await.map_err(crate::cli::say::not_seen)?;
        for event in state.events.iter().filter(|event| event.unread) {
            let read = Saying { answers: Some(event.position), ..Saying::of(EventKind::Read) };
            say_one(school, id, read).await?;
        }
        let state = look(school, id).await.map_err(crate::cli::say::not_seen)?;
        show(school, id, &state, standing(&state)).await
    }
}

impl Story {
    /// Waits until a referral is overdue, and tells what its school then sees.
    pub(super) async fn overdue(&self, senders: &[Member], sent: &[Sent]) -> Result<(), Failure> {
        let missing = || Failure::fault("the example that is to be overdue was not sent");
        let one = sent.iter().find(|one| one.name == OVERDUE).ok_or_else(missing)?;
        let (id, school) = (one.composed.checked.header().referral_id, &senders[one.school]);
        println!();
        let left = ONE_MINUTE.saturating_sub(self.began.elapsed()).as_secs();
        self.say(&format!(
            "an urgent one for Newham waits on: it is overdue after one minute, in some {left} seconds"
        ));
        let until = Instant::now() + ONE_MINUTE + PATIENCE;
        let state = loop {
            let state = look(school, id).await.map_err(crate::cli::say::not_seen)?;
            if state.events.iter().any(|event| event.event == "clock_breached") {
                break state;
            }
            if Instant::now() > until {
                return Err(Failure::fault("what is late was not told in time"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        self.say("it is overdue, and the exchange has put that on record");
        let head = standing(&state).into_iter().chain(clocks(&state));
        show(school, id, &state, head).await?;
        println!();
        Ok(())
    }
}

impl Story {
    /// Somebody else was worried about a pupil: the authority tells the school, which reads it.
    pub(super) async fn notice(&self, world: &World, senders: &[Member]) -> Result<(), Failure> {
        let (there, school) = (worker(world, COLLECTS).await?, &senders[0]);
        println!();
        self.say("the police were at a pupil's home last night: Haringey tells the school, which has sent nothing");
        let told = Saying::with(
            EventKind::PupilNotice,
            json!({
                "child_name": "Mimi Quillfeather", "child_born": "2017-05-03",
                "told": "The police were called to the home last night. Nobody was hurt.",
                "school_should": "Keep an eye on her today, and ring me with any worry.",
                "do_not_act": false, "family_may_know": false, "disclosure": "outcome"
            }),
        );
        let told = Saying {
            code: Some("police_attendance".into()),
            school: SCHOOLS[0].id.parse().ok(),
            ..worded(told, "Ada Example")
        };
        let begun = begin(&there, &told).await;
        let (id, notice) = begun.map_err(|not| Failure::fault(format_args!("notice: {not:?}")))?;
        let read = Saying { answers: Some(notice.position), ..Saying::of(EventKind::Read) };
        say_one(school, id, read).await?;
        let state = look(school, id).await.map_err(crate::cli::say::not_seen)?;
        show(school, id, &state, standing(&state)).await
    }
}

/// What the school sees of a referral: where it stands, and its story.
async fn show(
    school: &Member,
    id: ReferralId,
    state: &State,
    head: impl IntoIterator<Item = String>,
) -> Result<(), Failure> {
    println!("\nWhat the school sees of it (ecaf status {id}):\n");
    for line in head {
        println!("    {}", plain(&line));
    }
    for line in timeline(school, state).await.map_err(crate::cli::say::not_seen)? {
        println!("      {}", plain(&line));
    }
    Ok(())
}

async fn worker(world: &World, index: usize) -> Result<Member, Failure> {
    let settings = config::load_worker(&world.worker_config(index)).map_err(Failure::fault)?;
    app::open_member(&settings).await.map_err(Failure::fault)
}

/// Waits until the receipt of the authority that is asked is recorded.
async fn delivered(there: &Member, id: ReferralId) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let stored = look(there, id).await.is_ok_and(|state| {
            state.deliveries.iter().any(|d| d.purpose == "transfer" && d.state == "stored")
        });
        if stored {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Err(Failure::fault("the passed-on referral has not arrived in time"))
}

async fn say_one(member: &Member, id: ReferralId, saying: Saying) -> Result<Said, Failure> {
    let said = say(member, id, &saying).await;
    said.map_err(|not| Failure::fault(format_args!("{}: {not:?}", saying.kind.name())))
}

/// The same with its worker, who is invented.
fn worded(mut saying: Saying, name: &str) -> Saying {
    let worker = json!({ "name": name, "role": "Social worker", "phone": "020 7946 0123" });
    saying.detail.get_or_insert_default().insert("worker".into(), worker);
    saying
}
