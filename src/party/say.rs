//! Saying something about a referral: composed, signed on top of what was seen, kept, and sent until
//! an answer is certain. Safe to repeat at every point.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::look::{self, Event, NotSeen, State};
use super::member::Member;
use super::outbox::{Outbox, Outgoing};
use super::persist::{self, NoAnswer};
use crate::domain::case::EventKind;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Role, SchoolId};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::effects::NoEntropy;
use crate::http::ClientFault;
use crate::protocol::hash::sha256;
use crate::protocol::jws::Unverified;
use crate::protocol::message::{CERTIFICATES, STATEMENT, TOKEN};
use crate::protocol::problem::ProblemDocument;
use crate::protocol::schema::{DETAIL_COMMON, check_detail};
use crate::protocol::signing::{SigningFault, token_id};
use crate::protocol::tokens::{
    self, Audience, CaseEvent, CaseEventBody, Recorded, SET_TYPE, SecurityEvent, Subject,
};
use crate::protocol::trust::{Chain, Purpose};

/// What came back is not the gateway's record of this event.
pub const NOT_A_RECORD: Rule = Rule {
    id: "recorded.not-a-record",
    title: "what came is not a gateway's record of this event",
    action: "Say it again: the same bytes bring the stored record. Ring if it is urgent.",
};

/// What is to be said. The personal part is an object without the members that every document has.
#[derive(Debug, Clone, PartialEq)]
pub struct Saying {
    /// What.
    pub kind: EventKind,
    /// Its code.
    pub code: Option<String>,
    /// The children that it is about, from 1.
    pub children: Vec<u32>,
    /// The position of the event that it answers.
    pub answers: Option<u64>,
    /// The authority that it is for: that a transfer is proposed to, that is consulted, that something
    /// was handed over to.
    pub to: Option<DfeCode>,
    /// The school that a notice is for.
    pub school: Option<SchoolId>,
    /// The stage of a disagreement.
    pub stage: Option<u8>,
    /// When it happened, if not now.
    pub happened_at: Option<Timestamp>,
    /// The personal part.
    pub detail: Option<Map<String, Value>>,
}

impl Saying {
    /// An event with nothing but its kind.
    pub fn of(kind: EventKind) -> Self {
        Self {
            kind,
            code: None,
            children: Vec::new(),
            answers: None,
            to: None,
            school: None,
            stage: None,
            happened_at: None,
            detail: None,
        }
    }

    /// An event with its document, an object.
    pub fn with(kind: EventKind, document: Value) -> Self {
        let detail = match document {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        Self { detail: Some(detail), ..Self::of(kind) }
    }
}

/// An event that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its place in the thread.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// SHA-256 of its token.
    pub sha256: Digest,
}

/// Why it is not recorded, as far as is known.
#[derive(Debug)]
pub enum NotSaid {
    /// Where the referral stands could not be read.
    NotSeen(NotSeen),
    /// This machine has no signing certificate.
    NoKey,
    /// There is no such event to answer.
    NothingToAnswer,
    /// Its document is not one of its kind.
    Malformed(Refusal),
    /// The gateway refused it, with everything it said.
    Refused(Box<ProblemDocument>),
    /// Others said something first, which has to be read before this is said.
    Overtaken(Vec<Event>),
    /// What came back is not a good record.
    BadRecord(Refusal),
    /// Whether the gateway has it is not known: say it again.
    NotKnown,
    /// The gateway could not be reached; it does not have it.
    NoAnswer(ClientFault),
    /// This machine could not keep it.
    Here(io::Error),
    /// This machine could not sign it.
    Signing(SigningFault),
}

impl From<io::Error> for NotSaid {
    fn from(fault: io::Error) -> Self {
        NotSaid::Here(fault)
    }
}

/// The gateway's answer.
#[derive(Debug, Deserialize, Serialize)]
struct RecordAnswer {
    recorded: String,
    certificates: String,
    /// The event as the gateway signed it, for whom it attests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<String>,
}

/// How often an event is signed anew because something was recorded meanwhile that needs no reading.
const MOST_TURNS: usize = 8;

