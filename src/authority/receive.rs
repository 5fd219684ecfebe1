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
    ACCEPTED, ACCEPTED_CERTIFICATES, CERTIFICATES, PROPOSAL, PROPOSAL_CERTIFICATES, SUBMISSION,
    SUBMISSION_CERTIFICATES, TOKEN, chain_field, json_body, optional_field, text_field,
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
    pub(super) accepted_chain: Chain,
    /// The signed proposal of a transfer, with the chain of its signer.
    pub(super) proposal: Option<(String, Chain)>,
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
        let note_chain = chain_field(headers, &CERTIFICATES, cache)?;
        let accepted_chain = match optional_field(headers, &ACCEPTED_CERTIFICATES)? {
            Some(_) => chain_field(headers, &ACCEPTED_CERTIFICATES, cache)?,
            None => note_chain.clone(),
        };
        let proposal = match optional_field(headers, &PROPOSAL)? {
            Some(text) => {
                Some((text.to_owned(), chain_field(headers, &PROPOSAL_CERTIFICATES, cache)?))
            }
            None => None,
        };
        Ok(Self {
            note: text_field(headers, &TOKEN)?.to_owned(),
            note_chain,
            accepted_chain,
            proposal,
            submission: text_field(headers, &SUBMISSION)?.to_owned(),
            submission_chain: chain_field(headers, &SUBMISSION_CERTIFICATES, cache)?,
            accepted: text_field(headers, &ACCEPTED)?.to_owned(),
            payload_sha256: sha256(&request.body),
            document: request.body.clone(),
            directory,
        })
    }
}
