//! A referral's statements told to the clocks: the same facts that a gateway takes from its store,
//! taken from evidence. Hand-overs outside of the exchange leave no token and are not among them.

use crate::domain::clocks::{Dispatch, Fact, Thread, What};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::Timestamp;
use crate::gateway::facts_of;
use crate::protocol::evidence::Says;
use crate::protocol::tokens::{Purpose, Submission};
use serde_json::Value;

use super::tokens::Entry;

/// What the clocks need of the document of a version; nothing of it is needed once it is erased.
#[derive(Debug, Clone, Copy, Default)]
pub struct Situation {
    /// How many children it is about.
    pub children: u32,
    /// Whether they are at school.
    pub in_school: bool,
    /// When the first of them goes home.
    pub goes_home_at: Option<Timestamp>,
    /// Whether only the dozen answers that an urgent referral needs were given.
    pub urgent_minimal: bool,
    /// When an allegation became known to the school.
    pub known_since: Option<Timestamp>,
}

impl Situation {
    /// What a document says.
    pub fn of(document: &Value) -> Self {
        let places = document["where_now"].as_array().map(Vec::as_slice).unwrap_or_default();
        let homes = places.iter().filter_map(|p| p["goes_home_at"].as_str()?.parse().ok());
        let known = document["request"]["lado"]["known_to_school_at"].as_str();
        Self {
            children: document["children"].as_array().map_or(0, |c| c.len() as u32),
            in_school: places.iter().any(|place| place["place"] == "school"),
            goes_home_at: homes.min(),
            urgent_minimal: document["completeness"] == "urgent_minimal",
            known_since: known.and_then(|at| at.parse().ok()),
        }
    }
}

/// The thread that `entries` make. `situation` knows the documents that can still be read. `None` if
/// it has no beginning.
pub fn thread(
    entries: &[Entry],
    situation: impl Fn(Digest) -> Option<Situation>,
) -> Option<Thread> {
    let submissions: Vec<(Digest, &Submission)> = entries
        .iter()
        .filter_map(|e| match &e.says {
            Says::Submitted(s) => Some((e.digest, s)),
            _ => None,
        })
        .collect();
    let newest = submissions.iter().map(|(_, submission)| *submission).max_by_key(|s| s.version);
    let (school, request_type) = match newest {
        Some(newest) => (newest.school()?.clone(), RequestType::from_code(&newest.request_type)?),
        // A thread that an event began.
        None => (entries.iter().find_map(begun_for)?, RequestType::InformationOnly),
    };
    let mut thread =
        Thread { school, request_type, known_since: None, accused: Vec::new(), facts: Vec::new() };
    let named = entries.iter().filter_map(|e| match &e.says {
        Says::Said(event) => event.body().children.iter().max().copied(),
        _ => None,
    });
    // Of an erased document no more is known than what the events name.
    let least = named.max().unwrap_or(1);
    for entry in entries {
        let at = entry.at;
        let by = entry.by.organisation.clone();
        let position = entry.position().unwrap_or(0);
        match &entry.says {
            Says::Accepted(accepted) => {
                let submission =
                    submissions.iter().find(|(digest, _)| *digest == accepted.submission_sha256);
                let urgency = submission.and_then(|(_, s)| Urgency::from_code(&s.urgency));
                let known = situation(accepted.payload_sha256);
                let seen = known.unwrap_or(Situation { children: least, ..Situation::default() });
                let sender = Organisation::School(thread.school.clone());
                if accepted.version == 1 {
                    thread.known_since = seen.known_since;
                    let to = What::Accepted { to: accepted.authority };
                    let submitted = (sender.clone(), What::Submitted);
                    for (by, what) in [submitted, (by, to)] {
                        thread.facts.push(Fact { at, position, by, what });
                    }
                }
                if seen.urgent_minimal {
                    let (by, what) = (sender.clone(), What::UrgentMinimal);
                    thread.facts.push(Fact { at, position, by, what });
                }
                let what = What::Version {
                    children: seen.children,
                    urgency: urgency.unwrap_or(Urgency::U0),
                    in_school: seen.in_school,
                    goes_home_at: seen.goes_home_at,
                };
                thread.facts.push(Fact { at, position, by: sender, what });
            }
            Says::Dispatched(note, to) => {
                let why = match note.purpose {
                    Purpose::Linked => Dispatch::ChildInArea,
                    Purpose::CaseHolding => Dispatch::CaseHolding,
                    Purpose::Accountable | Purpose::Transfer => continue,
                };
                let Some(to) = authority(&to.organisation) else { continue };
                let position = begun_at(entries, entry.digest);
                thread.facts.push(Fact { at, position, by, what: What::Dispatched { to, why } });
            }
            Says::Delivered(delivered) => {
                let Some(to) = authority(&by) else { continue };
                let of = begun_at(entries, delivered.note_sha256);
                thread.facts.push(Fact { at, position: 0, by, what: What::Delivered { to, of } });
            }
            Says::Said(event) => {
                let answered = entries.iter().find(|e| Some(e.digest) == event.body().answers);
                let answers = answered.and_then(Entry::position).unwrap_or(0);
                thread.facts.extend(facts_of(event, at, position, answers));
            }
            Says::Submitted(_) | Says::Recorded(_) => {}
        }
    }
    Some(thread)
}

/// The school of a thread that an event began: the one that a notice is for, or that speaks.
fn begun_for(entry: &Entry) -> Option<SchoolId> {
    let Says::Said(event) = &entry.says else { return None };
    event.kind().opens()?;
    let speaks = || match &event.author().organisation {
        Organisation::School(school) => Some(school.clone()),
        _ => None,
    };
    event.body().school.clone().or_else(speaks)
}

/// The position of what called for a delivery: the acceptance of its version, or a proposal.
fn begun_at(entries: &[Entry], note: Digest) -> u32 {
    let position = || {
        let Says::Dispatched(note, _) = &entries.iter().find(|e| e.digest == note)?.says else {
            return None;
        };
        let cause = match &note.transfer {
            Some(transfer) => transfer.proposal_sha256,
            None => note.accepted_sha256,
        };
        entries.iter().find(|e| e.digest == cause)?.position()
    };
    position().unwrap_or(1)
}

/// The code of an authority.
pub fn authority(organisation: &Organisation) -> Option<DfeCode> {
    match organisation {
        Organisation::Authority(code) => Some(*code),
        _ => None,
    }
}
