//! `POST <endpoint>/events`: the receiver of security event tokens that gateways push (RFC 8935). Each is
//! verified ([`crate::party::receiver`]), kept beside the inbox, and only then taken with 202; the same one again
//! is taken again.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::station::Station;
use crate::http::{Request, Response};
use crate::party::receiver::Receiver;

/// Takes one token, or says why not.
pub async fn take(station: &Station, request: &Request) -> Response {
    let signing = station.signing.load();
    let receiver = Receiver {
        scheme: &signing.party().trust_domain,
        trust: &station.trust,
        cache: &station.cache,
        directory: &station.directory,
        now: station.now(),
    };
    let pushed = match receiver.judge(request) {
        Ok(pushed) => pushed,
        Err(not_taken) => return not_taken.response(),
    };
    // A crash before the commit: the gateway gets no answer and pushes it again. After it: the same, and it
    // is known.
    match station.store.keep(pushed).await {
        Ok(_) => Response::empty(StatusCode::ACCEPTED),
        Err(fault) => {
            if fault.is_final() {
                station.broken.notify_one();
            }
            tracing::error!(fault = fault.label(), "a pushed token could not be kept");
            let later = HeaderValue::from_static("5");
            Response::empty(StatusCode::SERVICE_UNAVAILABLE).with(RETRY_AFTER, later)
        }
    }
}
