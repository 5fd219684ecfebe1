//! Step 1: a request of a listed gateway becomes [`Received`]: every part of a dispatch, once.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::directory::Directory;
use crate::domain::ids::Digest;
use crate::domain::party::Organisation;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::Request;
use crate::protocol::hash::sha256;
use crate::protocol::message::{
    ACCEPTED, CERTIFICATES, SUBMISSION, SUBMISSION_CERTIFICATES, TOKEN, chain_field, json_body,
    text_field,
};
use crate::protocol::trust::{Chain, VerifiedCache};

/// Only gateways that the directory lists bring dispatches.
pub const NOT_A_GATEWAY: Rule = Rule {
    id: "peer.not-a-gateway",
    title: "only a gateway that the directory lists may bring dispatches",
    action: "Send referrals to the gateway of your scheme, not to the authority.",
};

/// A dispatch as it arrived.
pub struct Received {
    pub(super) document: Bytes,
    pub(super) payload_sha256: Digest,
    pub(super) note: String,
    pub(super) note_chain: Chain,
    pub(super) submission: String,
    pub(super) submission_chain: Chain,
    pub(super) accepted: String,
    pub(super) directory: Arc<Directory>,
}

impl Received {
    /// Takes a request to bring a dispatch.
    pub fn take(
        request: &Request,
        directory: Arc<Directory>,
        cache: &VerifiedCache,
    ) -> Result<Self, Refusal> {
        let listed = match &request.peer.chain.party().organisation {
            Organisation::Gateway(name) => directory.gateway(name).is_some(),
            _ => false,
        };
        if !listed {
            return Err(Refusal::new(Class::Forbidden, Violation::whole(NOT_A_GATEWAY)));
        }
        let headers = &request.headers;
        json_body(headers)?;
        Ok(Self {
            note: text_field(headers, &TOKEN)?.to_owned(),
            note_chain: chain_field(headers, &CERTIFICATES, cache)?,
            submission: text_field(headers, &SUBMISSION)?.to_owned(),
            submission_chain: chain_field(headers, &SUBMISSION_CERTIFICATES, cache)?,
            accepted: text_field(headers, &ACCEPTED)?.to_owned(),
            payload_sha256: sha256(&request.body),
            document: request.body.clone(),
            directory,
        })
    }
}
