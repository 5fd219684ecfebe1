//! Requests to one party of the scheme, over mutual TLS. No redirects, no proxies, no cookies, no
//! address but the one given; what was perhaps received is never sent twice from here.

mod connect;
mod endpoint;
mod line;
mod watched;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode, Uri, Version};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use self::connect::{Link, Sender};
pub use self::endpoint::{Endpoint, NotAnEndpoint};
pub use self::line::{Line, Reply};
use super::tls::{ClientTls, Credentials, Reason};
use super::trust::Trust;
use crate::domain::party::Party;

/// Limits of a client.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// For address look-up, TCP and TLS together.
    pub connect: Duration,
    /// From sending a request to the last byte of its answer.
    pub response: Duration,
    /// Bytes of an answer's body.
    pub response_bytes: usize,
    /// An HTTP/1.1 connection unused for longer is not used again; less than the servers' own limit.
    pub idle: Duration,
    /// HTTP/1.1 connections kept for later.
    pub kept: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(30),
            response_bytes: 4 * 1_024 * 1_024,
            idle: Duration::from_secs(30),
            kept: 16,
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct ClientResponse {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFault {
    /// No connection: no such host, nobody listens, or not in time. Nothing was sent.
    Unreachable,
    /// One side refused the other's certificate. Nothing was taken.
    Refused(Reason),
    /// The connection ended before the request went out.
    NotSent,
    /// The request may have been taken: no answer in time, or the connection was lost over it.
    OutcomeUnknown,
    /// There was an answer, larger than [`ClientLimits::response_bytes`].
    AnswerTooLarge,
}

impl ClientFault {
    /// A stable label for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused(reason) => reason.rule.id,
            Self::NotSent => "not_sent",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::AnswerTooLarge => "answer_too_large",
        }
    }

    /// Whether it is certain that the request had no effect.
    pub const fn had_no_effect(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Refused(_) | Self::NotSent)
    }
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the other side cannot be reached"),
            Self::Refused(reason) => reason.fmt(f),
            Self::NotSent => f.write_str("the connection ended before the request was sent"),
            Self::OutcomeUnknown => {
                f.write_str("no answer: whether the request was taken is not known")
            }
            Self::AnswerTooLarge => f.write_str("the answer is too large"),
        }
    }
}

impl std::error::Error for ClientFault {}

