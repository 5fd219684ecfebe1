//! The gateway's interface: which call is which step.

use std::sync::Arc;
use std::time::Instant;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::exchange::Exchange;
use super::respond::{JSON, json_response};
use super::trouble::Trouble;
use super::{accept, check, feedback, inbox, poll, versions};
use crate::domain::delivery::RetryPolicy;
use crate::domain::ids::Digest;
use crate::domain::refusal::{Class, Refusal, Violation};
use crate::http::{Answer, Handler, Request, Response};
use crate::protocol::message::TOKEN;
use crate::protocol::schema::{LARGEST_DETAIL, Schema, resources};
use crate::protocol::tokens::says_urgent;
use crate::protocol::trust::Purpose;
use crate::telemetry::metric;

/// The largest document, in bytes: forty times a long referral.
pub const LARGEST_DOCUMENT: usize = 1024 * 1024;
/// The largest body of the small calls.
const SMALL: usize = 4 * 1024;

/// Answers parties.
pub struct Api {
    exchange: Arc<Exchange>,
    largest_document: usize,
    retry: RetryPolicy,
}

/// The calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call<'a> {
    Submit,
    Check,
    Routes,
    State(&'a str),
    Document(&'a str, &'a str),
    Event(&'a str),
    Version(&'a str),
    Evidence(&'a str),
    Poll,
    Claim,
    Delivered,
    NotTaken,
    Certificates(&'a str),
    WellKnown,
    Schema(&'a str),
}

impl<'a> Call<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.splitn(6, '/').collect();
        match parts[..] {
            ["v1", "referrals"] => Some(Call::Submit),
            ["v1", "referrals", "check"] => Some(Call::Check),
            ["v1", "routes"] => Some(Call::Routes),
            ["v1", "referrals", id] => Some(Call::State(id)),
            ["v1", "referrals", id, "documents", sha256] => Some(Call::Document(id, sha256)),
            ["v1", "referrals", id, "events"] => Some(Call::Event(id)),
            ["v1", "referrals", id, "versions"] => Some(Call::Version(id)),
            ["v1", "referrals", id, "evidence"] => Some(Call::Evidence(id)),
            ["v1", "events", "poll"] => Some(Call::Poll),
            ["v1", "inbox", "claim"] => Some(Call::Claim),
            ["v1", "inbox", "delivered"] => Some(Call::Delivered),
            ["v1", "inbox", "refused"] => Some(Call::NotTaken),
            ["v1", "certificates", x5t] => Some(Call::Certificates(x5t)),
            [".well-known", "ecaf"] => Some(Call::WellKnown),
            ["schemas", ..] => Some(Call::Schema(&path[1..])),
            _ => None,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Call::Submit
            | Call::Check
            | Call::Routes
            | Call::Event(_)
            | Call::Version(_)
            | Call::Poll
            | Call::Claim
            | Call::Delivered
            | Call::NotTaken => "POST",
            _ => "GET",
        }
    }
}

impl Api {
    /// An interface to `exchange` that takes documents of at most `largest_document` bytes.
    pub fn new(exchange: Arc<Exchange>, largest_document: usize) -> Self {
        Self { exchange, largest_document, retry: RetryPolicy::default() }
    }

    /// The same with these waits after an authority said that it cannot take what it collected.
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    async fn answer(&self, request: &Request) -> Result<Response, Trouble> {
        let exchange = &*self.exchange;
        let viewer = request.peer.chain.party();
        let Some(call) = Call::of(&request.path) else { return Err(no_such_thing()) };
        match call {
            Call::Submit => {
                let began = Instant::now();
                let receipt = accept::submit(exchange, request).await?;
                let counted = if receipt.new { metric::ACCEPTED } else { metric::REPEATED };
                metrics::counter!(counted).increment(1);
                metrics::histogram!(metric::ACCEPT_SECONDS).record(began.elapsed());
                Ok(exchange.receipt_response(receipt).await)
            }
            Call::Version(id) => {
                let receipt = versions::add(exchange, request, parse(id)?).await?;
                Ok(exchange.receipt_response(receipt).await)
            }
            Call::Check => Ok(json_response(StatusCode::OK, &check::check(exchange, request)?)),
            Call::Routes => Ok(json_response(StatusCode::OK, &check::route(exchange, request)?)),
            Call::State(id) => {
                Ok(json_response(StatusCode::OK, &exchange.state(parse(id)?, viewer).await?))
            }
            Call::Document(id, sha256) => {
                let bytes = exchange.document(parse(id)?, parse(sha256)?, viewer).await?;
                Ok(Response::new(StatusCode::OK, JSON, bytes))
            }
            Call::Event(id) => {
                let id = parse(id)?;
                let answer = feedback::record(exchange, request, id).await;
                let answer = answer.map_err(|trouble| trouble.about(id))?;
                let status = if answer.new { StatusCode::CREATED } else { StatusCode::OK };
                Ok(json_response(status, &answer))
            }
            Call::Poll => Ok(json_response(StatusCode::OK, &poll::poll(exchange, request).await?)),
            Call::Claim => {
                let claimed = inbox::claim(exchange, self.retry, request).await?;
                let idle = claimed.dispatches.is_empty();
                let response = json_response(StatusCode::OK, &claimed);
                // It may have waited for nothing, or found no place to wait in.
                let again = HeaderValue::from_static("1");
                Ok(if idle { response.with(RETRY_AFTER, again) } else { response })
            }
            Call::Delivered => {
                inbox::delivered(exchange, self.retry, request).await?;
                Ok(Response::new(StatusCode::OK, JSON, "{}"))
            }
            Call::NotTaken => {
                inbox::refused(exchange, self.retry, request).await?;
                Ok(Response::new(StatusCode::OK, JSON, "{}"))
            }
            Call::Evidence(id) => {
                Ok(json_response(StatusCode::OK, &exchange.evidence(parse(id)?, viewer).await?))
            }
            Call::Certificates(x5t) => {
                let certificates = exchange.certificates(parse::<Digest>(x5t)?).await?;
                #[derive(Serialize)]
                struct Certificates {
                    certificates: String,
                }
                Ok(json_response(StatusCode::OK, &Certificates { certificates }))
            }
            Call::WellKnown => Ok(json_response(StatusCode::OK, &self.speaks())),
            Call::Schema(path) => {
                let resource = resources()
                    .iter()
                    .find(|r| path == format!("schemas/{}", r.path) || path == r.path);
                let resource = resource.ok_or_else(no_such_thing)?;
                Ok(Response::new(StatusCode::OK, "application/schema+json", resource.bytes))
            }
        }
    }

    fn speaks(&self) -> Speaks {
        let exchange = &self.exchange;
        let directory = exchange.directory.last_good();
        Speaks {
            gateway: exchange.signing.load().party().to_string(),
            protocol: "1.0",
            software: concat!("ecaf/", env!("CARGO_PKG_VERSION")),
            schemas: vec![Schema::referral_v1_id()],
            schema_digest: Schema::referral_v1().digest().to_string(),
            directory_version: directory.map_or(0, |d| d.directory().version),
            postcode_table: exchange.tables.load().versions().postcodes.clone(),
            largest_document_bytes: self.largest_document,
            signature_algorithms: ["ES256", "ES384", "Ed25519", "PS256"],
        }
    }
}

/// What this gateway speaks.
#[derive(Debug, Serialize)]
struct Speaks {
    gateway: String,
    protocol: &'static str,
    software: &'static str,
    schemas: Vec<&'static str>,
    schema_digest: String,
    directory_version: u64,
    postcode_table: String,
    largest_document_bytes: usize,
    signature_algorithms: [&'static str; 4],
}

impl Handler for Api {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            // The connection was checked when it was made; this is the certificate's own end.
            let peer = &request.peer;
            let now = self.exchange.now();
            let outcome =
                match peer.chain.purpose() == Purpose::TlsClient && now < peer.chain.not_after() {
                    true => self.answer(&request).await,
                    false => Err(crate::http::EdgeRefusal::PeerNoLongerTrusted.refusal().into()),
                };
            outcome.unwrap_or_else(|trouble| self.exchange.trouble_response(trouble, &request))
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        let call = Call::of(path).filter(|call| call.method() == method.as_str())?;
        Some(match call {
            Call::Submit | Call::Check | Call::Version(_) => self.largest_document,
            Call::Routes | Call::Claim | Call::NotTaken => SMALL,
            Call::Delivered => inbox::LARGEST_RECEIPT,
            Call::Event(_) => LARGEST_DETAIL,
            Call::Poll => poll::LARGEST_POLL,
            _ => 0,
        })
    }

    fn methods(&self, path: &str) -> &'static str {
        Call::of(path).map_or("", Call::method)
    }

    /// Submissions that say they are urgent, and those that say nothing: a school without a key of its
    /// own has no token to say it in.
    fn is_urgent(&self, request: &Request) -> bool {
        if !matches!(Call::of(&request.path), Some(Call::Submit | Call::Version(_))) {
            return false;
        }
        request.single(&TOKEN).ok().flatten().is_none_or(says_urgent)
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Trouble> {
    text.parse().map_err(|_| no_such_thing())
}

fn no_such_thing() -> Trouble {
    Refusal::new(Class::NotFound, Violation::whole(super::read::NOTHING_HERE)).into()
}
