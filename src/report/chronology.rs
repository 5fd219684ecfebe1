//! A referral's whole thread, line by line: what happened, who signed it, who recorded it and where,
//! what proves it, and whether it did. `.docs/chronology.md` describes the machine form.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::chronology_page;
use super::gather::{Gathered, Text, named};
use super::moment::{length, moment};
use super::tokens::Entry;
use super::words::{organisation, told};
use crate::domain::case::EventKind;
use crate::domain::clocks::{Clock, Reading, Setting, State, WhyEnded, read};
use crate::domain::party::{Organisation, Party};
use crate::domain::time::{MINUTE, SECOND, Timestamp};
use crate::party::words::members;
use crate::protocol::document::Readable;
use crate::protocol::evidence::{Proven, Says};
use crate::protocol::trust::Revocation;

/// Name and version of the machine form. Members are only ever added within a version.
pub const FORMAT: &str = "ecaf-chronology/1.0";

/// The document.
#[derive(Debug, Clone, Serialize)]
pub struct Chronology {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The referral.
    pub referral_id: String,
    /// When it was made.
    pub made_at: String,
    /// For whom the gateway gave the evidence; absent if it came from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// Whether everything in it is proved.
    pub proved: bool,
    /// What is not, and why.
    pub not_proved: Vec<String>,
    /// Places of the thread that are not shown to this reader.
    pub withheld: usize,
    /// Whether it was taken out of use as misidentified: only that is told then.
    pub taken_out_of_use: bool,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What happened, oldest first.
    pub lines: Vec<Line>,
    /// What had to happen by when; absent where parts of the thread are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Vec<ClockLine>>,
    /// Which authority held it from when to when.
    pub held: Vec<Held>,
    /// The documents that its tokens name.
    pub documents: Vec<Document>,
    /// Whose certificates its signatures need.
    pub certificates: Vec<Certificate>,
}

/// What a referral is, in codes.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The sending school, with the person if one signed.
    pub sender: String,
    /// The gateway that vouches for a sender without a signing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// The authority that it was routed to first.
    pub first_authority: String,
    /// The accountable authority at the end of what is shown.
    pub holder: String,
    /// Of the newest version.
    pub urgency: String,
    /// Of the newest version.
    pub request_type: String,
    /// How many versions there are.
    pub versions: u32,
    /// How many children the newest document is about, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<usize>,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// From 1.
    pub line: usize,
    /// When, in UTC.
    pub at: String,
    /// The same as people in England read it, with the distance from UTC.
    pub at_in_england: String,
    /// Whether a gateway recorded that time; else it is the signer's own word.
    pub time_is_recorded: bool,
    /// `submitted`, `accepted`, `dispatched`, `delivered`, or the name of an event.
    pub kind: String,
    /// In plain words.
    pub words: String,
    /// The code of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The children that it is about, from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<u32>,
    /// When it happened, by its author's clock, where that is not when it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<String>,
    /// Who signed it.
    pub signed_by: String,
    /// SHA-256 of the signing certificate.
    pub certificate_sha256: String,
    /// Its place in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Who recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
    /// SHA-256 of the token.
    pub sha256: String,
    /// SHA-256 of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_sha256: Option<String>,
    /// SHA-256 of the document that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<String>,
    /// What the document of an event answers, or why it is not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub document: Vec<(String, String)>,
    /// Whether its signature and its place are proved.
    pub verified: bool,
    /// What else a reader must know of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caution: Option<&'static str>,
}

/// One clock.
#[derive(Debug, Clone, Serialize)]
pub struct ClockLine {
    /// Its code.
    pub clock: &'static str,
    /// What must happen.
    pub name: &'static str,
    /// What it is about: `referral`, `child-1`, ...
    pub about: String,
    /// The same for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about_words: Option<String>,
    /// `statutory`, `procedure` or `scheme`.
    pub class: &'static str,
    /// When it started.
    pub started_at: String,
    /// The last instant in time.
    pub due_at: String,
    /// When it happened, or nothing was waited for any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<String>,
    /// How it stands, in plain English.
    pub state: &'static str,
    /// Whether the limit was passed.
    pub breached: bool,
    /// In a sentence.
    pub words: String,
    /// Until when it stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// Whether it rests on days that nobody has told.
    pub assumed: bool,
    /// How long each authority was waited for.
    pub held: Vec<HeldBy>,
}