/// Header fields of a request.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// A client of one addressee. Connections are kept and shared.
pub struct Client {
    endpoint: Endpoint,
    tls: Arc<ClientTls>,
    limits: ClientLimits,
    address: Option<SocketAddr>,
    pool: Mutex<Pool>,
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Pool {
    shared: Option<Link>,
    single: Vec<(Instant, Link)>,
}

impl Client {
    /// Towards `expected` at `endpoint`. Nothing is sent to anybody else, whatever DNS says.
    pub fn new(
        endpoint: Endpoint,
        expected: Party,
        credentials: Arc<Credentials>,
        trust: Arc<Trust>,
    ) -> Self {
        Self {
            endpoint,
            tls: Arc::new(ClientTls::new(trust, credentials, expected)),
            limits: ClientLimits::default(),
            address: None,
            pool: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// The same with other limits.
    pub fn with_limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, connecting to `address` instead of looking the host up.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str, fields: Fields) -> Result<ClientResponse, ClientFault> {
        self.send(Method::GET, path, fields, Bytes::new()).await
    }

    /// Posts a body to a path.
    pub async fn post(
        &self,
        path: &str,
        fields: Fields,
        body: Bytes,
    ) -> Result<ClientResponse, ClientFault> {
        self.send(Method::POST, path, fields, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        fields: Fields,
        body: Bytes,
    ) -> Result<ClientResponse, ClientFault> {
        // Twice, because a kept connection may have been closed by the other side meanwhile; only
        // what certainly was not sent is sent again.
        let first = self.send_once(&method, path, &fields, &body).await;
        match first {
            Err(ClientFault::NotSent) => self.send_once(&method, path, &fields, &body).await,
            outcome => outcome,
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        fields: &Fields,
        body: &Bytes,
    ) -> Result<ClientResponse, ClientFault> {
        let mut link = self.link().await?;
        let request = self.request(&link, method, path, fields, body)?;
        let exchange = async {
            let response = link.send(request).await?;
            let (parts, body) = response.into_parts();
            let body = whole(body, self.limits.response_bytes).await?;
            Ok(ClientResponse { status: parts.status, headers: parts.headers, body })
        };
        let outcome = timeout(self.limits.response, exchange).await;
        match outcome.unwrap_or(Err(ClientFault::OutcomeUnknown)) {
            Ok(response) => {
                self.keep(link);
                Ok(response)
            }
            Err(fault) => {
                // The next request must not wait for the same silence: it gets a new connection.
                if matches!(link.sender, Sender::Shared(_)) {
                    self.pool().shared = None;
                }
                Err(fault)
            }
        }
    }

    fn request(
        &self,
        link: &Link,
        method: &Method,
        path: &str,
        fields: &Fields,
        body: &Bytes,
    ) -> Result<::http::Request<Full<Bytes>>, ClientFault> {
        let path = format!("{}{path}", self.endpoint.base());
        let mut request = ::http::Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        for (name, value) in fields {
            request.headers_mut().append(name.clone(), value.clone());
        }
        let authority = self.endpoint.authority();
        let uri = match link.sender {
            Sender::Shared(_) => {
                *request.version_mut() = Version::HTTP_2;
                format!("https://{authority}{path}")
            }
            Sender::Single(_) => {
                let host = HeaderValue::from_str(authority).map_err(|_| ClientFault::NotSent)?;
                request.headers_mut().insert(HOST, host);
                path
            }
        };
        *request.uri_mut() = Uri::try_from(uri).map_err(|_| ClientFault::NotSent)?;
        Ok(request)
    }

    /// A connection that may be used now: a kept one whose other end still holds, or a new one.
    async fn link(&self) -> Result<Link, ClientFault> {
        if let Some(link) = self.kept() {
            return Ok(link);
        }
        // One at a time, so that all who wait share what the first has opened.
        let turn = timeout(self.limits.connect, self.connecting.lock()).await;
        let _turn = turn.map_err(|_| ClientFault::Unreachable)?;
        if let Some(link) = self.kept() {
            return Ok(link);
        }
        let opened = connect::open(&self.endpoint, self.address, &self.tls);
        let link =
            timeout(self.limits.connect, opened).await.unwrap_or(Err(ClientFault::Unreachable))?;
        if let Some(again) = link.share() {
            self.pool().shared = Some(again);
        }
        Ok(link)
    }

    fn kept(&self) -> Option<Link> {
        let mut pool = self.pool();
        if let Some(shared) = &pool.shared {
            if shared.is_usable(&self.tls) {
                return shared.share();
            }
            pool.shared = None;
        }
        while let Some((since, link)) = pool.single.pop() {
            if since.elapsed() < self.limits.idle && link.is_usable(&self.tls) {
                return Some(link);
            }
        }
        None
    }

    fn keep(&self, link: Link) {
        if matches!(link.sender, Sender::Single(_)) {
            let mut pool = self.pool();
            if pool.single.len() < self.limits.kept {
                pool.single.push((Instant::now(), link));
            }
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn whole(body: Incoming, limit: usize) -> Result<Bytes, ClientFault> {
    let mut body = Limited::new(body, limit);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            // Fields after the body are not read: nothing of ours sends any.
            Ok(frame) => whole.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(ClientFault::AnswerTooLarge);
            }
            Err(_) => return Err(ClientFault::OutcomeUnknown),
        }
    }
    Ok(whole.freeze())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {:?})", self.endpoint, self.tls)
    }
}
