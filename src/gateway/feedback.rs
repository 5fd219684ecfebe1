//! The way of an event: an authority's or a school's statement about a referral, checked like a
//! submission step by step, recorded at the next position of the thread, and only then answered.
//!
//! ```text
//! Stated (form) -> Signed (signature, author) -> Judged (may it follow?) -> recorded in one transaction
//! ```

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::attest::attest;
use super::authenticate::FROM_THE_FUTURE;
use super::exchange::{Desk, Exchange, seen_chain, their_token};
use super::known::{Event, Known};
use super::opening;
use super::read::nothing_here;
use super::transfer;
use super::trouble::Trouble;
use crate::domain::case::{EventKind, Illegal, Statement};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Organisation;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::domain::visibility::Part;
use crate::http::{Peer, Request};
use crate::protocol::hash::sha256;
use crate::protocol::jws;
use crate::protocol::message::{
    CERTIFICATES, STATEMENT, TOKEN, chain_field, json_body, optional_field, text_field,
};
use crate::protocol::schema::check_detail;
use crate::protocol::tokens::{CaseEvent, SET_TYPE};
use crate::protocol::trust::{Chain, VerifiedChain};
use crate::store::{
    Append, AppendOutcome, CaseChange, Detail, Head, NewToken, StoredEvent, TokenKind,
};

/// Only the parties of a referral speak about it.
pub const NOT_A_PARTY: Rule = Rule {
    id: "event.not-a-party",
    title: "only schools and authorities speak about a referral",
    action: "Connect with the tls certificate of the school or authority that says it.",
};
/// The signer's organisation is not the peer's.
pub const NOT_THE_PEER: Rule = Rule {
    id: "event.signer-is-not-the-peer",
    title: "the organisation that signed is not the one that is connected",
    action: "Send with the tls certificate of the organisation whose signing certificate signed.",
};
/// It was signed on top of another position than the last one.
pub const NOT_SEEN: Rule = Rule {
    id: "event.not-seen",
    title: "something was recorded that the author of this event has not seen",
    action: "Read the referral again; if the event is still right, sign it anew with the last position in seen.",
};
/// It may not follow what was recorded.
pub const NOT_NOW: Rule = Rule {
    id: "event.not-now",
    title: "this event cannot follow what was recorded before",
    action: "Read the referral again; schemas/EVENTS.md says what each event needs.",
};
/// It is for another party, or for a person, to say.
pub const NOT_YOURS: Rule = Rule {
    id: "event.not-yours",
    title: "this event is for another party or person to say",
    action: "Have it signed by whom schemas/EVENTS.md names; a person signs with a certificate of their own.",
};
/// What stands in it does not fit its kind.
pub const FORM: Rule = Rule {
    id: "event.form",
    title: "the event's codes, children or references are not those of its kind",
    action: "Compare it with the table in schemas/EVENTS.md.",
};

/// Its author has said too much here.
pub const TOO_MUCH: Rule = Rule {
    id: "event.too-many",
    title: "this party has said as much about this referral as anybody may",
    action: "Ring; look for a program that repeats itself; what is new belongs in a referral of its own that names this one.",
};

/// A statement as it arrived.
struct Stated {
    peer: Arc<Peer>,
    proof: Proof,
    detail: Option<Bytes>,
}

/// What its author gives to prove that it is theirs.
enum Proof {
    /// A token signed with the author's own key.
    Token { text: String, chain: Chain },
    /// A statement, and nothing but the certificate of the connection: the gateway may attest it.
    ConnectionOnly { statement: String },
}

/// A statement whose author is proved.
pub(super) struct Signed {
    pub said: CaseEvent,
    text: String,
    /// SHA-256 of the token.
    pub digest: Digest,
    /// By what its author's bytes are known again.
    key: Digest,
    signer: VerifiedChain,
    chain: Chain,
    /// The certificates of the connection, where they are the proof.
    connection: Option<Chain>,
    pub detail: Option<Detail>,
}

