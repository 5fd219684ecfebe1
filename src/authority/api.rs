//! The authority's endpoint: dispatches, and events that gateways push.

use crate::telemetry::{burst, metric};
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};

use super::answer::{self, Trouble};
use super::events;
use super::station::Station;
use crate::domain::ids::ReferralId;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::http::{Answer, Handler, Request, Response};
use crate::protocol::hash::sha256;
use crate::protocol::jws::LARGEST_TOKEN;
use crate::protocol::message::{DispatchAnswer, EVENTS_PATH};
use crate::protocol::problem::{PROBLEM_TYPE, ProblemDocument, status};

/// A fault of the authority's own.
pub const OUR_FAULT: Rule = Rule {
    id: "authority.unavailable",
    title: "the authority's endpoint cannot take this at the moment",
    action: "Bring the same dispatch again later.",
};

/// Answers gateways.
pub struct Api {
    station: Arc<Station>,
    largest_document: usize,
}

impl Api {
    /// An endpoint that takes documents of at most `largest_document` bytes.
    pub fn new(station: Arc<Station>, largest_document: usize) -> Self {
        Self { station, largest_document }
    }

    async fn dispatches(&self, request: &Request) -> Result<Response, Trouble> {
        let receipt = answer::receive(&self.station, request).await?;
        let status = if receipt.new { StatusCode::CREATED } else { StatusCode::OK };
        let (delivered, certificates) = (receipt.delivered, receipt.certificates);
        let answer = DispatchAnswer { delivered, certificates };
        let body = serde_json::to_vec(&answer).unwrap_or_default();
        Ok(Response::new(status, "application/json", body))
    }

    fn trouble(&self, trouble: Trouble, request: &Request) -> Response {
        let refusal = match trouble {
            Trouble::Refused(refusal) => {
                let rule = refusal.rule().map_or("unspecified", |r| r.id);
                let peer = &request.peer.chain.party().organisation;
                if let Some(left_out) = burst(rule, peer, std::time::Instant::now()) {
                    tracing::info!(rule, %peer, left_out, "refused");
                }
                metrics::counter!(metric::REFUSED, "rule" => rule).increment(1);
                refusal
            }
            Trouble::Store(fault) => {
                if fault.is_final() {
                    self.station.broken.notify_one();
                }
                our_fault(fault.label())
            }
            Trouble::OwnCertificate(rule) => our_fault(rule),
            Trouble::Signing(_) => our_fault("signing"),
        };
        let (class, now) = (refusal.class, self.station.now());
        let asked = (request.peer.chain.party(), None, sha256(&request.body));
        let mut plain = ProblemDocument::of(&refusal);
        plain.instance = Some(ReferralId::from_bytes(request.request_id.0).urn());
        let identity = self.station.signing.load_full();
        let problem = plain
            .clone()
            .signed(&refusal, &identity, &*self.station.entropy, now, asked)
            .unwrap_or(plain);
        let code = StatusCode::from_u16(status(class)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = Response::new(code, PROBLEM_TYPE, problem.to_bytes());
        match class {
            Class::Unavailable => response.with(RETRY_AFTER, HeaderValue::from_static("5")),
            _ => response,
        }
    }
}

fn our_fault(label: &'static str) -> Refusal {
    if let Some(left_out) = burst(label, (), std::time::Instant::now()) {
        tracing::error!(fault = label, left_out, "a dispatch failed here");
    }
    metrics::counter!(metric::FAULTS, "fault" => label).increment(1);
    Refusal::new(Class::Unavailable, Violation::whole(OUR_FAULT)).blame(Culprit::Authority)
}

impl Handler for Api {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            if request.path == EVENTS_PATH {
                return events::take(&self.station, &request).await;
            }
            let outcome = self.dispatches(&request).await;
            outcome.unwrap_or_else(|trouble| self.trouble(trouble, &request))
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        match path {
            "/dispatches" if method == Method::POST => Some(self.largest_document),
            EVENTS_PATH if method == Method::POST => Some(LARGEST_TOKEN),
            _ => None,
        }
    }

    fn methods(&self, path: &str) -> &'static str {
        if matches!(path, "/dispatches" | EVENTS_PATH) { "POST" } else { "" }
    }
}
