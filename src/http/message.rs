//! What passes between the edge and its handler.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode};
use bytes::Bytes;

use crate::protocol::trust::{Chain, VerifiedChain};

/// One request of an authenticated peer, read whole within the limits.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path: unreserved characters and `/` only, no percent-encoding, no empty or dot segments.
    pub path: String,
    /// The query without `?`, only where [`Handler::takes_query`] allows one.
    pub query: Option<String>,
    /// All header fields; a repeated field stands here as often as it was sent.
    pub headers: HeaderMap,
    /// The body, at most [`Handler::body_limit`] bytes; empty if there was none.
    pub body: Bytes,
    /// Who asks.
    pub peer: Arc<Peer>,
    /// Names this request in logs and answers.
    pub request_id: RequestId,
    /// The caller's trace context, if it sent a valid one.
    pub traceparent: Option<TraceParent>,
}

impl fmt::Debug for Request {
    /// Neither header values nor the body: both can be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} bytes)", self.request_id, self.method, self.body.len())
    }
}

impl Request {
    /// The value of a field that may stand once only: `Ok(None)` if absent, `Err` if it is repeated
    /// or not printable ASCII.
    pub fn single(&self, name: &HeaderName) -> Result<Option<&str>, RepeatedOrUnreadable> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| RepeatedOrUnreadable),
            _ => Err(RepeatedOrUnreadable),
        }
    }
}

/// A header field that may stand once only is repeated, or is not printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedOrUnreadable;

/// One answer. The edge adds `Content-Length`, `Date`, `Ecaf-Request-Id`,
/// `X-Content-Type-Options: nosniff` and, unless the handler set it, `Cache-Control: no-store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body, if there is one.
    pub content_type: Option<&'static str>,
    /// Further header fields. Fields that frame the message are the edge's and are left out.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, whole.
    pub body: Bytes,
}

impl Response {
    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Bytes::new() }
    }

    /// A status with a body.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(content_type), headers: Vec::new(), body: body.into() }
    }

    /// The same with one more field.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The answer of a handler, to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// Answers requests.
///
/// [`Handler::handle`] runs in a task of its own, to its end, also if the peer hangs up meanwhile: it
/// is never cancelled, and a graceful shutdown waits for it. If it panics the peer gets a 500.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> Answer<'_>;

    /// The most bytes of body that this route takes; `None` if there is no such route, which is then
    /// refused before any of the body is read. Must be cheap and must not depend on the peer.
    fn body_limit(&self, method: &Method, path: &str) -> Option<usize>;

    /// The methods of a path that exists, for `Allow` (`"GET, POST"`): asked when `body_limit` gave
    /// `None`. Empty if there is no such path.
    fn methods(&self, _path: &str) -> &'static str {
        ""
    }

    /// Whether this request goes before others where requests have to wait. Asked only then. It may
    /// believe what the peer says: a party that calls everything urgent waits behind itself.
    fn is_urgent(&self, _request: &Request) -> bool {
        false
    }

    /// Whether a query is allowed here. Queries end up in logs along the way, so the default is no.
    fn takes_query(&self, _method: &Method, _path: &str) -> bool {
        false
    }
}

/// The other end of a connection, proved by its certificate.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The outcome of checking its certificates.
    pub chain: VerifiedChain,
    /// The certificates themselves, to be kept as evidence.
    pub certificates: Chain,
    /// Where it connects from.
    pub address: SocketAddr,
    /// The protocol agreed on.
    pub alpn: Alpn,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// The key exchange used, by its IANA name (`X25519MLKEM768`).
    pub key_exchange: &'static str,
}

/// The application protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1, also for peers that name no protocol.
    Http11,
    /// HTTP/2.
    H2,
}

impl Alpn {
    /// As named in ALPN (RFC 7301).
    pub const fn as_str(self) -> &'static str {
        match self {
            Alpn::Http11 => "http/1.1",
            Alpn::H2 => "h2",
        }
    }
}

/// Names one request: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A trace context of version 00 (W3C Trace Context, `traceparent`), checked.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceParent(Box<str>);

impl TraceParent {
    /// From the header's value; `None` unless it is valid and of version 00.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let hex = |part: Option<&str>, length: usize| {
            part.filter(|p| {
                p.len() == length && p.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
            })
            .is_some_and(|p| length == 2 || p.bytes().any(|c| c != b'0'))
        };
        let valid = parts.next() == Some("00")
            && hex(parts.next(), 32)
            && hex(parts.next(), 16)
            && hex(parts.next(), 2)
            && parts.next().is_none();
        valid.then(|| Self(text.into()))
    }

    /// As it stands in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 hexadecimal digits that name the trace.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_trace_contexts_are_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed = TraceParent::parse(good).unwrap();
        assert_eq!(parsed.as_str(), good);
        assert_eq!(parsed.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(TraceParent::parse(bad).is_none(), "{bad}");
        }
    }
}