/// The answer: the event's place.
#[derive(Debug, Clone, Serialize)]
pub struct EventAnswer {
    /// The `recorded` token: the same bytes for the same event.
    pub recorded: String,
    /// The chain of its signer.
    pub certificates: String,
    /// The event as this gateway signed it for a school without a key of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// SHA-256 of the event's token.
    pub event_sha256: String,
    /// Its place in the thread.
    pub position: u32,
    /// When it was recorded: this time counts for every clock.
    pub recorded_at: String,
    /// Whether this very request brought it.
    #[serde(skip)]
    pub new: bool,
}

impl Stated {
    fn take(exchange: &Exchange, request: &Request) -> Result<Self, Refusal> {
        let is_party = matches!(
            request.peer.chain.party().organisation,
            Organisation::School(_) | Organisation::Authority(_)
        );
        if !is_party {
            return Err(forbid(NOT_A_PARTY));
        }
        let headers = &request.headers;
        let detail = (!request.body.is_empty()).then(|| request.body.clone());
        if detail.is_some() {
            json_body(headers)?;
        }
        let proof = match optional_field(headers, &STATEMENT)? {
            Some(statement) if !headers.contains_key(&TOKEN) => {
                Proof::ConnectionOnly { statement: statement.to_owned() }
            }
            _ => Proof::Token {
                text: text_field(headers, &TOKEN)?.to_owned(),
                chain: chain_field(headers, &CERTIFICATES, &exchange.cache)?,
            },
        };
        Ok(Self { peer: Arc::clone(&request.peer), proof, detail })
    }

    /// By what it is known again: the digest of the token, or of the statement.
    fn key(&self) -> Digest {
        match &self.proof {
            Proof::Token { text, .. } => sha256(text.as_bytes()),
            Proof::ConnectionOnly { statement } => sha256(statement.as_bytes()),
        }
    }

    /// The record of these very bytes, if there is one that is the peer's. Looked for before the signature
    /// is judged: a certificate that has ended since takes no record away.
    fn before<'a>(&self, known: &'a Known) -> Option<&'a StoredEvent> {
        let event = recorded_before(known, self.key())?;
        let (peer, author) = (self.peer.chain.party(), event.said.author());
        let is_theirs = author.organisation == peer.organisation
            && (peer.person.is_none() || peer.person == author.person);
        let detail = self.detail.as_deref().map(sha256);
        (is_theirs && event.said.body().detail_sha256 == detail).then_some(&event.stored)
    }
}

/// The event with this key: that of its token, or of the statement that a gateway signed for a school.
fn recorded_before(known: &Known, key: Digest) -> Option<&Event> {
    let statement = |said: &CaseEvent| said.attested.as_ref()?.statement_sha256;
    known.events.iter().find(|e| e.digest() == key || statement(&e.said) == Some(key))
}

impl Signed {
    /// Verifies the proof as of `desk.now`, the time at which it would be recorded.
    fn verify(
        stated: Stated,
        id: ReferralId,
        exchange: &Exchange,
        desk: &Desk,
    ) -> Result<Self, Trouble> {
        let (peer, key) = (&stated.peer, stated.key());
        let (text, chain, connection) = match stated.proof {
            Proof::Token { text, chain } => (text, chain, None),
            Proof::ConnectionOnly { statement } => {
                let text = attest(&statement, peer, id, exchange, desk)?;
                (text, desk.identity.chain().clone(), Some(peer.certificates.clone()))
            }
        };
        let trust = (&*desk.trust, &exchange.cache);
        let token = jws::verify_beside(&text, &chain, SET_TYPE, trust, desk.now)?;
        let peer = peer.chain.party();
        let said = CaseEvent::read(&token, &peer.trust_domain, id)?;
        let author = said.author();
        let one = author.organisation == peer.organisation
            && author.trust_domain == peer.trust_domain
            && (peer.person.is_none() || peer.person == author.person);
        if !one || said.attested.is_some() != connection.is_some() {
            return Err(forbid(NOT_THE_PEER).into());
        }
        let ahead = |at: Timestamp| at.is_ahead_of(desk.now);
        if ahead(said.claimed_at()) || ahead(Timestamp::from_seconds(said.iat)) {
            return Err(forbid(FROM_THE_FUTURE).into());
        }
        let detail = stated.detail.map(|document| Detail { sha256: sha256(&document), document });
        said.agrees_with(detail.as_ref().map(|d| d.sha256))?;
        // Only a gateway speaks of clocks and deliveries.
        if said.is_of_a_gateway() {
            return Err(Refusal::new(Class::Invalid, Violation::whole(FORM)).into());
        }
        let (digest, signer) = (token.digest(), token.into_signer());
        Ok(Self { said, text, digest, key, signer, chain, connection, detail })
    }

