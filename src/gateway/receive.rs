//! Step 1: bytes and a proved peer become [`Received`].
//!
//! Only form is looked at: the peer is a school, the body is JSON by its media type, and the token
//! stands in its header field once. Nothing is believed yet.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::domain::ids::Digest;
use crate::domain::party::{Organisation, Party, SchoolId};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::{Peer, Request};
use crate::protocol::hash::sha256;
use crate::protocol::trust::Chain;

/// Carries the token of the document in the body.
pub const TOKEN: HeaderName = HeaderName::from_static("ecaf-token");
/// Carries the chain of the certificate that signed the token.
pub const CERTIFICATES: HeaderName = HeaderName::from_static("ecaf-certificates");

/// Only schools send referrals.
pub const NOT_A_SCHOOL: Rule = Rule {
    id: "peer.not-a-school",
    title: "only a school's certificate may send referrals",
    action: "Connect with the tls certificate of the sending school.",
};
/// The body is not JSON by its media type.
pub const MEDIA_TYPE: Rule = Rule {
    id: "request.media-type",
    title: "the body must be application/json in UTF-8",
    action: "Send Content-Type: application/json.",
};
/// A header field of the protocol is missing, repeated or unreadable.
pub const HEADER: Rule = Rule {
    id: "request.header",
    title: "a header field of the protocol is missing, repeated or unreadable",
    action: "Send Ecaf-Token once, and beside it Ecaf-Certificates with the signing chain, leaf first.",
};

/// A document as it arrived, and from whom.
pub struct Received {
    pub(super) peer: Arc<Peer>,
    pub(super) school: SchoolId,
    pub(super) document: Bytes,
    pub(super) payload_sha256: Digest,
    pub(super) proof: Proof,
}

/// What the sender gives to prove that the document is theirs.
pub(super) enum Proof {
    /// A token signed with the school's own key.
    Token { text: String, chain: Chain },
    /// Nothing but the certificate of the connection: the gateway may attest it.
    ConnectionOnly,
}

impl Received {
    /// Takes a request to send a referral.
    pub fn take(request: &Request) -> Result<Self, Refusal> {
        let school = sending_school(&request.peer.chain.party().clone())?;
        json_body(request)?;
        Ok(Self {
            peer: Arc::clone(&request.peer),
            school,
            payload_sha256: sha256(&request.body),
            document: request.body.clone(),
            proof: proof(request)?,
        })
    }
}

/// The school that a peer is, or the refusal.
pub(super) fn sending_school(peer: &Party) -> Result<SchoolId, Refusal> {
    match &peer.organisation {
        Organisation::School(id) => Ok(id.clone()),
        _ => Err(Refusal::new(Class::Forbidden, Violation::whole(NOT_A_SCHOOL))),
    }
}

/// Refuses a body that does not say it is JSON. UTF-8 is JSON's only encoding (RFC 8259).
pub(super) fn json_body(request: &Request) -> Result<(), Refusal> {
    let stated = request.single(&CONTENT_TYPE).ok().flatten().unwrap_or_default();
    let mut parts = stated.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    let in_utf8 = parts.all(|p| {
        p.eq_ignore_ascii_case("charset=utf-8") || p.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    if is_json && in_utf8 {
        return Ok(());
    }
    Err(Refusal::new(Class::UnsupportedType, Violation::whole(MEDIA_TYPE)))
}

/// The value of a field that stands once, or the refusal.
pub(crate) fn field<'a>(request: &'a Request, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    request.single(name).map_err(|_| missing(name))
}

/// The chain in a field that must be there.
pub(crate) fn chain_field(request: &Request, name: &HeaderName) -> Result<Chain, Refusal> {
    field(request, name)?.and_then(|text| Chain::from_header(text).ok()).ok_or_else(|| missing(name))
}

/// The refusal for a field that must be there, once.
pub(crate) fn missing(name: &HeaderName) -> Refusal {
    Refusal::new(Class::Malformed, Violation::whole(HEADER).with_detail(name.as_str()))
}

fn proof(request: &Request) -> Result<Proof, Refusal> {
    match field(request, &TOKEN)? {
        None => Ok(Proof::ConnectionOnly),
        Some(text) => {
            let chain = chain_field(request, &CERTIFICATES)?;
            Ok(Proof::Token { text: text.to_owned(), chain })
        }
    }
}
