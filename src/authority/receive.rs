//! Step 1: what a listed gateway brings, or gives out of its mailbox, becomes [`Received`]: every part of
//! a dispatch, once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderName;

use crate::domain::directory::Directory;
use crate::domain::ids::Digest;
use crate::domain::party::{Organisation, Party};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::Request;
use crate::protocol::hash::sha256;
use crate::protocol::mailbox::ClaimedDispatch;
use crate::protocol::message::{
    ACCEPTED, ACCEPTED_CERTIFICATES, CERTIFICATES, HEADER, PROPOSAL, PROPOSAL_CERTIFICATES,
    SUBMISSION, SUBMISSION_CERTIFICATES, TOKEN, chain_field, chain_text, json_body, optional_field,
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
        listed(request.peer.chain.party(), &directory)?;
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

    /// Takes a dispatch that was claimed from `gateway`'s mailbox, whose certificate proved that name.
    pub fn collected(
        dispatch: &ClaimedDispatch,
        gateway: &Party,
        directory: Arc<Directory>,
        cache: &VerifiedCache,
    ) -> Result<Self, Refusal> {
        listed(gateway, &directory)?;
        let document = URL_SAFE_NO_PAD.decode(&dispatch.document);
        let document = Bytes::from(document.map_err(|_| {
            Refusal::new(Class::Malformed, Violation::whole(HEADER).with_detail("document"))
        })?);
        let chain = |text: &str, name: HeaderName| chain_text(text, &name, cache);
        let proposal = match &dispatch.proposal {
            Some(proposal) => {
                let chain = chain(&proposal.certificates, PROPOSAL_CERTIFICATES)?;
                Some((proposal.token.clone(), chain))
            }
            None => None,
        };
        Ok(Self {
            payload_sha256: sha256(&document),
            document,
            note: dispatch.note.clone(),
            note_chain: chain(&dispatch.certificates, CERTIFICATES)?,
            submission: dispatch.submission.clone(),
            submission_chain: chain(&dispatch.submission_certificates, SUBMISSION_CERTIFICATES)?,
            accepted: dispatch.accepted.clone(),
            accepted_chain: chain(&dispatch.accepted_certificates, ACCEPTED_CERTIFICATES)?,
            proposal,
            directory,
        })
    }
}

/// Dispatches count from any gateway that the directory lists, and from nobody else.
fn listed(party: &Party, directory: &Directory) -> Result<(), Refusal> {
    match &party.organisation {
        Organisation::Gateway(name) if directory.gateway(name).is_some() => Ok(()),
        _ => Err(Refusal::new(Class::Forbidden, Violation::whole(NOT_A_GATEWAY))),
    }
}
