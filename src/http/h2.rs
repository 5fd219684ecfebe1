//! HTTP/2, the listening side, over hyper: framing is the library's, limits and refusals are ours.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRAILER};
use ::http::request::Parts;
use ::http::uri::Scheme;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::exchange::{Phase, Serve, reached};
use super::h1::{body_deadline, content_length};
use super::head::{Head, is_authority, target};
use super::limits::Limits;
use super::message::Response;
use super::refusal::{EdgeRefusal, rules};

/// After the connection was told to end: for frames on their way.
const LAST_FRAMES: Duration = Duration::from_millis(500);

/// What the streams of one connection tell it.
#[derive(Debug, Default)]
struct Activity {
    under_way: AtomicUsize,
    served: AtomicU64,
    meter: Arc<Meter>,
    /// Answers that the library still holds, by age: numbers only grow.
    unread: Mutex<BTreeMap<u64, Instant>>,
    answers: AtomicU64,
}

impl Activity {
    fn unread(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer has waited to be read since before `time`.
    fn unread_since(&self, time: Instant) -> bool {
        self.unread().first_key_value().is_some_and(|(_, since)| *since <= time)
    }
}

/// Serves requests, several at a time, until the connection ends.
pub(super) async fn serve<IO, S>(io: IO, service: Arc<S>, mut phase: watch::Receiver<Phase>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let limits = service.limits().clone();
    let activity = Arc::new(Activity::default());
    let meter = activity.meter.clone();
    let io = Metered { io, meter: meter.clone(), most: limits.bytes_without_request };
    let streams = {
        let (service, activity, phase) = (service.clone(), activity.clone(), phase.clone());
        service_fn(move |request| stream(request, service.clone(), activity.clone(), phase.clone()))
    };
    let connection = builder(&limits).serve_connection(TokioIo::new(io), streams);
    tokio::pin!(connection);
    let mut winding = phase.clone();
    let mut ticks = interval((limits.idle.min(limits.write) / 4).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut served_before, mut quiet_since) = (0, Instant::now());
    let mut winding_down: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = reached(&mut phase, Phase::Ended) => break,
            outcome = &mut connection => {
                // The library's own limits, and broken frames; whoever just left did nothing wrong.
                if outcome.is_err() && !meter.gone.load(Ordering::Relaxed) {
                    service.ended(rules::FRAMES);
                }
                return;
            }
            () = reached(&mut winding, Phase::WindingDown), if winding_down.is_none() => {
                connection.as_mut().graceful_shutdown();
                // From here on the listener's deadline counts.
                winding_down = Some(Instant::now() + limits.drain);
            }
            _ = ticks.tick() => {
                let now = Instant::now();
                if now.checked_sub(limits.write).is_some_and(|time| activity.unread_since(time)) {
                    return service.ended(rules::NOT_READ);
                }
                let served = activity.served.load(Ordering::Relaxed);
                if served != served_before || activity.under_way.load(Ordering::Relaxed) > 0 {
                    (served_before, quiet_since) = (served, now);
                }
                let tired = served >= limits.requests_per_connection;
                match winding_down {
                    None if tired || quiet_since.elapsed() >= limits.idle => {
                        connection.as_mut().graceful_shutdown();
                        winding_down = Some(now + limits.write);
                    }
                    Some(deadline) if now >= deadline => return,
                    _ => {}
                }
            }
        }
    }
    // Ended: say so (GOAWAY), let streams be reset, and go.
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_FRAMES, connection).await;
}

fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.stream_window.saturating_mul(4))
        .max_frame_size(16_384)
        .max_send_buf_size(64 * 1_024)
        // Rapid reset (CVE-2023-44487): streams that the peer opens and resets at once.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.write);
    builder
}

/// The stream is reset instead of answered.
#[derive(Debug)]
struct NotAnswered;

impl std::fmt::Display for NotAnswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not answered")
    }
}

impl std::error::Error for NotAnswered {}

struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.served.fetch_add(1, Ordering::Relaxed);
    }
}

async fn stream<S: Serve>(
    request: ::http::Request<Incoming>,
    service: Arc<S>,
    activity: Arc<Activity>,
    mut phase: watch::Receiver<Phase>,
) -> Result<::http::Response<Full<Bytes>>, NotAnswered> {
    let under_way = UnderWay::new(activity.clone());
    activity.meter.explained(service.limits().head_bytes);
    let (parts, body) = request.into_parts();
    let answered = async {
        let outcome = async {
            let head = head(parts, service.limits())?;
            let (limit, admitted) = service.admit(&head)?;
            let body = read_body(body, &head, limit, service.limits(), &activity.meter).await?;
            Ok((head, body, admitted))
        };
        match outcome.await {
            Ok((head, body, admitted)) => service.answer(head, body, admitted).await,
            Err(Some(refusal)) => Some((service.refuse(refusal), None)),
            Err(None) => None,
        }
    };
    let answer = tokio::select! {
        biased;
        () = reached(&mut phase, Phase::Ended) => None,
        answer = answered => answer,
    };
    drop(under_way);
    let (response, held) = answer.ok_or(NotAnswered)?;
    Ok(render(response, held, activity))
}

