//! `POST <endpoint>/events`: the receiver of security event tokens that gateways push (RFC 8935). Each is
//! verified, kept beside the inbox, and only then taken with 202; the same one again is taken again.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::station::Station;
use crate::domain::ids::ReferralId;
use crate::domain::party::{Organisation, Role};
use crate::domain::refusal::{Refusal, Rule};
use crate::domain::time::{MINUTE, Timestamp};
use crate::http::{Request, Response};
use crate::protocol::jws::{self, Unverified, Verified};
use crate::protocol::message::{
    CERTIFICATES, RECORDED_AT, SET_MEDIA_TYPE, chain_field, optional_field,
};
use crate::protocol::tokens::{
    self, Accepted, CaseEvent, Delivered, DispatchNote, Event, Recorded, SET_TYPE, SecurityEvent,
};
use crate::protocol::trust::Chain;
use crate::store::{Pushed, SeenChain, SeenCrl, StoreFault, Token, TokenKind};

/// A gateway's clock may be ahead by so much, in milliseconds.
const AHEAD: i64 = 5 * MINUTE;

/// What is wrong, in the words of RFC 8935, 2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    InvalidRequest,
    InvalidKey,
    InvalidIssuer,
    InvalidAudience,
    AccessDenied,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Word::InvalidRequest => "invalid_request",
            Word::InvalidKey => "invalid_key",
            Word::InvalidIssuer => "invalid_issuer",
            Word::InvalidAudience => "invalid_audience",
            Word::AccessDenied => "access_denied",
        }
    }
}