/// Says it. What an earlier call left without an answer is settled first; if that is the same, it is
/// not said twice.
pub async fn say(member: &Member, id: ReferralId, saying: &Saying) -> Result<Said, NotSaid> {
    let outbox = Outbox::new(&member.state, id);
    let seen = look::look(member, id).await;
    // Who has declined a transfer sees nothing of the referral any more, and still gets the record of it.
    let pending = match &seen {
        Ok(_) | Err(NotSeen::Refused(_)) => outbox.pending()?,
        Err(_) => Vec::new(),
    };
    let pending: Vec<_> = pending.into_iter().filter(|said| is_own(member, said)).collect();
    let settles = !pending.is_empty();
    for pending in pending {
        let answers = match &seen {
            Ok(state) => answered(saying, state),
            Err(_) => Ok(pending.claims().and_then(|claims| claims.body().answers)),
        };
        let same = answers.is_ok_and(|answers| is_same(&pending, saying, answers));
        match send(member, &outbox, id, &pending, true).await {
            Ok(said) if same => return Ok(said),
            Ok(_) | Err(NotSaid::Refused(_)) => {}
            Err(unknown) => return Err(unknown),
        }
    }
    let seen = if settles { look::look(member, id).await } else { seen };
    let mut state = seen.map_err(NotSaid::NotSeen)?;
    for _ in 0..MOST_TURNS {
        let outgoing = sign(member, id, saying, (state.position, answered(saying, &state)?))?;
        outbox.keep(&outgoing)?;
        let problem = match send(member, &outbox, id, &outgoing, false).await {
            Err(NotSaid::Refused(problem)) if was_overtaken(&problem) => problem,
            outcome => return outcome,
        };
        let seen = state.position;
        state = look::look(member, id).await.map_err(NotSaid::NotSeen)?;
        let news: Vec<Event> =
            state.events.iter().filter(|event| event.position > seen).cloned().collect();
        if state.position == seen {
            return Err(NotSaid::Refused(problem));
        }
        if news.iter().any(needs_reading) {
            return Err(NotSaid::Overtaken(news));
        }
    }
    Err(NotSaid::NotKnown)
}

/// Whether somebody has to look at it before they go on.
fn needs_reading(event: &Event) -> bool {
    use EventKind as K;
    let harmless = [
        K::Opened,
        K::Read,
        K::CallRecorded,
        K::ContactsConfirmed,
        K::ClockWarning,
        K::ClockBreached,
        K::DeliveryDelayed,
        K::DeliveryFailed,
    ];
    !EventKind::from_name(&event.event).is_some_and(|kind| harmless.contains(&kind))
}

/// The rule of the gateway (`event.not-seen`) for an event that is signed on top of another one.
fn was_overtaken(problem: &ProblemDocument) -> bool {
    problem.violations.iter().any(|v| v.rule == "event.not-seen")
}

/// Whether an event that was kept is this member's to send: an organisation and a person of it may share a folder,
/// and sent as somebody else's it would be refused for good.
pub(super) fn is_own(member: &Member, pending: &Outgoing) -> bool {
    pending.claims().is_none_or(|claims| claims.iss == *member.speaks_as())
}

/// Whether an event that has no answer yet says exactly this: every code, and every word.
pub(super) fn is_same(pending: &Outgoing, saying: &Saying, answers: Option<Digest>) -> bool {
    pending.claims().is_some_and(|claims| {
        let body = claims.body();
        claims.kind() == saying.kind
            && body.code == saying.code
            && body.children == saying.children
            && body.to == saying.to
            && body.school == saying.school
            && body.stage == saying.stage
            && body.answers == answers
            && pending.detail.as_deref().and_then(own_members) == saying.detail
    })
}

/// The members of a document that its author gave.
fn own_members(document: &str) -> Option<Map<String, Value>> {
    let mut members: Map<String, Value> = serde_json::from_str(document).ok()?;
    members.retain(|name, _| !DETAIL_COMMON.contains(&name.as_str()));
    Some(members)
}

