//! Carries one dispatch to an authority's endpoint and brings its answer back.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};

use super::lines::Lines;
use crate::domain::ids::Digest;
use crate::domain::party::Organisation;
use crate::http::ClientFault;
use crate::protocol::message::{
    ACCEPTED, ACCEPTED_CERTIFICATES, CERTIFICATES, DispatchAnswer, PROPOSAL, PROPOSAL_CERTIFICATES,
    SUBMISSION, SUBMISSION_CERTIFICATES, TOKEN,
};
use crate::protocol::problem::ProblemDocument;
use crate::protocol::trust::{Chain, VerifiedCache};
use crate::store::{LeasedDelivery, SeenChain};

/// An answer that still has to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The `delivered` token.
    pub delivered: String,
    /// The chain of its signer.
    pub chain: Chain,
}

/// Why an attempt brought no receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no directory to look the endpoint up in.
    NoDirectory,
    /// The directory names no endpoint to push to.
    NoEndpoint,
    /// No answer; whether the authority has it is unknown, and the same bytes go again.
    Unreachable {
        /// A stable label of the cause.
        cause: &'static str,
    },
    /// The authority refused; the rule it named, if it is one of ours.
    Refused {
        /// HTTP status.
        status: u16,
        /// Id of the rule, cut to a safe form.
        rule: String,
    },
    /// The answer was not a receipt for this dispatch; the rule that it broke.
    BadReceipt(&'static str),
    /// The authority collected it and says that it cannot take it; the rule that it named.
    NotTaken {
        /// Id of the rule, cut to a safe form.
        rule: String,
    },
    /// By the directory of this moment the authority collects it itself.
    Collects,
    /// It was said to be about the wrong child or to the wrong recipient: nobody gets it any more.
    Misidentified,
}

impl Failure {
    /// A stable label for the store and for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Failure::NoDirectory => "no_directory",
            Failure::NoEndpoint => "no_endpoint",
            Failure::Unreachable { .. } => "unreachable",
            Failure::Refused { .. } | Failure::NotTaken { .. } => "refused",
            Failure::Collects => "collects",
            Failure::BadReceipt(_) => "bad_receipt",
            Failure::Misidentified => "misidentified",
        }
    }

    /// A word more for the log.
    pub fn detail(&self) -> String {
        match self {
            Failure::NoDirectory
            | Failure::NoEndpoint
            | Failure::Collects
            | Failure::Misidentified => String::new(),
            Failure::NotTaken { rule } => rule.clone(),
            Failure::Unreachable { cause } => (*cause).into(),
            Failure::Refused { status, rule } => format!("{status} {rule}"),
            Failure::BadReceipt(rule) => (*rule).into(),
        }
    }
}

/// An attempt under way.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// Carries dispatches. The one real implementation is [`MutualTlsCourier`].
pub trait Courier: Send + Sync + 'static {
    /// Brings `delivery` to `endpoint` and waits for the answer. Bounded in time.
    fn bring<'a>(&'a self, delivery: &'a LeasedDelivery, endpoint: &'a str) -> Attempt<'a>;
}

/// HTTP over mutual TLS, to the addressee's SPIFFE ID and nobody else.
pub struct MutualTlsCourier {
    lines: Arc<Lines>,
    /// Chains as header fields, by the digest of their leaf.
    fields: Mutex<HashMap<Digest, HeaderValue>>,
    /// Chains that came with answers.
    seen: VerifiedCache,
}

/// Chains remembered, of each kind: one per school and authority, for some thousand of them.
const CHAINS: usize = 4_096;

impl MutualTlsCourier {
    /// A courier on these lines.
    pub fn new(lines: Arc<Lines>) -> Self {
        Self { lines, fields: Mutex::default(), seen: VerifiedCache::new(CHAINS) }
    }

    fn headers(&self, delivery: &LeasedDelivery) -> Option<Vec<(HeaderName, HeaderValue)>> {
        // Of all fields only our own chain comes again and again: the others must not push it out of the
        // compression's table of 4 KB.
        let once = |mut value: HeaderValue| {
            value.set_sensitive(true);
            Some(value)
        };
        let token = |text: &str| once(HeaderValue::from_str(text).ok()?);
        let ours = |x5t| self.chain(delivery.chains.iter().find(|c| c.x5t == x5t)?);
        let chain = |x5t| once(ours(x5t)?);
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (TOKEN, token(&delivery.note.token.jws)?),
            (CERTIFICATES, ours(delivery.note.token.x5t)?),
            (SUBMISSION, token(&delivery.submission.token.jws)?),
            (SUBMISSION_CERTIFICATES, chain(delivery.submission.token.x5t)?),
            (ACCEPTED, token(&delivery.accepted.token.jws)?),
        ];
        if let Some(cause) = &delivery.cause {
            headers.extend([
                (ACCEPTED_CERTIFICATES, chain(delivery.accepted.token.x5t)?),
                (PROPOSAL, token(&cause.event.token.jws)?),
                (PROPOSAL_CERTIFICATES, chain(cause.event.token.x5t)?),
            ]);
        }
        Some(headers)
    }

    /// A chain of the store, which keeps one for each leaf, as a header field.
    fn chain(&self, seen: &SeenChain) -> Option<HeaderValue> {
        let fields = || self.fields.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = fields().get(&seen.x5t) {
            return Some(known.clone());
        }
        let chain = Chain::new(seen.certificates.to_vec())?;
        let field = HeaderValue::from_str(chain.header()).ok()?;
        let mut fields = fields();
        if fields.len() >= CHAINS {
            fields.clear();
        }
        fields.insert(seen.x5t, field.clone());
        Some(field)
    }

    fn read(&self, body: &[u8]) -> Option<Answer> {
        let answer: DispatchAnswer = serde_json::from_slice(body).ok()?;
        let chain = self.seen.presented(&answer.certificates).ok()?;
        Some(Answer { chain, delivered: answer.delivered })
    }
}

impl Courier for MutualTlsCourier {
    fn bring<'a>(&'a self, delivery: &'a LeasedDelivery, endpoint: &'a str) -> Attempt<'a> {
        Box::pin(async move {
            let addressee = Organisation::Authority(delivery.authority);
            let client = self.lines.to(&addressee, endpoint).ok_or(Failure::NoEndpoint)?;
            let headers = self.headers(delivery).ok_or(Failure::NoEndpoint)?;
            let answer = client.post("/dispatches", headers, delivery.document.clone()).await;
            let answer = answer
                .map_err(|fault: ClientFault| Failure::Unreachable { cause: fault.label() })?;
            if answer.status == StatusCode::OK || answer.status == StatusCode::CREATED {
                self.read(&answer.body).ok_or(Failure::BadReceipt("delivered.unreadable"))
            } else {
                Err(Failure::Refused {
                    status: answer.status.as_u16(),
                    rule: refused_rule(&answer.body),
                })
            }
        })
    }
}

/// The first rule of a problem document, if it looks like a rule: another party's text never
/// reaches the log as it is.
fn refused_rule(body: &[u8]) -> String {
    let rule = serde_json::from_slice::<ProblemDocument>(body)
        .ok()
        .and_then(|p| p.violations.into_iter().next().map(|v| v.rule))
        .unwrap_or_default();
    safe_rule(rule)
}

/// A rule that another party named, if it looks like one.
pub(super) fn safe_rule(rule: String) -> String {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    if rule.len() <= 60 && rule.chars().all(plain) { rule } else { "unreadable".into() }
}
