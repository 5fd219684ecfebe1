//! What a party's receiver of security event tokens does with each that a gateway pushes (RFC 8935): the same for
//! an authority, a school, and whoever runs a system for one of them. Only what is proved is taken.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::domain::ids::ReferralId;
use crate::domain::party::{Organisation, Role, TrustDomain};
use crate::domain::refusal::{Refusal, Rule};
use crate::domain::time::Timestamp;
use crate::http::{Request, Response, Trust};
use crate::protocol::directory::DirectoryHolder;
use crate::protocol::jws::{self, Unverified, Verified};
use crate::protocol::message::{
    CERTIFICATES, RECORDED_AT, SET_MEDIA_TYPE, chain_field, optional_field,
};
use crate::protocol::tokens::{
    self, Accepted, CaseEvent, Delivered, DispatchNote, Event, Recorded, SET_TYPE, SecurityEvent,
};
use crate::protocol::trust::{Chain, VerifiedCache, rules};
use crate::store::{Pushed, SeenChain, SeenCrl, Token, TokenKind};

/// What is wrong, in the words of RFC 8935, 2.4, as far as it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    InvalidRequest,
    InvalidKey,
    InvalidIssuer,
    InvalidAudience,
    AccessDenied,
    /// Nothing is wrong with the token, and it can be taken later.
    NotYet,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Word::InvalidRequest => "invalid_request",
            Word::InvalidKey => "invalid_key",
            Word::InvalidIssuer => "invalid_issuer",
            Word::InvalidAudience => "invalid_audience",
            Word::AccessDenied => "access_denied",
            Word::NotYet => "not_yet",
        }
    }
}

/// A token that is not taken: the word and what it says to a person, never a value.
pub struct NotTaken(Word, &'static str);

/// The body of a refusal.
#[derive(Serialize)]
struct ErrorBody {
    err: &'static str,
    description: &'static str,
}

impl NotTaken {
    /// As it is told to the gateway; the log has the word alone.
    pub fn response(&self) -> Response {
        tracing::warn!(reason = self.0.as_str(), "a pushed token was not taken");
        let body = ErrorBody { err: self.0.as_str(), description: self.1 };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let status = match self.0 {
            Word::NotYet => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Response::new(status, "application/json", Bytes::from(body))
    }
}

impl fmt::Debug for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// What a token is judged by.
pub struct Receiver<'a> {
    /// The scheme that events are for.
    pub scheme: &'a TrustDomain,
    /// Certificates and revocation lists in use.
    pub trust: &'a Trust,
    /// Chains verified before.
    pub cache: &'a VerifiedCache,
    /// The directory in use.
    pub directory: &'a DirectoryHolder,
    /// The present.
    pub now: Timestamp,
}

impl Receiver<'_> {
    /// The token that a gateway pushes with this request, verified, to be kept before it is taken.
    pub fn judge(&self, request: &Request) -> Result<Pushed, NotTaken> {
        self.is_gateway(request)?;
        let media_type = optional_field(&request.headers, &CONTENT_TYPE).ok().flatten();
        if media_type != Some(SET_MEDIA_TYPE) {
            return Err(NotTaken(Word::InvalidRequest, "send application/secevent+jwt"));
        }
        let text = std::str::from_utf8(&request.body);
        let text = text.map_err(|_| NotTaken(Word::InvalidRequest, "the body is no token"))?;
        let chain = chain_field(&request.headers, &CERTIFICATES, self.cache)
            .map_err(|refusal| NotTaken(Word::InvalidRequest, title(&refusal)))?;
        let at = recorded_at(request, self.now)?;
        let (kind, id, token) = self.verified(text, &chain, at)?;
        let trust = self.trust.store();
        let crls =
            token.signer().crl_digests().iter().filter_map(|sha256| {
                Some(SeenCrl { sha256: *sha256, der: trust.loaded_crl(sha256)? })
            });
        Ok(Pushed {
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
            received_at: self.now,
        })
    }

    /// Only a gateway that the directory lists says what was recorded.
    fn is_gateway(&self, request: &Request) -> Result<(), NotTaken> {
        let denied = NotTaken(Word::AccessDenied, "only a gateway of the directory pushes events");
        let Ok((directory, _)) = self.directory.usable(self.now) else { return Err(denied) };
        match &request.peer.chain.party().organisation {
            Organisation::Gateway(name) if directory.directory().gateway(name).is_some() => Ok(()),
            _ => Err(denied),
        }
    }

    /// Verifies what it says to be: its kind, the referral, and a signer who may say such a thing.
    fn verified(
        &self,
        text: &str,
        chain: &Chain,
        at: Timestamp,
    ) -> Result<(TokenKind, ReferralId, Verified), NotTaken> {
        let unread = |refusal: Refusal| NotTaken(Word::InvalidRequest, title(&refusal));
        let peeked = Unverified::parse(text).map_err(unread)?;
        let trust = (&*self.trust.store(), self.cache);
        let token =
            jws::verify_beside(text, chain, SET_TYPE, trust, at).map_err(
                |refusal| match refusal.rule() {
                    Some(rule) if rule.id == jws::TYPE.id => unread(refusal),
                    // Set aside it would be lost here for ever.
                    _ if rules::is_of_stale_trust(&refusal) => {
                        NotTaken(Word::NotYet, title(&refusal))
                    }
                    _ => NotTaken(Word::InvalidKey, title(&refusal)),
                },
            )?;
        let claims = |refusal: Refusal| match refusal.rule() {
            Some(rule) if rule.id == tokens::AUDIENCE.id => {
                NotTaken(Word::InvalidAudience, rule.title)
            }
            _ => unread(refusal),
        };
        let role = token.signer().party().organisation.role();
        if let Some(said) = peeked.peek::<CaseEvent>() {
            let id = said.sub_id.0;
            CaseEvent::read(&token, self.scheme, id).map_err(claims)?;
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
}

/// When the gateway recorded it, at which time the signature is judged; now unless it says so.
fn recorded_at(request: &Request, now: Timestamp) -> Result<Timestamp, NotTaken> {
    let wrong = || NotTaken(Word::InvalidRequest, "Ecaf-Recorded-At is no time");
    let field = optional_field(&request.headers, &RECORDED_AT).map_err(|_| wrong())?;
    let Some(text) = field else { return Ok(now) };
    let at: Timestamp = text.parse().map_err(|_| wrong())?;
    // Of the two clocks ours may be the wrong one: nothing is given up for that.
    match at.is_ahead_of(now) {
        true => Err(NotTaken(Word::NotYet, "it was recorded at a time that has not come here")),
        false => Ok(at),
    }
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