/// The digest of the event that is answered.
fn answered(saying: &Saying, state: &State) -> Result<Option<Digest>, NotSaid> {
    let Some(position) = saying.answers else { return Ok(None) };
    let event = state.events.iter().find(|event| event.position == position);
    let digest = event.and_then(|event| event.sha256.parse().ok());
    digest.map(Some).ok_or(NotSaid::NothingToAnswer)
}

/// The event with its document, signed on top of the position `seen`, with the digest of what it answers;
/// only stated, where this machine has no key.
pub(super) fn sign(
    member: &Member,
    id: ReferralId,
    saying: &Saying,
    (seen, answers): (u64, Option<Digest>),
) -> Result<Outgoing, NotSaid> {
    let identity = member.signing.as_ref();
    if identity.is_none() && member.party.organisation.role() != Role::School {
        return Err(NotSaid::NoKey);
    }
    let entropy = |fault: NoEntropy| NotSaid::Signing(SigningFault::Entropy(fault));
    let detail = match &saying.detail {
        None => None,
        Some(members) => {
            let salt = URL_SAFE_NO_PAD.encode(member.entropy.uuid().map_err(entropy)?);
            let text = document(id, saying, salt, members);
            check_detail(text.as_bytes(), saying.kind, saying.code.as_deref(), id)
                .map_err(NotSaid::Malformed)?;
            Some(text)
        }
    };
    let now = member.clock.now();
    let event = CaseEvent {
        iss: member.speaks_as().clone(),
        aud: Audience::Scheme(member.scheme().clone()),
        iat: now.seconds(),
        jti: token_id(&*member.entropy).map_err(NotSaid::Signing)?,
        sub_id: Subject(id),
        toe: saying.happened_at.map(Timestamp::seconds),
        attested: None,
        said: (
            saying.kind,
            CaseEventBody {
                answers,
                children: saying.children.clone(),
                code: saying.code.clone(),
                to: saying.to,
                school: saying.school.clone(),
                stage: saying.stage,
                detail_sha256: detail.as_ref().map(|text| sha256(text.as_bytes())),
                ..CaseEventBody::seen(seen)
            },
        ),
    };
    let Some(identity) = identity else {
        return Ok(Outgoing { token: event.to_statement(), certificates: None, detail });
    };
    let signed = event.sign(identity.signer(), identity.x5t());
    let token = signed.map_err(|fault| NotSaid::Signing(SigningFault::Key(fault)))?;
    Ok(Outgoing { token, certificates: Some(identity.chain().to_header()), detail })
}

/// The exact text of the document.
fn document(id: ReferralId, saying: &Saying, salt: String, members: &Map<String, Value>) -> String {
    let mut document = Map::new();
    document.insert("event".into(), saying.kind.name().into());
    document.insert("referral_id".into(), id.to_string().into());
    document.insert("salt".into(), salt.into());
    if let Some(code) = &saying.code {
        document.insert("code".into(), code.clone().into());
    }
    document.extend(members.clone());
    Value::Object(document).to_string()
}

