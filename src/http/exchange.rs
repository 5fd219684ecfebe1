//! One request of an authenticated peer: admitted, handled to the end, answered.

use std::fmt;
use std::sync::Arc;

use ::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::admission::{Admission, Room, Seat};
use super::head::Head;
use super::limits::Limits;
use super::message::{Handler, Peer, Request, RequestId, Response, TraceParent};
use super::refusal::{EdgeRefusal, Problem, default_problem};
use crate::domain::refusal::Rule;
use crate::effects::{Clock, Entropy};
use crate::telemetry::{burst, metric};

/// What a listener serves, and within which limits.
#[derive(Clone)]
pub struct Service {
    /// Answers the requests.
    pub handler: Arc<dyn Handler>,
    /// Renders what the edge itself refuses.
    pub problem: Problem,
    /// The limits.
    pub limits: Limits,
    /// Gives request ids.
    pub entropy: Arc<dyn Entropy>,
}

impl Service {
    /// With default limits and problem documents.
    pub fn new(handler: Arc<dyn Handler>, entropy: Arc<dyn Entropy>) -> Self {
        Self { handler, problem: default_problem, limits: Limits::default(), entropy }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Tells a connection what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Serve.
    Open,
    /// Finish what is under way, take nothing new.
    WindingDown,
    /// End at once, answer nothing: the peer is not trusted any more.
    Ended,
}

/// Waits until the phase is `least` or later.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, least: Phase) {
    // The sender lives as long as the connection; without one it is over as well.
    let _ = phase.wait_for(|phase| *phase >= least).await;
}

/// One side of the exchange that reads requests and writes answers, for both versions of HTTP.
pub(super) trait Serve: Send + Sync + 'static {
    /// Proof that a request was admitted; what it holds is given back on drop.
    type Admitted: Send + Sync + 'static;
    /// Admits a request by its head; the most bytes of body that may follow.
    fn admit(&self, head: &Head) -> Result<(usize, Self::Admitted), EdgeRefusal>;
    /// Answers; `None` if nothing may be answered any more. What the request still holds is to be
    /// dropped when the answer is written, and not before.
    fn answer(
        &self,
        head: Head,
        body: Bytes,
        admitted: Self::Admitted,
    ) -> impl Future<Output = Option<(Response, Option<Self::Admitted>)>> + Send;
    /// Renders a refusal.
    fn refuse(&self, refusal: EdgeRefusal) -> Response;
    /// The connection is ended for what the peer does to it; told to the log.
    fn ended(&self, rule: Rule);
    /// The clock of `Date`.
    fn clock(&self) -> &dyn Clock;
    /// The limits.
    fn limits(&self) -> &Limits;
}

/// Every mutually authenticated connection of one listener shares this.
pub(super) struct Edge {
    pub(super) service: Service,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) admission: Arc<Admission>,
    /// Held by every handler that runs; the listener waits until all are gone.
    pub(super) running: mpsc::Sender<()>,
}

/// The requests of one connection.
pub(super) struct Conversation {
    pub(super) edge: Arc<Edge>,
    pub(super) peer: Arc<Peer>,
    pub(super) phase: watch::Receiver<Phase>,
    /// The place of this connection among those of its organisation, or why there is none.
    pub(super) seat: Result<Seat, EdgeRefusal>,
}

impl Conversation {
    /// When a line about `what` shall be written: how many were left out since the last one.
    fn line(&self, what: &'static str) -> Option<u64> {
        burst(what, self.peer.chain.x5t(), Instant::now().into_std())
    }
}

impl Serve for Conversation {
    type Admitted = Room;

    fn admit(&self, head: &Head) -> Result<(usize, Room), EdgeRefusal> {
        let seat = self.seat.as_ref().map_err(|refusal| *refusal)?;
        if self.edge.clock.now() > self.peer.chain.not_after() {
            return Err(EdgeRefusal::PeerNoLongerTrusted);
        }
        let enter = |bytes| seat.enter(bytes, Instant::now());
        match head.body_limit(&*self.edge.service.handler) {
            Ok(limit) => {
                let declared = head.length.and_then(|length| usize::try_from(length).ok());
                Ok((limit, enter(declared.unwrap_or(limit))?))
            }
            // What is refused counts as asked, or a party could ask for nothing as often as it likes.
            Err(refusal) => enter(0).and(Err(refusal)),
        }
    }