    /// As the rules of the thread see it, at the next position.
    fn statement(&self, known: &Known) -> Statement<'_> {
        let answered = self.said.body().answers.and_then(|digest| known.kind_of(digest));
        self.said.statement(self.digest, known.thread.head.position + 1, answered)
    }

    /// Whether it may follow what is recorded, and its document is one of its kind.
    fn judge(&self, id: ReferralId, known: &Known) -> Result<(), Trouble> {
        let (kind, body) = (self.said.kind(), self.said.body());
        // Before anything about its form is said: a stranger learns nothing.
        if !known.allows(self.said.author(), Part::Timeline) {
            return Err(nothing_here());
        }
        if kind.opens().is_some() && known.thread.head != Head::START {
            return Err(opening::id_used());
        }
        if body.seen != u64::from(known.thread.head.position) {
            return Err(Refusal::new(Class::Conflict, Violation::whole(NOT_SEEN)).into());
        }
        known.case.judge(&self.statement(known)).map_err(|illegal| refusal(kind, illegal))?;
        if let Some(detail) = &self.detail {
            check_detail(&detail.document, kind, body.code.as_deref(), id)?;
        }
        Ok(())
    }
}

/// Takes an event all the way, or says why not. Nothing is kept of a refused one.
pub async fn record(
    exchange: &Exchange,
    request: &Request,
    id: ReferralId,
) -> Result<EventAnswer, Trouble> {
    let now = exchange.now();
    let stated = Stated::take(exchange, request)?;
    let known = exchange.known(id).await?;
    // Asked before it is judged: what was recorded stays recorded, whatever came after it.
    if let Some(before) = known.as_ref().and_then(|known| stated.before(known)) {
        return exchange.answer(before, false).await;
    }
    let desk = exchange.desk(exchange.trust.store(), now)?;
    let signed = Signed::verify(stated, id, exchange, &desk)?;
    let known = match known {
        Some(known) => known,
        None => opening::begin(exchange, &desk, &signed, id).await?,
    };
    let holder = Some(known.case.holder());
    let judged = signed.judge(id, &known);
    judged.map_err(|trouble| match known.allows(signed.said.author(), Part::Timeline) {
        true => trouble.ring(holder),
        false => trouble,
    })?;
    let append = append(exchange, &desk, &signed, &known).await?;
    let (recorded, position) = (append.recorded.token.jws.clone(), append.after.position + 1);
    // A crash before the commit: nothing is recorded, nobody was told, its author sends it again. A
    // crash after it: its author sends it again and gets the stored record, byte for byte.
    match exchange.store.append(append).await? {
        AppendOutcome::Committed => {
            exchange.new_tokens.notify_one();
            exchange.new_deliveries.notify_one();
            Ok(EventAnswer {
                recorded,
                certificates: desk.identity.chain().to_header(),
                event: signed.said.attested.is_some().then(|| signed.text.clone()),
                event_sha256: signed.digest.to_string(),
                position,
                recorded_at: now.to_string(),
                new: true,
            })
        }
        AppendOutcome::Already(stored) => exchange.answer(&stored, false).await,
        // Somebody was quicker, unless it was this very statement: what they said has to be seen first.
        AppendOutcome::HeadMoved(_) => {
            let known = exchange.known(id).await?.ok_or_else(nothing_here)?;
            match recorded_before(&known, signed.key) {
                Some(before) => exchange.answer(&before.stored, false).await,
                None => Err(signed.judge(id, &known).err().unwrap_or_else(|| {
                    Refusal::new(Class::Conflict, Violation::whole(NOT_SEEN)).into()
                })),
            }
        }
        AppendOutcome::Unknown => Err(nothing_here()),
    }
}

