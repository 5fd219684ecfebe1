//! The load: connections of a school, and what they see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::floor::Floor;
use super::machine::{Moment, Span};
use super::tls::Connectors;
use super::work::Work;
use ecaf::protocol::message::{CERTIFICATES, TOKEN};

/// What a gateway tells everybody: a few hundred bytes that it has at hand.
const WELL_KNOWN: &str = "/.well-known/ecaf";

/// How requests arrive.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// HTTP/1.1 connections that stay open, each with one request after the other.
    KeepAlive(usize),
    /// HTTP/2 connections with this many requests at a time.
    Streams(usize, usize),
    /// So many at a time, each request on a connection of its own.
    Fresh(usize),
    /// The same with a small question that needs no store: the handshake is nearly all of it.
    Handshakes(usize),
    /// HTTP/1.1 connections that stay open, so many requests a second in all, on time.
    Paced(usize, f64),
}

/// Where to send, and who it is.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Its processes; more may come, so they are asked for at every look.
    pub pids: Vec<u32>,
    pub accepted: StatusCode,
    pub connectors: Connectors,
}

/// What a run saw within its window.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers with the status hoped for.
    pub accepted: usize,
    /// Anything else, and lost connections.
    pub failed: usize,
    /// The first of those.
    pub failure: Option<String>,
    /// From sending (or from when it was due) to the whole answer, sorted, in microseconds.
    pub latencies: Vec<u32>,
    /// Some answers, with the number of the submission.
    pub samples: Vec<(usize, Bytes)>,
    pub span: Option<Span>,
    /// The price of the cryptography in the same seconds.
    pub floor: Option<Floor>,
}

impl Seen {
    /// Accepted submissions a second.
    pub fn rate(&self) -> f64 {
        self.span.map_or(0.0, |span| self.accepted as f64 / span.seconds)
    }

    /// CPU microseconds of the server for each accepted submission.
    pub fn server_us(&self) -> f64 {
        self.span.map_or(0.0, |span| span.server_us / self.accepted.max(1) as f64)
    }

    /// A quantile, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * quantile).round() as usize;
        self.latencies.get(at).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

/// Everything that the connections of one run share.
struct Run {
    target: Target,
    work: Arc<Work>,
    stop: AtomicBool,
    tickets: AtomicU64,
    began: Instant,
}

/// What one connection saw: when each answer was complete, how long it took.
#[derive(Default)]
struct Log {
    answers: Vec<(Instant, u32)>,
    failures: Vec<(Instant, String)>,
    sample: Option<(usize, Bytes)>,
}

/// Sends `work` in `shape`: `warm` is not counted, then `window` is, or less if the work ends.
pub async fn run(
    target: Target,
    work: Arc<Work>,
    shape: Shape,
    (warm, window): (Duration, Duration),
    helpers: &[u32],
) -> Seen {
    let pids = target.pids.clone();
    let began = Instant::now();
    let (stop, tickets) = (AtomicBool::new(false), AtomicU64::new(0));
    let run = Arc::new(Run { target, work, stop, tickets, began });
    let mut hands = JoinSet::new();
    match shape {
        Shape::KeepAlive(connections) => {
            (0..connections).for_each(|_| drop(hands.spawn(run.clone().kept(None))));
        }
        Shape::Paced(connections, rate) => {
            (0..connections).for_each(|_| drop(hands.spawn(run.clone().kept(Some(rate)))));
        }
        Shape::Fresh(parallel) => {
            (0..parallel).for_each(|_| drop(hands.spawn(run.clone().fresh(true))));
        }
        Shape::Handshakes(parallel) => {
            (0..parallel).for_each(|_| drop(hands.spawn(run.clone().fresh(false))));
        }
        Shape::Streams(connections, streams) => {
            for _ in 0..connections {
                match run.open(true).await {
                    Ok(stream) => {
                        for hand in run.streams(stream, streams).await {
                            hands.spawn(hand);
                        }
                    }
                    Err(failure) => {
                        let failures = vec![(Instant::now(), failure)];
                        hands.spawn(async { Log { failures, ..Log::default() } });
                    }
                }
            }
        }
    }
    tokio::time::sleep(warm).await;
    let from = (Instant::now(), Moment::now(&pids, helpers));
    // Ends early if all submissions are sent.
    let until = Instant::now() + window;
    let mut logs = Vec::new();
    while Instant::now() < until && logs.is_empty() {
        tokio::select! {
            Some(log) = hands.join_next() => logs.extend(log),
            () = sleep_until(until.into()) => {}
        }
    }
    let to = (Instant::now(), Moment::now(&pids, helpers));
    run.stop.store(true, Ordering::Relaxed);
    while let Some(log) = hands.join_next().await {
        logs.extend(log);
    }
    let mut seen = Seen { span: Some(from.1.until(&to.1)), ..Seen::default() };
    let counts = |at: Instant| at >= from.0 && at <= to.0;
    for log in logs {
        seen.latencies.extend(log.answers.iter().filter(|(at, _)| counts(*at)).map(|a| a.1));
        seen.failed += log.failures.len();
        seen.failure = seen.failure.or(log.failures.into_iter().next().map(|f| f.1));
        seen.samples.extend(log.sample);
    }
    seen.accepted = seen.latencies.len();
    seen.latencies.sort_unstable();
    seen
}

impl Run {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn open(&self, h2: bool) -> Result<TlsStream<TcpStream>, String> {
        let socket = TcpStream::connect(self.target.address).await.map_err(|e| e.to_string())?;
        let _ = socket.set_nodelay(true);
        let connectors = &self.target.connectors;
        let connector: &TlsConnector = if h2 { &connectors.h2 } else { &connectors.h1 };
        let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
        connector.connect(name, socket).await.map_err(|e| e.to_string())
    }

