//! One referral told to the statistics: codes and times only.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::facts::{authority, thread};
use super::gather::Gathered;
use super::tokens::Entry;
use crate::domain::case::{Decision, EventKind, Opening};
use crate::domain::clocks::{Clock, Fact, Setting, State, What, read};
use crate::domain::ids::Digest;
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::statistics::{
    Beside, Child, ClockRecord, Ending, Kind, Means, Outcome, Passing, Record,
};
use crate::domain::time::Timestamp;
use crate::protocol::evidence::Says;

/// The record of a referral as it stood at `as_at`; `None` if it had not been accepted, or was taken out
/// of use.
pub fn record(gathered: &Gathered, setting: &Setting, as_at: Timestamp) -> Option<Record> {
    if gathered.state.as_ref().is_some_and(|state| state.misidentified) {
        return None;
    }
    let document = |digest| gathered.document(digest);
    let mut record = of_entries(&gathered.entries, document, setting, as_at)?;
    if !gathered.bundle.withheld.is_empty() {
        // What others said since is not for this reader: a limit that seems open may have been kept.
        record.clocks.retain(|clock| clock.stopped);
        let now_with = gathered.state.as_ref().and_then(|s| s.authority.code.parse().ok());
        if let Some(holder) = now_with.filter(|_| record.passing == Passing::Proposed) {
            record.holder = holder;
            if holder != record.first_authority {
                record.passing = Passing::PassedOn;
            }
        }
    }
    Some(record)
}

/// The same from tokens, with the documents that can be read.
pub fn of_entries<'d>(
    entries: &[Entry],
    document: impl Fn(Digest) -> Option<&'d Value>,
    setting: &Setting,
    as_at: Timestamp,
) -> Option<Record> {
    let then: Vec<Entry> = entries.iter().filter(|entry| entry.at <= as_at).cloned().collect();
    let thread = thread(&then, &document)?;
    let facts = &thread.facts;
    if facts.iter().any(|fact| fact.what == What::Misidentified) {
        return None;
    }
    let (start, first) = facts.iter().find_map(|fact| match fact.what {
        What::Accepted { to } => Some((fact.at, to)),
        _ => None,
    })?;
    let after = |fits: &dyn Fn(&Fact) -> bool| {
        let first = facts.iter().filter(|fact| fits(fact)).map(|fact| fact.at).min();
        first.map(|at| at.since(start))
    };
    let any = |fits: fn(&What) -> bool| facts.iter().any(|fact| fits(&fact.what));
    let newest = then.iter().filter_map(submission).max_by_key(|s| s.version)?;
    let content = document(newest.payload_sha256);
    let reading = read(&thread, setting, as_at);
    let mut children = children(content, &then);
    let answers = needs(&mut children, &then, &document);
    let decided = (0..children.len().max(1)).map(|index| {
        let number = if children.is_empty() { 0 } else { index as u32 + 1 };
        after(&|fact| matches!(fact.what, What::Decided { child, .. } if child == number))
    });
    Some(Record {
        recorded_at: start,
        school_area: content
            .and_then(|d| d["referrer"]["school"]["authority"].as_str()?.parse().ok()),
        first_authority: first,
        holder: reading.segments.last().map_or(first, |segment| segment.authority),
        urgency: Urgency::from_code(&newest.urgency)?,
        request_type: thread.request_type,
        stored_after: after(&|f| matches!(f.what, What::Delivered { to, .. } if to == first)),
        opened_after: after(&|f| matches!(f.what, What::Opened | What::Acknowledged)),
        acknowledged_after: after(&|f| f.what == What::Acknowledged),
        decided_after: decided.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()),
        passing: if any(|what| matches!(what, What::TransferAccepted { .. })) {
            Passing::PassedOn
        } else if any(|what| matches!(what, What::TransferProposed { .. })) {
            Passing::Proposed
        } else {
            Passing::No
        },
        disagreed: any(|what| matches!(what, What::DisagreementRaised { .. })),
        ending: ending(facts, children.len()),
        clocks: reading.clocks.iter().map(clock).collect(),
        children,
        readable: content.is_some(),
        answers_readable: answers,
    })
}

/// A thread that an event began, as it stood at `as_at`; `None` for a referral, for what is about an
/// allegation, and for what had not begun or was taken out of use.
pub fn beside<'d>(
    entries: &[Entry],
    document: impl Fn(Digest) -> Option<&'d Value>,
    as_at: Timestamp,
) -> Option<Beside> {
    let then = || entries.iter().filter(|entry| entry.at <= as_at);
    let events = || {
        then().filter_map(|entry| match &entry.says {
            Says::Said(event) => Some((entry.at, event)),
            _ => None,
        })
    };
    let (began, event) = events().find(|(_, event)| event.kind().opens().is_some())?;
    let (kind, body) = (event.kind(), event.body());
    // Only consultations and hand-overs may be about one; named persons alone know of it.
    let about_adult = body.code.as_deref() == Some(RequestType::Lado.as_str());
    if about_adult || events().any(|(_, event)| event.kind() == EventKind::Misidentified) {
        return None;
    }
    let kind = match kind.opens()? {
        Opening::Notice => Kind::Notice,
        Opening::Consultation => Kind::Consultation,
        Opening::HandOver => Kind::HandOver,
        Opening::Referral => return None,
    };
    let answered = events().find(|(_, event)| event.kind() == EventKind::ConsultationAnswered);
    let detail = body.detail_sha256.and_then(document);
    Some(Beside {
        kind,
        recorded_at: began,
        authority: body.to.or_else(|| authority(&event.author().organisation))?,
        answered_after: answered.map(|(at, _)| at.since(began)),
        means: detail.and_then(|detail| Means::from_code(detail["by"].as_str()?)),
    })
}