/// The event with our record of it, ready for the store.
async fn append(
    exchange: &Exchange,
    desk: &Desk,
    signed: &Signed,
    known: &Known,
) -> Result<Append, Trouble> {
    let (id, after) = (known.thread.referral_id, known.thread.head);
    let (kind, begins) = (signed.said.kind(), after == Head::START);
    let mut audience = known.readers(&signed.said);
    let accepted = known.case.proposal().filter(|_| kind == EventKind::TransferAccepted);
    let mut deliveries = Vec::new();
    if let (EventKind::TransferProposed, Some(to)) = (kind, signed.said.body().to) {
        deliveries.push(transfer::delivery(exchange, desk, known, (signed.digest, to)).await?);
        // It may read events already: a recipient of another delivery, or a former holder.
        let to = Organisation::Authority(to);
        if !audience.contains(&to) {
            audience.push(to);
        }
    }
    let recorded = desk.record(&*exchange.entropy, id, after, signed.digest, audience.clone())?;
    // The certificate that a school proved itself with is kept as evidence too.
    let connection = signed.connection.iter().map(seen_chain);
    let chains = [&signed.chain, desk.identity.chain()].into_iter().map(seen_chain);
    let chains = chains.chain(connection).collect();
    let event = their_token(TokenKind::Event, signed.digest, &signed.text, &signed.signer);
    Ok(Append {
        referral_id: id,
        after,
        event: NewToken { token: event, audience },
        recorded,
        detail: signed.detail.clone(),
        holder: accepted.map(|open| open.to).or(begins.then(|| known.case.holder())),
        opener: begins.then(|| known.thread.sender.clone()),
        deliveries,
        case: change_of_case(signed, known),
        chains,
        crls: desk.seen_crls(),
        recorded_at: desk.now,
        wake_at: Some(desk.now),
    })
}

/// Whether the documents may go from now on, or must stay again: every child closed, filed by the holder,
/// and nothing open.
fn change_of_case(signed: &Signed, known: &Known) -> Option<CaseChange> {
    let mut after = known.case.clone();
    after.apply(&signed.statement(known));
    match (known.case.may_be_erased(), after.may_be_erased()) {
        (false, true) => Some(CaseChange::Closed),
        (true, false) => Some(CaseChange::Reopened),
        _ => None,
    }
}

impl Exchange {
    /// The answer for an event that is recorded.
    async fn answer(&self, stored: &StoredEvent, new: bool) -> Result<EventAnswer, Trouble> {
        let issuer = &stored.event.token.issuer.organisation;
        let by_gateway = matches!(issuer, Organisation::Gateway(_));
        Ok(EventAnswer {
            recorded: stored.recorded.token.jws.clone(),
            certificates: self.certificates(stored.recorded.token.x5t).await?,
            event: by_gateway.then(|| stored.event.token.jws.clone()),
            event_sha256: stored.event.token.sha256.to_string(),
            position: stored.position,
            recorded_at: stored.recorded_at.to_string(),
            new,
        })
    }
}

/// What a rule of the thread is to its author: which rule, and in words what it needs.
pub(super) fn refusal(kind: EventKind, illegal: Illegal) -> Trouble {
    let (class, rule) = match illegal {
        Illegal::NotYours | Illegal::NeedsAPerson => (Class::Forbidden, NOT_YOURS),
        Illegal::TooMuch => (Class::Conflict, TOO_MUCH),
        Illegal::NotNow(_) | Illegal::Elsewhere | Illegal::Misidentified => {
            (Class::Conflict, NOT_NOW)
        }
        Illegal::Children
        | Illegal::Code
        | Illegal::Detail
        | Illegal::Answers
        | Illegal::Fields => (Class::Invalid, FORM),
    };
    let words = match illegal {
        Illegal::NotNow(needs) => format!("{} needs: {needs}", kind.name()),
        other => format!("{}: {other}", kind.name()),
    };
    Refusal::new(class, Violation::whole(rule).with_detail(words)).into()
}

fn forbid(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
