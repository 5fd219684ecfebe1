//! Signs, sends, verifies the receipt, stores it. Safe to repeat at every point.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::compose::Composed;
use super::state::{Kept, VersionFolder};
use crate::domain::ids::Digest;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::ClientFault;
use crate::party::member::Member;
use crate::party::persist::{self, Certain, NoAnswer};
use crate::protocol::evidence::{Bundle, Proven, Says};
use crate::protocol::hash::sha256;
use crate::protocol::jws::Unverified;
use crate::protocol::message::{CERTIFICATES, TOKEN};
use crate::protocol::problem::{ProblemDocument, ProblemViolation};
use crate::protocol::signing::{SigningFault, token_id};
use crate::protocol::tokens::{self, Accepted, Audience, Subject, Submission};
use crate::protocol::trust::Chain;

/// There is no receipt of a gateway among what came.
pub const NOT_THE_GATEWAY: Rule = Rule {
    id: "receipt.not-the-gateway",
    title: "what came is not a receipt signed by a gateway of the scheme",
    action: "Do not rely on it; ring the authority and tell the scheme's operator.",
};
/// The answer cannot be read.
pub const UNREADABLE: Rule = Rule {
    id: "receipt.unreadable",
    title: "the gateway's answer is not a receipt",
    action: "Send again: the same bytes bring the stored receipt. Ring if it is urgent.",
};

/// The refusal is of another request than this one.
pub const ANOTHER_REQUEST: Rule = Rule {
    id: "refusal.another-request",
    title: "the gateway's refusal is about another request",
    action: "Send again: the same bytes bring the answer to this one. Ring if it is urgent.",
};

/// A verified and stored receipt.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// What the gateway signed.
    pub accepted: Accepted,
    /// Digest of the `accepted` token: what to compare two receipts by.
    pub accepted_sha256: Digest,
    /// False if the gateway had it before this call.
    pub new: bool,
    /// Name of the accountable authority.
    pub authority: String,
    /// Whom to ring there now.
    pub help: String,
    /// How far the receipt's time lies ahead of this machine's clock, in milliseconds, if one of the two
    /// is wrong: an authority takes nothing before its time.
    pub ahead: Option<i64>,
    /// Urgent, and nobody is reading it there now: what to do.
    pub unattended: Option<String>,
    /// Advice on the document.
    pub advice: Vec<ProblemViolation>,
    /// Where the receipt is kept.
    pub receipt: PathBuf,
    /// How many times it was sent.
    pub attempts: u32,
}

/// Why there is no receipt.
#[derive(Debug)]
pub enum NotSubmitted {
    /// This id and version was sent before with other bytes; nothing was sent now.
    OtherBytesHere,
    /// The gateway refused, with everything it said.
    Refused(Box<ProblemDocument>),
    /// What came back is not a good receipt.
    BadReceipt(Refusal),
    /// Whether the gateway has it is not known: the same bytes must be sent again.
    NotKnown {
        /// How many times it was tried.
        attempts: u32,
        /// Why it is not taken now, if the gateway says so: that says nothing about what was sent before.
        problem: Option<Box<ProblemDocument>>,
    },
    /// The gateway could not be reached; it does not have it.
    NoAnswer {
        /// The last failure.
        last: ClientFault,
        /// How many times it was tried.
        attempts: u32,
    },
    /// This machine could not keep or sign it.
    Here(io::Error),
    /// This machine could not sign it.
    Signing(SigningFault),
}

impl From<io::Error> for NotSubmitted {
    fn from(fault: io::Error) -> Self {
        NotSubmitted::Here(fault)
    }
}

impl From<NoAnswer> for NotSubmitted {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::NotKnown { attempts } => NotSubmitted::NotKnown { attempts, problem: None },
            NoAnswer::Unreached { last, attempts } => NotSubmitted::NoAnswer { last, attempts },
        }
    }
}

#[derive(Deserialize)]
struct ReceiptAnswer {
    accepted: String,
    certificates: String,
    submission: String,
    submission_certificates: String,
    authority: AuthorityAnswer,
    #[serde(default)]
    unattended: Option<String>,
    #[serde(default)]
    advice: Vec<ProblemViolation>,
}