/// A token that is not taken: the word and what it says to a person, never a value.
struct NotTaken(Word, &'static str);

enum Trouble {
    NotTaken(NotTaken),
    Store(StoreFault),
}

impl From<NotTaken> for Trouble {
    fn from(not: NotTaken) -> Self {
        Trouble::NotTaken(not)
    }
}

/// The body of a refusal.
#[derive(Serialize)]
struct ErrorBody {
    err: &'static str,
    description: &'static str,
}

impl fmt::Debug for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Takes one token, or says why not.
pub async fn take(station: &Station, request: &Request) -> Response {
    match keep(station, request).await {
        Ok(()) => Response::empty(StatusCode::ACCEPTED),
        Err(Trouble::NotTaken(NotTaken(word, description))) => {
            tracing::warn!(reason = word.as_str(), "a pushed token was not taken");
            let body = ErrorBody { err: word.as_str(), description };
            let body = serde_json::to_vec(&body).unwrap_or_default();
            Response::new(StatusCode::BAD_REQUEST, "application/json", Bytes::from(body))
        }
        Err(Trouble::Store(fault)) => {
            if fault.is_final() {
                station.broken.notify_one();
            }
            tracing::error!(fault = fault.label(), "a pushed token could not be kept");
            let later = HeaderValue::from_static("5");
            Response::empty(StatusCode::SERVICE_UNAVAILABLE).with(RETRY_AFTER, later)
        }
    }
}

async fn keep(station: &Station, request: &Request) -> Result<(), Trouble> {
    is_gateway(station, request)?;
    let media_type = optional_field(&request.headers, &CONTENT_TYPE).ok().flatten();
    if media_type != Some(SET_MEDIA_TYPE) {
        return Err(NotTaken(Word::InvalidRequest, "send application/secevent+jwt").into());
    }
    let text = std::str::from_utf8(&request.body);
    let text = text.map_err(|_| NotTaken(Word::InvalidRequest, "the body is no token"))?;
    let chain = chain_field(&request.headers, &CERTIFICATES, &station.cache)
        .map_err(|refusal| NotTaken(Word::InvalidRequest, title(&refusal)))?;
    let now = station.now();
    let at = recorded_at(request, now)?;
    let (kind, id, token) = verified(station, text, &chain, at)?;
    let trust = station.trust.store();
    let crls = token
        .signer()
        .crl_digests()
        .iter()
        .filter_map(|sha256| Some(SeenCrl { sha256: *sha256, der: trust.loaded_crl(sha256)? }));
    let pushed = Pushed {
        referral_id: id,
        token: Token {
            kind,
            sha256: token.digest(),
            jws: text.to_owned(),
            issuer: token.signer().party().clone(),
            x5t: token.signer().x5t(),
            crl_digests: token.signer().crl_digests().to_vec(),
        },
        chain: SeenChain { x5t: chain.x5t(), certificates: chain.shared() },
        crls: crls.collect(),
        recorded_at: at,
        received_at: now,
    };
    // A crash before the commit: the gateway gets no answer and pushes it again. After it: the same, and it
    // is known.
    station.store.keep(pushed).await.map(|_| ()).map_err(Trouble::Store)
}

/// Only a gateway that the directory lists says what was recorded.
fn is_gateway(station: &Station, request: &Request) -> Result<(), NotTaken> {
    let denied = NotTaken(Word::AccessDenied, "only a gateway of the directory pushes events");
    let Ok((directory, _)) = station.directory.usable(station.now()) else { return Err(denied) };
    match &request.peer.chain.party().organisation {
        Organisation::Gateway(name) if directory.directory().gateway(name).is_some() => Ok(()),
        _ => Err(denied),
    }
}

/// When the gateway recorded it, at which time the signature is judged; now unless it says so.
fn recorded_at(request: &Request, now: Timestamp) -> Result<Timestamp, NotTaken> {
    let wrong = || NotTaken(Word::InvalidRequest, "Ecaf-Recorded-At is no time, or lies ahead");
    let field = optional_field(&request.headers, &RECORDED_AT).map_err(|_| wrong())?;
    let Some(text) = field else { return Ok(now) };
    let at: Timestamp = text.parse().map_err(|_| wrong())?;
    if at.since(now) > AHEAD { Err(wrong()) } else { Ok(at) }
}

/// Verifies what it says to be: its kind, the referral, and a signer who may say such a thing.
fn verified(
    station: &Station,
    text: &str,
    chain: &Chain,
    at: Timestamp,
) -> Result<(TokenKind, ReferralId, Verified), NotTaken> {
    let unread = |refusal: Refusal| NotTaken(Word::InvalidRequest, title(&refusal));
    let peeked = Unverified::parse(text).map_err(unread)?;
    let trust = (&*station.trust.store(), &station.cache);
    let token = jws::verify_beside(text, chain, SET_TYPE, trust, at).map_err(|refusal| {
        match refusal.rule() {
            Some(rule) if rule.id == jws::TYPE.id => unread(refusal),
            _ => NotTaken(Word::InvalidKey, title(&refusal)),
        }
    })?;
    let claims = |refusal: Refusal| match refusal.rule() {
        Some(rule) if rule.id == tokens::AUDIENCE.id => NotTaken(Word::InvalidAudience, rule.title),
        _ => unread(refusal),
    };
    let role = token.signer().party().organisation.role();
    if let Some(said) = peeked.peek::<CaseEvent>() {
        let id = said.sub_id.0;
        let scheme = &station.signing.load().party().trust_domain.clone();
        CaseEvent::read(&token, scheme, id).map_err(claims)?;
        return Ok((TokenKind::Event, id, token));
    }
    let by_gateway = [
        (TokenKind::Recorded, about::<Recorded>(&peeked, &token)),
        (TokenKind::Accepted, about::<Accepted>(&peeked, &token)),
        (TokenKind::DispatchNote, about::<DispatchNote>(&peeked, &token)),
    ];
    let by_authority = [(TokenKind::Delivered, about::<Delivered>(&peeked, &token))];
    let signed = by_gateway.into_iter().map(|found| (Role::Gateway, found));
    let signed = signed.chain(by_authority.into_iter().map(|found| (Role::Authority, found)));
    for (signer, (kind, read)) in signed {
        match read {
            None => {}
            Some(_) if role != signer => {
                let why = "signed by a party that does not say such a thing";
                return Err(NotTaken(Word::InvalidIssuer, why));
            }
            Some(read) => return Ok((kind, read.map_err(claims)?, token)),
        }
    }
    Err(NotTaken(Word::InvalidRequest, "not an event of this protocol"))
}

/// The referral of a token of kind `E`; nothing if it is of another kind.
fn about<E: Event>(
    peeked: &Unverified<'_>,
    token: &Verified,
) -> Option<Result<ReferralId, Refusal>> {
    peeked.peek::<SecurityEvent<E>>()?;
    let read = SecurityEvent::<E>::read(token, None);
    Some(read.and_then(|said| {
        let subject = said.sub_id.ok_or_else(|| tokens::mismatch("sub_id"))?;
        Ok(subject.0)
    }))
}

fn title(refusal: &Refusal) -> &'static str {
    refusal.rule().map_or("refused", |rule: Rule| rule.title)
}