/// The checks that HTTP/1.1 makes while parsing; the library has refused malformed frames and fields
/// of a connection already.
fn head(parts: Parts, limits: &Limits) -> Result<Head, EdgeRefusal> {
    let malformed = EdgeRefusal::Malformed;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let authority = authority.filter(|a| is_authority(a)).ok_or(malformed(rules::HOST))?;
    let same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if !parts.headers.get_all(HOST).iter().all(same) {
        return Err(malformed(rules::HOST));
    }
    if parts.uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(malformed(rules::TARGET));
    }
    if parts.headers.contains_key(TRAILER) {
        return Err(malformed(rules::TRAILERS));
    }
    if parts.headers.len() > limits.fields {
        return Err(EdgeRefusal::HeadTooLarge);
    }
    // Without an early end, so that many bytes are looked at together.
    let odd = |found: bool, c: &u8| found | !((b' '..=b'~').contains(c) | (*c == b'\t'));
    if parts.headers.values().any(|value| value.as_bytes().iter().fold(false, odd)) {
        return Err(malformed(rules::SYNTAX));
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => {
            Some(content_length(length.as_bytes()).ok_or(malformed(rules::FRAMING))?)
        }
        _ => return Err(malformed(rules::FRAMING)),
    };
    let path_and_query = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let (path, query) = target(path_and_query, limits.path_bytes)?;
    Ok(Head { method: parts.method, path, query, headers: parts.headers, length })
}

/// Reads a body whole; `None` if the stream broke.
async fn read_body(
    mut body: Incoming,
    head: &Head,
    limit: usize,
    limits: &Limits,
    meter: &Meter,
) -> Result<Bytes, Option<EdgeRefusal>> {
    let start = Instant::now();
    let declared = head.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(declared.min(limit));
    loop {
        let deadline = body_deadline(limits, start, whole.len());
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| EdgeRefusal::TooSlow)?;
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let data = frame.map_err(|_| None)?.into_data();
        let data = data.map_err(|_| EdgeRefusal::Malformed(rules::TRAILERS))?;
        if data.len() > limit - whole.len() {
            return Err(Some(EdgeRefusal::BodyTooLarge));
        }
        meter.explained(data.len());
        whole.extend_from_slice(&data);
    }
}

/// The library holds a body until the peer has taken it or reset its stream, both of which can take as
/// long as the peer likes; so the body itself holds what the request was given.
fn render<H: Send + 'static>(
    response: Response,
    held: Option<H>,
    activity: Arc<Activity>,
) -> ::http::Response<Full<Bytes>> {
    let number = activity.answers.fetch_add(1, Ordering::Relaxed);
    activity.unread().insert(number, Instant::now());
    let body = Bytes::from_owner(Unread { bytes: response.body, number, activity, _held: held });
    let mut rendered = ::http::Response::new(Full::new(body));
    *rendered.status_mut() = response.status;
    let headers = rendered.headers_mut();
    if let Some(content_type) = response.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in response.headers {
        headers.append(name, value);
    }
    rendered
}

/// The body of an answer that was not read yet.
struct Unread<H> {
    bytes: Bytes,
    number: u64,
    activity: Arc<Activity>,
    _held: Option<H>,
}

impl<H> AsRef<[u8]> for Unread<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<H> Drop for Unread<H> {
    fn drop(&mut self) {
        self.activity.unread().remove(&self.number);
    }
}

/// Bytes that came and that no request explains: each explains a whole head and its body.
#[derive(Debug, Default)]
struct Meter {
    unexplained: AtomicU64,
    /// The peer closed the connection, or it broke.
    gone: AtomicBool,
}

impl Meter {
    fn explained(&self, bytes: usize) {
        let less = |before: u64| Some(before.saturating_sub(bytes as u64));
        // Never fails: the closure always gives a value.
        let _ = self.unexplained.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Ends a connection whose bytes never become requests: floods of small frames (PING, SETTINGS, empty
/// DATA, CONTINUATION, RST_STREAM) cost the sender its connection.
struct Metered<IO> {
    io: IO,
    meter: Arc<Meter>,
    most: u64,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        if matches!(polled, Poll::Ready(Err(_))) || (polled.is_ready() && read == 0) {
            self.meter.gone.store(true, Ordering::Relaxed);
        }
        if self.meter.unexplained.fetch_add(read, Ordering::Relaxed) + read > self.most {
            return Poll::Ready(Err(io::Error::other("too many bytes without a request")));
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> Metered<IO> {
    fn written<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(polled, Poll::Ready(Err(_))) {
            self.meter.gone.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, buffers);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.written(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