fn submission(entry: &Entry) -> Option<&crate::protocol::tokens::Submission> {
    match &entry.says {
        Says::Submitted(submission) => Some(submission),
        _ => None,
    }
}

fn ending(facts: &[Fact], children: usize) -> Ending {
    let opened =
        facts.iter().filter(|f| matches!(f.what, What::Version { .. })).map(|f| f.at).max();
    let since = |fact: &&Fact| opened.is_none_or(|opened| fact.at >= opened);
    if facts.iter().filter(since).any(|fact| fact.what == What::WithdrawalConfirmed) {
        return Ending::Withdrawn;
    }
    let is_closed = |number: u32| {
        let mut later = facts.iter().filter(since);
        later.any(|fact| matches!(fact.what, What::Closed { child } if child == number))
    };
    let all = match children {
        0 => is_closed(0),
        count => (1..=count as u32).all(is_closed),
    };
    if all { Ending::Closed } else { Ending::Open }
}

fn clock(clock: &Clock) -> ClockRecord {
    // Who had it for longest answers for it; what was still on its way was nobody's there.
    let longest = clock.held.iter().filter(|held| !held.in_transit).max_by_key(|held| held.millis);
    let waited = clock.waits_for.as_ref().and_then(authority);
    ClockRecord {
        id: clock.id,
        class: clock.class,
        authority: waited.map(|waited| longest.map_or(waited, |held| held.authority)),
        stopped: !clock.state.is_open(),
        outcome: match clock.state {
            State::Met(_) => Outcome::InTime,
            State::Breached { .. } => Outcome::Breached,
            State::Running | State::Warned => Outcome::Running,
            State::Ended(..) => Outcome::Ended,
        },
    }
}

/// The children of the newest document, with the last decision of each.
fn children(document: Option<&Value>, entries: &[Entry]) -> Vec<Child> {
    let decision = |number: u32| {
        entries.iter().rev().find_map(|entry| match &entry.says {
            Says::Said(event) if event.kind() == EventKind::Decided => {
                let named = event.body().children.contains(&number);
                event.body().code.as_deref().filter(|_| named).and_then(Decision::from_code)
            }
            _ => None,
        })
    };
    let Some(document) = document else {
        let named = entries.iter().filter_map(|entry| match &entry.says {
            Says::Said(event) => event.body().children.iter().max().copied(),
            _ => None,
        });
        // Of an erased document no more is known than what the events name.
        let count = named.max().unwrap_or(0);
        return (1..=count)
            .map(|number| Child { decision: decision(number), ..Child::default() })
            .collect();
    };
    let listed = document["children"].as_array().map(Vec::as_slice).unwrap_or_default();
    let concerns = document["concerns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let child = |(index, child): (usize, &Value)| {
        let names = |concern: &&Value| match concern["children"].as_array() {
            Some(named) => named.contains(&child["id"]),
            None => true,
        };
        let codes = |member: &str| {
            let mut all: Vec<String> = concerns
                .iter()
                .filter(names)
                .flat_map(|c| c[member]["codes"].as_array().into_iter().flatten())
                .filter_map(|code| code.as_str().map(str::to_owned))
                .collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        Child {
            ethnicity: child["ethnicity"]["code"].as_str().unwrap_or_default().to_owned(),
            abuse: codes("abuse"),
            factors: codes("factors"),
            decision: decision(index as u32 + 1),
            need: String::new(),
            key: child["upn"].as_str().map(key),
            again: false,
        }
    };
    listed.iter().enumerate().map(child).collect()
}

/// Tells each child the primary need that the authority said last, with a decision or on closing.
/// Whether every document that may say one could be read.
fn needs<'d>(
    children: &mut [Child],
    entries: &[Entry],
    document: impl Fn(Digest) -> Option<&'d Value>,
) -> bool {
    let mut readable = true;
    for entry in entries {
        let Says::Said(event) = &entry.says else { continue };
        if !matches!(event.kind(), EventKind::Decided | EventKind::Closed) {
            continue;
        }
        let Some(detail) = event.body().detail_sha256.and_then(&document) else {
            readable = false;
            continue;
        };
        let Some(need) = detail["primary_need"]["code"].as_str() else { continue };
        for number in &event.body().children {
            let index = (*number as usize).checked_sub(1);
            if let Some(child) = index.and_then(|index| children.get_mut(index)) {
                need.clone_into(&mut child.need);
            }
        }
    }
    readable
}

/// Tells one pupil number from another while the program runs.
fn key(upn: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    upn.hash(&mut hasher);
    hasher.finish()
}
