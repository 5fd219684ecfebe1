//! A referral's statements told to the clocks: the same facts that a gateway takes from its store,
//! taken from evidence. Hand-overs outside of the exchange leave no token and are not among them.

use crate::domain::clocks::{Dispatch, Fact, Thread, What};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::{RequestType, Urgency};
use crate::protocol::clock_facts::{AcceptedVersion, Situation, facts_of};
use crate::protocol::evidence::Says;
use crate::protocol::json::Tree;
use crate::protocol::tokens::{Purpose, Submission};
use serde_json::Value;

use super::tokens::Entry;

/// The thread that `entries` make. `document` knows those that can still be read. `None` if it has no
/// beginning.
pub fn thread<'d>(
    entries: &[Entry],
    document: impl Fn(Digest) -> Option<&'d Value>,
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
                let seen = document(accepted.payload_sha256)
                    .map(|document| Situation::of(Tree::from(document).root(), &thread.school));
                let first = accepted.version == 1;
                if let Some(seen) = seen.as_ref().filter(|_| first) {
                    thread.known_since = seen.known_since;
                }
                let version = AcceptedVersion {
                    at,
                    position,
                    sender: Organisation::School(thread.school.clone()),
                    gateway: by,
                    first_to: first.then_some(accepted.authority),
                    urgency: urgency.unwrap_or(Urgency::U0),
                };
                thread.facts.extend(version.facts(seen.as_ref(), least));
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
    Some(thread.in_order())
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