/// How long an authority was waited for.
#[derive(Debug, Clone, Serialize)]
pub struct HeldBy {
    /// DfE code.
    pub authority: String,
    /// Whether it was still on its way there.
    pub in_transit: bool,
    /// Whole seconds.
    pub seconds: i64,
}

/// A stretch of time with one accountable authority.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// DfE code.
    pub authority: String,
    /// Whether it was still on its way there.
    pub in_transit: bool,
    /// The first instant.
    pub from: String,
    /// The end.
    pub to: String,
    /// Whole seconds.
    pub seconds: i64,
}

/// A document that a token names.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// Its digest.
    pub sha256: String,
    /// The line that it belongs to.
    pub line: usize,
    /// `shown`, `erased`, `withheld`, `not_given` or `wrong`.
    pub state: &'static str,
    /// The same for a person.
    pub words: String,
    /// Its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

/// A certificate that signed.
#[derive(Debug, Clone, Serialize)]
pub struct Certificate {
    /// Its SHA-256.
    pub sha256: String,
    /// Whose it is.
    pub party: String,
    /// How many lines it signed.
    pub lines: usize,
}

impl Chronology {
    /// Of what was gathered. `setting` has the calendars that clocks count by.
    pub fn of(gathered: &Gathered, setting: &Setting) -> Self {
        let is_misidentified = |entry: &&Entry| match &entry.says {
            Says::Said(event) => event.kind() == EventKind::Misidentified,
            _ => false,
        };
        let told_so = gathered.state.as_ref().is_some_and(|state| state.misidentified);
        let gone = told_so || gathered.entries.iter().any(|e| is_misidentified(&e));
        let shown: Vec<&Entry> = match gone {
            true => gathered.entries.iter().filter(is_misidentified).collect(),
            false => gathered.entries.iter().collect(),
        };
        let proven = gathered.proven.as_ref().ok();
        let withheld = gathered.bundle.withheld.len();
        let reading = gathered.thread().filter(|_| !gone).map(|t| read(&t, setting, gathered.at));
        let whole = reading.as_ref().filter(|_| withheld == 0);
        let lines: Vec<Line> = shown
            .iter()
            .enumerate()
            .map(|(index, entry)| line(index + 1, entry, gathered, proven))
            .collect();
        Self {
            format: FORMAT,
            referral_id: gathered.id.to_string(),
            made_at: gathered.at.to_string(),
            made_for: gathered.reader.as_ref().map(ToString::to_string),
            proved: gathered.is_proved(),
            not_proved: not_proved(gathered),
            withheld,
            taken_out_of_use: gone,
            summary: (!gone).then(|| summary(gathered, reading.as_ref())).flatten(),
            clocks: whole.map(|r| r.clocks.iter().map(clock_line).collect()),
            held: whole.map(held).unwrap_or_default(),
            documents: match gone {
                true => Vec::new(),
                false => documents(&shown, gathered),
            },
            certificates: certificates(&shown),
            lines,
        }
    }

    /// As a document for people: text, or one HTML page.
    pub fn readable(&self) -> Readable {
        chronology_page::readable(self)
    }

    /// How many limits were passed; for a list of many.
    pub fn breaches(&self) -> usize {
        self.clocks.iter().flatten().filter(|clock| clock.breached).count()
    }
}

