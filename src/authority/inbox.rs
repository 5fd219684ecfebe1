//! The inbox as people read it: a list of codes and times, and each referral as a document.

use serde_json::{Value, json};

use crate::domain::case::{EventKind, words_of};
use crate::domain::party::Organisation;
use crate::domain::referral::{RequestType, Urgency};
use crate::protocol::document::{self, Readable};
use crate::protocol::evidence::{Bundle, ErasedDocument};
use crate::protocol::json as strict;
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::CaseEvent;
use crate::store::{InboxEntry, InboxItem, StoredToken, TokenKind};

/// The longest document that is shown, in bytes.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why we have it, without the proposal that tells one transfer from the next.
fn purpose(entry: &InboxEntry) -> &str {
    entry.key.purpose.split(' ').next().unwrap_or_default()
}

/// Whether it is an allegation about staff, which is for designated officers alone.
pub fn is_allegation(entry: &InboxEntry) -> bool {
    entry.request_type == RequestType::Lado.as_str()
}

/// One line of the inbox for other programs.
pub fn as_json(entry: &InboxEntry) -> Value {
    json!({
        "entry": entry.entry,
        "reference": entry.reference,
        "referral_id": entry.key.referral_id.to_string(),
        "version": entry.key.version,
        "purpose": purpose(entry),
        "urgency": urgency(entry.urgency),
        "request_type": entry.request_type,
        "sender": entry.sender.to_string(),
        "recorded_at": entry.recorded_at.to_string(),
        "received_at": entry.received_at.to_string(),
        "payload_sha256": entry.payload_sha256.to_string(),
        "erased_at": entry.erased.map(|erasure| erasure.at.to_string()),
        "erased_reason": entry.erased.map(|erasure| erasure.why.as_str()),
    })
}

/// One line of the inbox for people.
pub fn as_cells(entry: &InboxEntry) -> Vec<String> {
    vec![
        entry.reference.clone(),
        urgency(entry.urgency).into(),
        entry.request_type.replace('_', " "),
        purpose(entry).replace('_', " "),
        format!("v{}", entry.key.version),
        entry.sender.to_string(),
        local(entry.recorded_at),
        entry.erased.map_or("", |_| "erased").into(),
    ]
}

/// The heads of [`as_cells`].
pub const HEADS: [&str; 8] =
    ["REFERENCE", "URG", "REQUEST", "WE ARE", "VER", "FROM", "RECORDED", "DOCUMENT"];

/// A token that a gateway pushed here, for other programs.
pub fn pushed_as_json(pushed: &StoredToken) -> Value {
    let said = event(pushed);
    let body = said.as_ref().map(CaseEvent::body);
    let code = body.and_then(|body| body.code.as_deref());
    let kind = said.as_ref().map(CaseEvent::kind);
    json!({
        "token": pushed.token.kind.as_str(),
        "event": kind.map(EventKind::name),
        "by": author(pushed, said.as_ref()),
        "code": code,
        "words": kind.zip(code).and_then(|(kind, code)| words_of(kind, code)),
        "children": body.map(|body| &body.children[..]).unwrap_or_default(),
        "to": body.and_then(|body| body.to).map(|to| to.to_string()),
        "recorded_at": pushed.recorded_at.to_string(),
        "sha256": pushed.token.sha256.to_string(),
        "detail_sha256": body.and_then(|body| body.detail_sha256).map(|d| d.to_string()),
        "jws": pushed.token.jws,
    })
}

/// One line for people: when it was recorded, by whom it was said, and what. Nothing for a gateway's record
/// of something else.
pub fn pushed_as_cells(pushed: &StoredToken) -> Option<Vec<String>> {
    let said = event(pushed);
    let what = match (&said, pushed.token.kind) {
        (_, TokenKind::Recorded) => return None,
        (Some(said), _) => {
            let name = said.kind().name().replace('_', " ");
            let code = said.body().code.as_deref();
            match code.map(|code| words_of(said.kind(), code).unwrap_or(code)) {
                Some(words) => format!("{name}: {words}"),
                None => name,
            }
        }
        (None, TokenKind::Accepted) => "held by the exchange".into(),
        (None, TokenKind::DispatchNote) => "addressed".into(),
        (None, TokenKind::Delivered) => "stored".into(),
        (None, kind) => kind.as_str().replace('_', " "),
    };
    Some(vec![local(pushed.recorded_at), author(pushed, said.as_ref()), what])
}

/// The heads of [`pushed_as_cells`].
pub const PUSHED_HEADS: [&str; 3] = ["RECORDED", "BY", "WHAT"];

/// What an event says: kept only after it was verified, so its claims may be believed.
fn event(pushed: &StoredToken) -> Option<CaseEvent> {
    Unverified::parse(&pushed.token.jws).ok()?.peek()
}

fn author(pushed: &StoredToken, said: Option<&CaseEvent>) -> String {
    let by = said.map_or(&pushed.token.issuer, CaseEvent::author);
    match &by.person {
        Some(person) => format!("{}/person/{person}", by.organisation),
        None => by.organisation.to_string(),
    }
}

/// A referral as a document; `None` once it is erased.
pub fn readable(item: &InboxItem) -> Option<Readable> {
    let document = item.document.kept()?;
    let value = strict::parse(document, LARGEST).ok()?;
    let entry = &item.entry;
    let attested = item.tokens.iter().find(|t| t.token.kind == TokenKind::Attested);
    let backing = match attested.map(|t| &t.token.issuer.organisation) {
        Some(Organisation::Gateway(name)) => format!("Attested by gateway {name} for"),
        _ => "Signed by".into(),
    };
    let provenance = format!(
        "Our reference {}. {backing} {}. Recorded by the exchange {}, stored here {}. \
         Referral {} version {}.",
        entry.reference,
        entry.sender,
        local(entry.recorded_at),
        local(entry.received_at),
        entry.key.referral_id,
        entry.key.version
    );
    Some(document::readable(&value, &provenance))
}

/// The tokens of an entry as an evidence bundle, without chains. Our own receipt is among them, at
/// our own word for its time.
pub fn tokens(item: &InboxItem) -> Bundle {
    let mut bundle = Bundle::new(item.entry.key.referral_id);
    bundle.tokens.extend(item.tokens.iter().map(|t| t.token.jws.clone()));
    let erased = item.entry.erased;
    bundle.erased.extend(erased.map(|e| ErasedDocument::of(item.entry.payload_sha256, e)));
    bundle
}

/// Our own receipt of an entry.
pub fn receipt(item: &InboxItem) -> Option<&str> {
    let own = item.tokens.iter().find(|t| t.token.kind == TokenKind::Delivered);
    own.map(|t| t.token.jws.as_str())
}

fn urgency(rank: u8) -> &'static str {
    Urgency::ALL.get(usize::from(rank)).map_or("?", |u| u.as_str())
}

fn local(at: crate::domain::time::Timestamp) -> String {
    let (date, minute) = at.in_england();
    format!("{date} {:02}:{:02}", minute / 60, minute % 60)
}