/// Sends a kept event until an answer is certain or the time is up. With `again` an earlier call may have
/// sent it, without having heard the answer.
pub(super) async fn send(
    member: &Member,
    outbox: &Outbox,
    id: ReferralId,
    event: &Outgoing,
    again: bool,
) -> Result<Said, NotSaid> {
    let path = format!("/v1/referrals/{id}/events");
    let body = Bytes::from(event.detail.clone().unwrap_or_default());
    // By which a refusal names what it refuses.
    let digest = if body.is_empty() { event.digest() } else { sha256(&body) };
    let sent = persist::post(member, &path, headers(event), body, |_, _| ()).await;
    let (response, uncertain) = match sent {
        Ok(certain) => (certain.response, certain.uncertain),
        Err(NoAnswer::NotKnown { .. }) => return Err(NotSaid::NotKnown),
        Err(NoAnswer::Unreached { last, .. }) => return Err(NotSaid::NoAnswer(last)),
    };
    match response.status {
        StatusCode::OK | StatusCode::CREATED => {
            let answer: RecordAnswer = serde_json::from_slice(&response.body)
                .map_err(|_| NotSaid::BadRecord(refuse(NOT_A_RECORD)))?;
            let said = verify(member, id, event, &answer).map_err(NotSaid::BadRecord)?;
            outbox.recorded(event.digest(), &response.body)?;
            Ok(said)
        }
        status => match serde_json::from_slice::<Box<ProblemDocument>>(&response.body) {
            Ok(problem) if persist::is_of_another(&problem, id, digest) => Err(NotSaid::NotKnown),
            // An earlier attempt may still be on its way, and arrive in better times.
            Ok(_) if uncertain && status == StatusCode::FORBIDDEN => Err(NotSaid::NotKnown),
            // Who is not let in is not told what was taken from them before.
            Ok(problem) if again && persist::is_of_the_connection(&problem) => {
                Err(NotSaid::NotKnown)
            }
            // The gateway looks up what it has before it judges an event, so that this answer says for
            // certain that it has not taken this one.
            Ok(problem) => {
                outbox.refused(event.digest())?;
                Err(NotSaid::Refused(problem))
            }
            Err(_) => Err(NotSaid::NotKnown),
        },
    }
}

fn headers(event: &Outgoing) -> Vec<(HeaderName, HeaderValue)> {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let mut headers = Vec::with_capacity(3);
    if event.detail.is_some() {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    }
    let field = if event.certificates.is_some() { TOKEN } else { STATEMENT };
    headers.extend(value(&event.token).map(|v| (field, v)));
    let certificates = event.certificates.as_deref().and_then(value);
    headers.extend(certificates.map(|v| (CERTIFICATES, v)));
    headers
}

/// The answer is a gateway's record of exactly this event, judged at the time that it states. What a
/// gateway signed for this machine says what was stated, and no more.
fn verify(
    member: &Member,
    id: ReferralId,
    event: &Outgoing,
    answer: &RecordAnswer,
) -> Result<Said, Refusal> {
    let chain = Chain::from_header(&answer.certificates).map_err(|_| refuse(NOT_A_RECORD))?;
    let token = Unverified::parse(&answer.recorded)?;
    let claims = token.peek::<SecurityEvent<Recorded>>().ok_or_else(|| refuse(NOT_A_RECORD))?;
    let recorded_at = claims.event.recorded_at;
    let signer = member.trust.store().verify(&chain, Purpose::Signing, recorded_at);
    let signer = signer.map_err(|refusal| refuse(refusal.0))?;
    let said =
        SecurityEvent::<Recorded>::read(&token.verify(SET_TYPE, &signer)?, Some(&member.party))?;
    if signer.party().organisation.role() != Role::Gateway {
        return Err(refuse(NOT_A_RECORD));
    }
    let (sha256, as_stated) = match (&event.certificates, &answer.event) {
        (Some(_), _) => (event.digest(), true),
        (None, Some(attested)) => (sha256(attested.as_bytes()), states(attested, event)),
        (None, None) => return Err(refuse(NOT_A_RECORD)),
    };
    let facts = [
        ("sub_id", said.sub_id == Some(Subject(id))),
        ("event_sha256", said.event.event_sha256 == sha256),
        ("statement_sha256", as_stated),
    ];
    match facts.iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(tokens::mismatch(name)),
        None => Ok(Said { position: said.event.position, recorded_at, sha256 }),
    }
}

/// Whether a gateway's token says for this machine what was stated. Its signature need not be checked
/// where the gateway's record, which is, names its digest.
fn states(attested: &str, event: &Outgoing) -> bool {
    let token = Unverified::parse(attested).ok().and_then(|t| t.peek::<CaseEvent>());
    let (Some(said), Some(stated)) = (token, event.claims()) else { return false };
    let for_us = said
        .attested
        .as_ref()
        .is_some_and(|by| by.sender == stated.iss && by.statement_sha256 == Some(event.digest()));
    for_us && said.sub_id == stated.sub_id && said.said == stated.said
}

pub(super) fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