fn not_proved(gathered: &Gathered) -> Vec<String> {
    let mut all = Vec::new();
    if let Err(refusal) = &gathered.proven {
        all.push(format!("The evidence does not verify: {refusal}"));
    }
    if gathered.unreadable > 0 {
        all.push(format!("{} tokens could not be read", gathered.unreadable));
    }
    let wrong = gathered.documents.iter().filter(|(_, text)| matches!(text, Text::Wrong));
    all.extend(wrong.map(|(d, _)| format!("A document is not the one that was signed: {d}")));
    all
}

fn summary(gathered: &Gathered, reading: Option<&Reading>) -> Option<Summary> {
    let submissions = gathered.entries.iter().filter_map(|entry| match &entry.says {
        Says::Submitted(submission) => Some(submission),
        _ => None,
    });
    let newest = submissions.max_by_key(|submission| submission.version)?;
    let first = gathered.entries.iter().find_map(|entry| match &entry.says {
        Says::Accepted(accepted) => Some(accepted.authority),
        _ => None,
    })?;
    let last = reading.and_then(|r| r.segments.last()).map_or(first, |segment| segment.authority);
    let children = gathered.document(newest.payload_sha256);
    Some(Summary {
        sender: party(newest.sender()),
        attested_by: newest.attested.as_ref().map(|_| organisation(&newest.iss.organisation)),
        first_authority: first.to_string(),
        holder: last.to_string(),
        urgency: newest.urgency.clone(),
        request_type: newest.request_type.clone(),
        versions: newest.version,
        children: children.and_then(|d| Some(d["children"].as_array()?.len())),
    })
}

fn line(number: usize, entry: &Entry, gathered: &Gathered, proven: Option<&Proven>) -> Line {
    let statement = proven.and_then(|proven| proven.statements.get(entry.index));
    let event = match &entry.says {
        Says::Said(event) => Some(event),
        _ => None,
    };
    let kind = match &entry.says {
        Says::Submitted(_) => "submitted",
        Says::Accepted(_) => "accepted",
        Says::Dispatched(..) => "dispatched",
        Says::Delivered(_) => "delivered",
        Says::Recorded(_) => "recorded",
        Says::Said(event) => event.kind().name(),
    };
    let claimed = match &entry.says {
        Says::Said(event) => Some(event.claimed_at()),
        Says::Delivered(delivered) => Some(delivered.stored_at),
        _ => None,
    };
    let document = named(entry);
    let text = document.and_then(|digest| gathered.documents.get(&digest));
    Line {
        line: number,
        at: entry.at.to_string(),
        at_in_england: moment(entry.at),
        time_is_recorded: entry.recorded,
        kind: kind.to_owned(),
        words: told(entry, &gathered.entries),
        code: event.and_then(|event| event.body().code.clone()),
        children: event.map(|event| event.body().children.clone()).unwrap_or_default(),
        claimed_at: claimed.filter(|c| far(*c, entry.at)).map(|at| at.to_string()),
        signed_by: party(&entry.by),
        certificate_sha256: entry.x5t.to_string(),
        position: entry.position(),
        recorded_by: entry.record.as_ref().map(|(_, by, _)| party(by)),
        sha256: entry.digest.to_string(),
        record_sha256: entry.record.as_ref().map(|(digest, ..)| digest.to_string()),
        document_sha256: document.map(|digest| digest.to_string()),
        document: match (event, text) {
            (Some(_), Some(Text::Kept(document))) => members(kind, document),
            (Some(_), Some(text)) => vec![("What it said".to_owned(), fate(text).1)],
            _ => Vec::new(),
        },
        verified: statement.is_some(),
        caution: statement.and_then(|statement| match statement.revocation {
            Revocation::Good => None,
            Revocation::Stale => Some("the revocation list was not fresh when it was checked"),
            Revocation::Doubted => Some("DOUBTED: the key may have been in other hands by then"),
        }),
    }
}

/// Whether a claimed time says more than the recorded one: more than a minute apart.
fn far(claimed: Timestamp, recorded: Timestamp) -> bool {
    claimed.since(recorded).abs() > MINUTE
}

