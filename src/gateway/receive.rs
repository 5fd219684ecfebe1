//! Step 1: bytes and a proved peer become [`Received`].
//!
//! Only form is looked at: the peer is a school, the body is JSON by its media type, and the token
//! stands in its header field once. Nothing is believed yet.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::domain::ids::Digest;
use crate::domain::party::{Organisation, Party, SchoolId};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::{Peer, Request};
use crate::protocol::hash::sha256;
use crate::protocol::message::{CERTIFICATES, TOKEN, chain_field, json_body, optional_field};
use crate::protocol::trust::{Chain, VerifiedCache};

/// Only schools send referrals.
pub const NOT_A_SCHOOL: Rule = Rule {
    id: "peer.not-a-school",
    title: "only a school's certificate may send referrals",
    action: "Connect with the tls certificate of the sending school.",
};
/// A document as it arrived, and from whom.
#[derive(Clone)]
pub struct Received {
    pub(super) peer: Arc<Peer>,
    pub(super) school: SchoolId,
    pub(super) document: Bytes,
    pub(super) payload_sha256: Digest,
    pub(super) proof: Proof,
}

/// What the sender gives to prove that the document is theirs.
#[derive(Clone)]
pub(super) enum Proof {
    /// A token signed with the school's own key.
    Token { text: String, chain: Chain },
    /// Nothing but the certificate of the connection: the gateway may attest it.
    ConnectionOnly,
}

impl Received {
    /// Takes a request to send a referral.
    pub fn take(request: &Request, cache: &VerifiedCache) -> Result<Self, Refusal> {
        let school = sending_school(request.peer.chain.party())?;
        json_body(&request.headers)?;
        Ok(Self {
            peer: Arc::clone(&request.peer),
            school,
            payload_sha256: sha256(&request.body),
            document: request.body.clone(),
            proof: proof(&request.headers, cache)?,
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

fn proof(headers: &HeaderMap, cache: &VerifiedCache) -> Result<Proof, Refusal> {
    match optional_field(headers, &TOKEN)? {
        None => Ok(Proof::ConnectionOnly),
        Some(text) => {
            let chain = chain_field(headers, &CERTIFICATES, cache)?;
            Ok(Proof::Token { text: text.to_owned(), chain })
        }
    }
}
