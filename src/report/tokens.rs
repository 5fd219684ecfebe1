//! The tokens of one referral in the order in which they were recorded, each with its record. Read
//! without belief: whether they prove what they say is `evidence`'s to decide.

use std::collections::BTreeMap;

use crate::domain::ids::Digest;
use crate::domain::party::Party;
use crate::domain::time::Timestamp;
use crate::protocol::evidence::Says;
use crate::protocol::hash::sha256;
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::{
    Accepted, Audience, CaseEvent, Delivered, DispatchNote, Recorded, SET_TYPE, SecurityEvent,
    Submission,
};

/// One statement, with the gateway's record of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// SHA-256 of the token.
    pub digest: Digest,
    /// Its place in the bundle.
    pub index: usize,
    /// The certificate that it names.
    pub x5t: Digest,
    /// Who says it.
    pub by: Party,
    /// What; never [`Says::Recorded`], which stands beside what it records.
    pub says: Says,
    /// When it was recorded; else the signer's own word.
    pub at: Timestamp,
    /// Whether a gateway recorded it: `at` is its time then.
    pub recorded: bool,
    /// The record: its digest, who made it, its position.
    pub record: Option<(Digest, Party, u64)>,
}

impl Entry {
    /// Its place in the thread, if it has one.
    pub fn position(&self) -> Option<u32> {
        let position = match &self.says {
            Says::Accepted(accepted) => Some(accepted.position),
            _ => self.record.as_ref().map(|(.., position)| *position),
        };
        position.and_then(|position| u32::try_from(position).ok())
    }
}

/// The statements among `tokens`, oldest first, and how many could not be read.
pub fn entries(tokens: &[String]) -> (Vec<Entry>, usize) {
    let mut unreadable = 0;
    let mut records: BTreeMap<Digest, (Digest, Party, Recorded)> = BTreeMap::new();
    let mut said = Vec::new();
    for (index, text) in tokens.iter().enumerate() {
        let digest = sha256(text.as_bytes());
        match read(text) {
            Some((by, _, Says::Recorded(record))) => {
                records.insert(record.event_sha256, (digest, by, record));
            }
            Some((by, x5t, says)) => said.push((index, digest, by, x5t, says)),
            None => unreadable += 1,
        }
    }
    let accepted: Vec<(Digest, Timestamp)> = said
        .iter()
        .filter_map(|(_, _, _, _, says)| match says {
            Says::Accepted(a) => Some((a.submission_sha256, a.recorded_at)),
            _ => None,
        })
        .collect();
    let mut entries: Vec<Entry> = said
        .into_iter()
        .map(|(index, digest, by, x5t, says)| {
            let record = records.get(&digest);
            let (at, recorded) = match (&says, record) {
                (_, Some((_, _, record))) => (record.recorded_at, true),
                (Says::Accepted(accepted), _) => (accepted.recorded_at, true),
                (Says::Dispatched(note, _), _) => (note.judged_at(), true),
                (Says::Delivered(delivered), _) => (delivered.stored_at, false),
                (Says::Submitted(submission), _) => {
                    match accepted.iter().find(|(named, _)| *named == digest) {
                        Some((_, at)) => (*at, true),
                        None => (Timestamp::from_seconds(submission.iat), false),
                    }
                }
                (Says::Said(event), _) => (event.claimed_at(), false),
                (Says::Recorded(record), _) => (record.recorded_at, true),
            };
            let record = record.map(|(digest, by, record)| (*digest, by.clone(), record.position));
            Entry { digest, index, x5t, by, says, at, recorded, record }
        })
        .collect();
    entries.sort_by_key(|entry| (entry.at, rank(&entry.says), entry.position(), entry.index));
    (entries, unreadable)
}

/// What comes first of what was recorded at one instant.
fn rank(says: &Says) -> u8 {
    match says {
        Says::Submitted(_) => 0,
        Says::Accepted(_) | Says::Recorded(_) => 1,
        // What a proposal calls for comes after it.
        Says::Dispatched(note, _) if note.transfer.is_some() => 5,
        Says::Dispatched(..) => 2,
        Says::Delivered(_) => 3,
        Says::Said(_) => 4,
    }
}

fn read(text: &str) -> Option<(Party, Digest, Says)> {
    let token = Unverified::parse(text).ok()?;
    let x5t = token.x5t();
    if token.typ() != SET_TYPE {
        let submission: Submission = token.peek()?;
        return Some((submission.iss.clone(), x5t, Says::Submitted(submission)));
    }
    if let Some(event) = token.peek::<CaseEvent>() {
        return Some((event.iss.clone(), x5t, Says::Said(Box::new(event))));
    }
    if let Some(set) = token.peek::<SecurityEvent<Recorded>>() {
        return Some((set.iss, x5t, Says::Recorded(set.event)));
    }
    if let Some(set) = token.peek::<SecurityEvent<Accepted>>() {
        return Some((set.iss, x5t, Says::Accepted(set.event)));
    }
    if let Some(set) = token.peek::<SecurityEvent<Delivered>>() {
        return Some((set.iss, x5t, Says::Delivered(set.event)));
    }
    let set = token.peek::<SecurityEvent<DispatchNote>>()?;
    let [Audience::Party(to)] = &set.aud[..] else { return None };
    Some((set.iss, x5t, Says::Dispatched(set.event, to.clone())))
}