fn fate(text: &Text) -> (&'static str, String) {
    match text {
        Text::Kept(_) => ("shown", "Shown here; its digest is the one that was signed".into()),
        Text::Erased(words) => ("erased", format!("Not shown: {words}")),
        Text::Withheld => ("withheld", "Withheld: this reader may not read it".into()),
        Text::Absent => ("not_given", "Not given with the evidence".into()),
        Text::Wrong => ("wrong", "NOT SHOWN: what was given is not what was signed".into()),
    }
}

fn clock_line(clock: &Clock) -> ClockLine {
    let (stopped, words) = match clock.state {
        State::Running | State::Warned => (None, "Still running".to_owned()),
        State::Met(mark) => (Some(mark), "Met in time".to_owned()),
        State::Breached { late: Some(mark), .. } => {
            let late = length(mark.at.since(clock.due_at));
            (Some(mark), format!("BREACHED: met {late} after the limit"))
        }
        State::Breached { ended: Some((mark, why)), .. } => {
            (Some(mark), format!("BREACHED, then ended: {}", ended(why)))
        }
        State::Breached { .. } => (None, "BREACHED: not met so far".to_owned()),
        State::Ended(mark, why) => (Some(mark), format!("Ended in time: {}", ended(why))),
    };
    let held = clock.held.iter().map(|held| HeldBy {
        authority: held.authority.to_string(),
        in_transit: held.in_transit,
        seconds: held.millis / SECOND,
    });
    ClockLine {
        clock: clock.id.as_str(),
        name: clock.id.name(),
        about: clock.about.to_string(),
        about_words: clock.about.words(),
        class: clock.class.as_str(),
        started_at: clock.started_at.to_string(),
        due_at: clock.due_at.to_string(),
        stopped_at: stopped.map(|mark| mark.at.to_string()),
        state: clock.state.as_str(),
        breached: clock.state.is_breached(),
        words,
        paused_until: clock.still_until.map(|at| at.to_string()),
        assumed: clock.assumed,
        held: held.collect(),
    }
}

const fn ended(why: WhyEnded) -> &'static str {
    match why {
        WhyEnded::Closed => "the case was closed",
        WhyEnded::Withdrawn => "the referral was withdrawn",
        WhyEnded::Misidentified => "the referral was taken out of use",
        WhyEnded::Overtaken => "another step took its place",
    }
}

fn held(reading: &Reading) -> Vec<Held> {
    let one = |segment: &crate::domain::clocks::Segment| Held {
        authority: segment.authority.to_string(),
        in_transit: segment.in_transit,
        from: segment.from.to_string(),
        to: segment.to.to_string(),
        seconds: segment.to.since(segment.from) / SECOND,
    };
    reading.segments.iter().map(one).collect()
}

fn documents(shown: &[&Entry], gathered: &Gathered) -> Vec<Document> {
    let mut all = Vec::new();
    for (index, entry) in shown.iter().enumerate() {
        let Some(digest) = named(entry) else { continue };
        let Some(text) = gathered.documents.get(&digest) else { continue };
        let (state, words) = fate(text);
        let content = match text {
            Text::Kept(document) => Some(document.clone()),
            _ => None,
        };
        all.push(Document { sha256: digest.to_string(), line: index + 1, state, words, content });
    }
    all
}

fn certificates(shown: &[&Entry]) -> Vec<Certificate> {
    let mut all: BTreeMap<String, Certificate> = BTreeMap::new();
    for entry in shown {
        let sha256 = entry.x5t.to_string();
        let new = || Certificate { sha256: sha256.clone(), party: party(&entry.by), lines: 0 };
        all.entry(sha256.clone()).or_insert_with(new).lines += 1;
    }
    all.into_values().collect()
}

/// A party: its organisation, and the person's opaque id.
pub(super) fn party(party: &Party) -> String {
    let words = organisation(&party.organisation);
    match (&party.person, &party.organisation) {
        (Some(person), Organisation::School(_) | Organisation::Authority(_)) => {
            format!("{words}, person {person}")
        }
        _ => words,
    }
}