#[derive(Deserialize)]
struct AuthorityAnswer {
    name: String,
    help: String,
}

/// Sends a composed document until an answer is certain or the time is up. `progress` hears of each
/// attempt that did not bring an answer.
pub async fn submit(
    sender: &Member,
    composed: &Composed,
    progress: impl FnMut(u32, &ClientFault),
) -> Result<Submitted, NotSubmitted> {
    let header = composed.checked.header();
    let folder = VersionFolder::new(&sender.state, header.referral_id, header.version);
    let kept = folder.keep_document(&composed.bytes)?;
    if kept == Kept::OtherBytes {
        return Err(NotSubmitted::OtherBytesHere);
    }
    let submission = submission(sender, composed, &folder)?;
    let headers = headers(sender, submission.as_deref());
    let body = Bytes::from(composed.bytes.clone());
    let path = match header.version {
        1 => "/v1/referrals".to_owned(),
        _ => format!("/v1/referrals/{}/versions", header.referral_id),
    };
    let sent = persist::post(sender, &path, headers, body, progress).await;
    let Certain { response, attempts, uncertain } = sent?;
    match response.status {
        StatusCode::OK | StatusCode::CREATED => {
            let new = response.status == StatusCode::CREATED;
            let answer: ReceiptAnswer =
                serde_json::from_slice(&response.body).map_err(|_| bad(UNREADABLE))?;
            received(sender, composed, &folder, answer, (new, attempts))
        }
        status => {
            let Ok(problem) = serde_json::from_slice::<Box<ProblemDocument>>(&response.body) else {
                return Err(bad(UNREADABLE));
            };
            if persist::is_of_another(&problem, header.referral_id, composed.payload_sha256) {
                return Err(bad(ANOTHER_REQUEST));
            }
            // Who may send is judged before anything is looked up: that says nothing about an earlier attempt,
            // in this call or in one before it.
            let forbidden = status == StatusCode::FORBIDDEN;
            let sent_before = uncertain || (forbidden && kept == Kept::Before);
            // The gateway looks up what it has before it judges a document, so that this answer
            // says for certain that it has not taken this one.
            let judged =
                status == StatusCode::UNPROCESSABLE_ENTITY || status == StatusCode::BAD_REQUEST;
            if judged || (forbidden && !sent_before) {
                folder.set_aside()?;
            } else if sent_before {
                return Err(NotSubmitted::NotKnown { attempts, problem: Some(problem) });
            }
            Err(NotSubmitted::Refused(problem))
        }
    }
}

/// The submission to send: the one signed before, or a new one, kept before it is sent. One whose
/// certificate is no longer the present one, or that was signed while this clock was ahead, is signed
/// anew: the document decides what is the same.
fn submission(
    sender: &Member,
    composed: &Composed,
    folder: &VersionFolder,
) -> Result<Option<String>, NotSubmitted> {
    let Some(identity) = &sender.signing else { return Ok(None) };
    let header = composed.checked.header();
    let now = sender.clock.now().seconds();
    let stands = |jws: &str| {
        let Ok(token) = Unverified::parse(jws) else { return false };
        let signed_at =
            token.peek::<serde_json::Value>().and_then(|claims| claims.get("iat")?.as_i64());
        token.x5t() == identity.x5t() && signed_at.is_some_and(|at| at <= now)
    };
    if let Some(kept) = folder.submission()?.filter(|kept| stands(kept)) {
        return Ok(Some(kept));
    }
    let claims = Submission {
        iss: identity.party().clone(),
        aud: Audience::Scheme(sender.scheme().clone()),
        iat: now,
        jti: token_id(&*sender.entropy).map_err(NotSubmitted::Signing)?,
        sub_id: Subject(header.referral_id),
        schema: crate::protocol::schema::Schema::referral_v1_id().into(),
        version: header.version,
        urgency: header.urgency.as_str().into(),
        request_type: header.request_type.as_str().into(),
        payload_sha256: composed.payload_sha256,
        previous_sha256: header.previous,
        attested: None,
    };
    let jws = claims
        .sign(identity.signer(), identity.x5t())
        .map_err(|fault| NotSubmitted::Signing(SigningFault::Key(fault)))?;
    let kept = folder.keep_submission(&jws)?;
    // An older one that does not stand any more stays as evidence; the new one goes.
    Ok(Some(if stands(&kept) { kept } else { jws }))
}