    async fn answer(
        &self,
        head: Head,
        body: Bytes,
        mut room: Room,
    ) -> Option<(Response, Option<Room>)> {
        let mut id = [0; 16];
        if self.edge.service.entropy.fill(&mut id).is_err() {
            return Some((self.refuse(EdgeRefusal::Fault), None));
        }
        let request_id = RequestId(id);
        let traceparent = head.headers.get("traceparent").and_then(|v| v.to_str().ok());
        let request = Request {
            traceparent: traceparent.and_then(TraceParent::parse),
            method: head.method,
            path: head.path,
            query: head.query,
            headers: head.headers,
            body,
            peer: self.peer.clone(),
            request_id,
        };
        // A task of its own, so that a peer that hangs up never cuts a handler in the middle, and so
        // that a panic ends the one request only.
        let handler = self.edge.service.handler.clone();
        if let Err(refusal) = room.turn(|| handler.is_urgent(&request)).await {
            return Some((self.refuse(refusal), None));
        }
        let running = self.edge.running.clone();
        let task = tokio::spawn(async move {
            let _running = running;
            let response = handler.handle(request).await;
            let held = room.answered(response.body.len());
            (response, held, room)
        });
        let mut phase = self.phase.clone();
        let outcome = tokio::select! {
            biased;
            () = reached(&mut phase, Phase::Ended) => return None,
            outcome = task => outcome,
        };
        let (response, room) = match outcome {
            Ok((response, Ok(()), room)) => (response, Some(room)),
            Ok((_, Err(refusal), _)) => (self.refuse(refusal), None),
            Err(_) => {
                tracing::error!(%request_id, "a handler panicked");
                (self.refuse(EdgeRefusal::Fault), None)
            }
        };
        metrics::counter!(metric::HTTP_REQUESTS, "status" => class(&response)).increment(1);
        Some((finish(response, Some(request_id)), room))
    }

    fn refuse(&self, refusal: EdgeRefusal) -> Response {
        let rule = refusal.rule().id;
        metrics::counter!(metric::HTTP_REFUSALS, "rule" => rule).increment(1);
        if let Some(left_out) = self.line(rule) {
            let x5t = self.peer.chain.x5t();
            tracing::info!(rule, %x5t, left_out, "request refused at the edge");
        }
        finish(refusal.response(self.edge.service.problem), None)
    }

    fn ended(&self, rule: Rule) {
        let rule = rule.id;
        metrics::counter!(metric::HTTP_CONNECTIONS_ENDED, "rule" => rule).increment(1);
        if let Some(left_out) = self.line(rule) {
            let x5t = self.peer.chain.x5t();
            tracing::warn!(rule, %x5t, left_out, "connection ended");
        }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.edge.clock
    }

    fn limits(&self) -> &Limits {
        &self.edge.service.limits
    }
}

fn class(response: &Response) -> &'static str {
    match response.status.as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// Fields that every answer has.
pub(super) fn finish(mut response: Response, request_id: Option<RequestId>) -> Response {
    response.headers.retain(|(name, _)| !frames(name));
    if !response.headers.iter().any(|(name, _)| name == CACHE_CONTROL) {
        response.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers.push((X_CONTENT_TYPE_OPTIONS, nosniff));
    if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(&id.to_string()).ok()) {
        response.headers.push((HeaderName::from_static("ecaf-request-id"), id));
    }
    response
}

/// Fields that frame a message or belong to one connection: the edge's alone.
fn frames(name: &HeaderName) -> bool {
    use ::http::header::*;
    [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, CONNECTION, UPGRADE, TRAILER, TE, DATE]
        .contains(name)
}