    /// One connection, one request after the other; with a rate, each when it is due.
    async fn kept(self: Arc<Self>, rate: Option<f64>) -> Log {
        let mut log = Log::default();
        while !self.stopped() {
            let mut sender = match self.sender().await {
                Ok(sender) => sender,
                Err(failure) => {
                    log.failures.push((Instant::now(), failure));
                    return log;
                }
            };
            while !self.stopped() && !sender.is_closed() {
                let Some(began) = self.due(rate).await else { return log };
                let Some((number, token, body)) = self.work.take() else { return log };
                let sent = sender.send_request(self.request(token, body, false));
                if !log.note(began, number, self.target.accepted, answer(sent).await) {
                    break;
                }
            }
        }
        log
    }

    /// Waits for the next ticket. A late one counts from when it was due; one that we waited for
    /// counts from when we woke, so that our timer is not the server's latency.
    async fn due(&self, rate: Option<f64>) -> Option<Instant> {
        let Some(rate) = rate else { return Some(Instant::now()) };
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let due = self.began + Duration::from_secs_f64(ticket as f64 / rate);
        if due <= Instant::now() {
            return Some(due);
        }
        sleep_until(due.into()).await;
        if self.stopped() { None } else { Some(Instant::now()) }
    }

    /// A connection for each submission, or for each small question.
    async fn fresh(self: Arc<Self>, submits: bool) -> Log {
        let mut log = Log::default();
        while !self.stopped() {
            let (number, request, hoped) = match submits {
                true => {
                    let Some((number, token, body)) = self.work.take() else { break };
                    (number, self.request(token, body, false), self.target.accepted)
                }
                false => (0, question(), StatusCode::OK),
            };
            let began = Instant::now();
            let outcome = match self.sender().await {
                Ok(mut sender) => answer(sender.send_request(request)).await,
                Err(failure) => Err(failure),
            };
            log.note(began, number, hoped, outcome);
        }
        log
    }

    async fn sender(&self) -> Result<http1::SendRequest<Full<Bytes>>, String> {
        let stream = self.open(false).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// The hands of one HTTP/2 connection.
    async fn streams(
        self: &Arc<Self>,
        stream: TlsStream<TcpStream>,
        streams: usize,
    ) -> Vec<impl Future<Output = Log> + Send + use<>> {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let Ok((sender, connection)) = handshake else { return Vec::new() };
        tokio::spawn(connection);
        let hand = |_| {
            let (run, mut sender) = (self.clone(), sender.clone());
            async move {
                let mut log = Log::default();
                while !run.stopped() && !sender.is_closed() {
                    let Some((number, token, body)) = run.work.take() else { break };
                    let began = Instant::now();
                    let sent = sender.send_request(run.request(token, body, true));
                    if !log.note(began, number, run.target.accepted, answer(sent).await) {
                        break;
                    }
                }
                log
            }
        };
        (0..streams).map(hand).collect()
    }

    fn request(&self, token: HeaderValue, body: Bytes, h2: bool) -> Request<Full<Bytes>> {
        let (path, host) = ("/v1/referrals", "localhost");
        let uri = if h2 { format!("https://{host}{path}") } else { path.to_owned() };
        let request = Request::post(uri)
            .header(CONTENT_TYPE, "application/json")
            .header(TOKEN, token)
            .header(CERTIFICATES, self.work.certificates.clone());
        let request = if h2 { request } else { request.header(HOST, host) };
        // Made of constants and of values that are header values already.
        request.body(Full::new(body)).unwrap_or_default()
    }
}

fn question() -> Request<Full<Bytes>> {
    // Made of constants.
    Request::get(WELL_KNOWN).header(HOST, "localhost").body(Full::default()).unwrap_or_default()
}

async fn answer(
    sent: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
) -> Result<(StatusCode, Bytes), String> {
    let response = sent.await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?;
    Ok((status, body.to_bytes()))
}

impl Log {
    /// Whether the connection can go on.
    fn note(
        &mut self,
        began: Instant,
        number: usize,
        hoped: StatusCode,
        outcome: Result<(StatusCode, Bytes), String>,
    ) -> bool {
        let now = Instant::now();
        match outcome {
            Ok((status, body)) if status == hoped => {
                self.answers.push((now, (now - began).as_micros() as u32));
                self.sample = Some((number, body));
                true
            }
            Ok((status, body)) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                self.failures.push((now, format!("{status} {text}")));
                true
            }
            Err(failure) => {
                self.failures.push((now, failure));
                false
            }
        }
    }
}