fn headers(sender: &Member, submission: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if let (Some(token), Some(identity)) = (submission, &sender.signing) {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        headers.extend(value(token).map(|v| (TOKEN, v)));
        headers.extend(value(&identity.chain().to_header()).map(|v| (CERTIFICATES, v)));
    }
    headers
}

fn received(
    sender: &Member,
    composed: &Composed,
    folder: &VersionFolder,
    answer: ReceiptAnswer,
    (new, attempts): (bool, u32),
) -> Result<Submitted, NotSubmitted> {
    let bundle = bundle(sender, composed, &answer)?;
    let trust = sender.trust.store();
    let proven = bundle.verify(&trust, sender.scheme()).map_err(NotSubmitted::BadReceipt)?;
    let accepted = ours(sender, composed, &proven).map_err(NotSubmitted::BadReceipt)?;
    let (now, at) = (sender.clock.now(), accepted.recorded_at);
    let bytes = serde_json::to_vec_pretty(&bundle).unwrap_or_default();
    let receipt = folder.keep_receipt(&bytes)?;
    Ok(Submitted {
        accepted,
        accepted_sha256: sha256(answer.accepted.as_bytes()),
        new,
        authority: answer.authority.name,
        help: answer.authority.help,
        ahead: at.is_ahead_of(now).then(|| at.since(now)),
        unattended: answer.unattended,
        advice: answer.advice,
        receipt,
        attempts,
    })
}

/// The answer as an evidence bundle, with the revocation lists of today.
fn bundle(
    sender: &Member,
    composed: &Composed,
    answer: &ReceiptAnswer,
) -> Result<Bundle, NotSubmitted> {
    let trust = sender.trust.store();
    let list = |digest| Some(STANDARD.encode(trust.loaded_crl(&digest)?));
    let mut bundle = Bundle::new(composed.checked.header().referral_id);
    bundle.tokens.extend([answer.submission.clone(), answer.accepted.clone()]);
    bundle.crls.extend(trust.crl_digests().into_iter().filter_map(list));
    for chain in [&answer.submission_certificates, &answer.certificates] {
        bundle.push_chain(&Chain::from_header(chain).map_err(|_| bad(UNREADABLE))?);
    }
    Ok(bundle)
}

/// What verified is a gateway's receipt, and about exactly what was sent. Not of the very gateway that was
/// asked: the issuer of a token and the peer that brings it need not be the same, and over one store a
/// gateway answers with the receipt that another has signed.
fn ours(sender: &Member, composed: &Composed, proven: &Proven) -> Result<Accepted, Refusal> {
    let header = composed.checked.header();
    let mut accepted = None;
    for statement in &proven.statements {
        match &statement.says {
            Says::Accepted(said) => accepted = Some(said.clone()),
            Says::Submitted(said) => {
                if said.sender().organisation != sender.party.organisation {
                    return Err(tokens::mismatch("sender"));
                }
            }
            _ => return Err(refuse(NOT_THE_GATEWAY)),
        }
    }
    let accepted = accepted.ok_or_else(|| refuse(NOT_THE_GATEWAY))?;
    let facts = [
        ("version", accepted.version == header.version),
        ("payload_sha256", accepted.payload_sha256 == composed.payload_sha256),
        ("sender", accepted.sender.organisation == sender.party.organisation),
    ];
    match facts.iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(tokens::mismatch(name)),
        None => Ok(accepted),
    }
}

fn bad(rule: Rule) -> NotSubmitted {
    NotSubmitted::BadReceipt(refuse(rule))
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
