//! The edge: answers and troubles become responses. The one place where a refusal gets its status,
//! its signature, and the number to ring.

use std::borrow::Cow;

use crate::telemetry::{burst, metric};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::accept::Receipt;
use super::contacts::{WayAnswer, of_authority};
use super::exchange::Exchange;
use super::trouble::{Fault, Refused, Trouble};
use crate::domain::directory::GENERAL_ADVICE;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::DfeCode;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::http::{Request, Response};
use crate::protocol::hash::sha256;
use crate::protocol::message::{STATEMENT, TOKEN};
use crate::protocol::problem::{PROBLEM_TYPE, ProblemDocument, ProblemViolation, status};

/// The media type of all other answers.
pub const JSON: &str = "application/json";

/// A fault of the exchange, as the peer is told of it.
pub const OUR_FAULT: Rule = Rule {
    id: "exchange.unavailable",
    title: "the exchange cannot say at the moment whether this was taken",
    action: "Send the same bytes again in a minute: that is safe, and brings the receipt. Ring if it is urgent.",
};

/// The authority that an answer names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorityName {
    /// DfE code.
    pub code: String,
    /// Name by the directory in use.
    pub name: String,
    /// Whom to ring at this moment, as a sentence.
    pub help: String,
}

/// The answer to a submission.
#[derive(Debug, Clone, Serialize)]
struct ReceiptAnswer<'a> {
    /// The `accepted` token: the same bytes for the same submission, for ever.
    accepted: &'a str,
    /// The chain of its signer, as in `Ecaf-Certificates`.
    certificates: Cow<'a, str>,
    /// The submission that it names, for the sender's evidence: the first one of this document, or
    /// the gateway's attestation.
    submission: &'a str,
    /// The chain of the submission's signer.
    submission_certificates: Cow<'a, str>,
    /// What it means, in words that promise no more than the token.
    state: String,
    authority: AuthorityName,
    /// Every verified contact of it as of now: a receipt of last year names nobody.
    contacts: Vec<WayAnswer>,
    /// Urgent, and nobody is reading it there now: what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    unattended: Option<String>,
    advice: Vec<ProblemViolation>,
}

impl Exchange {
    /// An authority with its name and whom to ring now.
    pub fn authority_name(&self, code: DfeCode) -> AuthorityName {
        let directory = self.directory.last_good();
        let directory = directory.as_ref().map(|d| d.directory());
        let name = directory.and_then(|d| d.authorities.get(&code)).map(|a| a.name.clone());
        let help = directory.map(|d| d.ring_text(code, self.now()));
        AuthorityName {
            code: code.to_string(),
            name: name.unwrap_or_else(|| format!("authority {code}")),
            help: help.unwrap_or_else(|| GENERAL_ADVICE.into()),
        }
    }

    /// 201 for a submission accepted now, 200 for the same one again; the token is the same.
    pub async fn receipt_response(&self, receipt: Receipt) -> Response {
        let (certificates, submission_certificates) = match &receipt.signers {
            Some([gateway, sender]) => {
                (Cow::Borrowed(gateway.header()), Cow::Borrowed(sender.header()))
            }
            None => {
                let certificates = self.chain_of(&receipt.accepted).await;
                match (certificates, self.chain_of(&receipt.submission).await) {
                    (Ok(gateway), Ok(sender)) => (gateway.into(), sender.into()),
                    (Err(fault), _) | (_, Err(fault)) => return self.fault_response(fault),
                }
            }
        };
        let authority = self.authority_name(receipt.authority);
        let now = self.now();
        let directory = self.directory.last_good();
        let contacts = directory.map(|d| of_authority(d.directory(), receipt.authority, now));
        let unattended = receipt.urgent.then(|| self.unattended(receipt.authority, now)).flatten();
        let answer = ReceiptAnswer {
            contacts: contacts.unwrap_or_default(),
            unattended,
            accepted: &receipt.accepted,
            certificates,
            submission: &receipt.submission,
            submission_certificates,
            state: format!("Held by the exchange; {} does not have it yet", authority.name),
            authority,
            advice: receipt.advice.iter().map(ProblemViolation::from).collect(),
        };
        let status = if receipt.new { StatusCode::CREATED } else { StatusCode::OK };
        json_response(status, &answer)
    }

    /// The chain of a token's signer, in header form. A receipt from before a renewal names the
    /// certificate of that day, whose chain is in the store.
    async fn chain_of(&self, token: &str) -> Result<String, Fault> {
        let named = crate::protocol::jws::Unverified::parse(token).ok().map(|t| t.x5t());
        let identity = self.signing.load();
        match named {
            Some(x5t) if x5t != identity.x5t() => {
                let stored = self.store.chain(x5t).await?;
                let chain = stored.and_then(crate::protocol::trust::Chain::new);
                Ok(chain.map(|c| c.to_header()).unwrap_or_default())
            }
            _ => Ok(identity.chain().to_header()),
        }
    }

    /// What goes back instead of an answer.
    pub fn trouble_response(&self, trouble: Trouble, request: &Request) -> Response {
        match trouble {
            Trouble::Refused(refused) => self.refusal_response(*refused, request),
            Trouble::Fault(fault) => self.fault_response(fault),
        }
    }

    fn refusal_response(&self, refused: Refused, request: &Request) -> Response {
        let peer = request.peer.chain.party();
        let class = refused.refusal.class;
        let rule = refused.refusal.rule().map_or("unspecified", |r| r.id);
        if let Some(left_out) = burst(rule, &peer.organisation, std::time::Instant::now()) {
            tracing::info!(rule, peer = %peer.organisation, left_out, "refused");
        }
        metrics::counter!(metric::REFUSED, "rule" => rule).increment(1);
        let mut problem = ProblemDocument::of(&refused.refusal);
        problem.help = Some(match refused.ring {
            Some(code) => self.authority_name(code).help,
            None => GENERAL_ADVICE.into(),
        });
        let b64 = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        problem.minimal_document = refused.minimal_document.map(b64);
        problem.readable = refused.readable;
        let asked = (peer, refused.about, digest_of(request));
        problem.instance = Some(ReferralId::from_bytes(request.request_id.0).urn());
        let unsigned = problem.clone();
        let problem = problem
            .signed(&refused.refusal, &self.signing.load(), &*self.entropy, self.now(), asked)
            .unwrap_or_else(|fault| {
                tracing::error!(%fault, "a refusal could not be signed");
                unsigned
            });
        let response = Response::new(status_code(class), PROBLEM_TYPE, problem.to_bytes());
        if matches!(class, Class::Unavailable | Class::TooMany) {
            retry_later(response)
        } else {
            response
        }
    }

    /// Our own failure: no detail for the peer and no receipt. It promises nothing about what was
    /// kept, because after a failed commit nobody knows; the same bytes bring the truth.
    pub fn fault_response(&self, fault: Fault) -> Response {
        if fault.is_final() {
            self.broken.notify_one();
        }
        if let Some(left_out) = burst(fault.label(), (), std::time::Instant::now()) {
            tracing::error!(fault = fault.label(), left_out, "a request failed here");
        }
        metrics::counter!(metric::FAULTS, "fault" => fault.label()).increment(1);
        let refusal = Refusal::new(Class::Unavailable, Violation::whole(OUR_FAULT));
        let mut problem = ProblemDocument::of(&refusal.blame(Culprit::Gateway));
        problem.help = Some(GENERAL_ADVICE.into());
        retry_later(Response::new(
            StatusCode::SERVICE_UNAVAILABLE,
            PROBLEM_TYPE,
            problem.to_bytes(),
        ))
    }
}

/// The digest by which a refusal names what it refuses: of the body; of an event without one, of its token or
/// statement, because all requests without a body have one digest.
fn digest_of(request: &Request) -> Digest {
    let said = || [&TOKEN, &STATEMENT].into_iter().find_map(|name| request.headers.get(name));
    match said().filter(|_| request.body.is_empty()) {
        Some(said) => sha256(said.as_bytes()),
        None => sha256(&request.body),
    }
}

/// A JSON answer.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    // Plain structs always serialise; an empty body would be seen at once.
    Response::new(status, JSON, serde_json::to_vec(body).unwrap_or_default())
}

fn retry_later(response: Response) -> Response {
    response.with(RETRY_AFTER, HeaderValue::from_static("5"))
}

/// The status of a class.
pub fn status_code(class: Class) -> StatusCode {
    StatusCode::from_u16(status(class)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
