//! Opens a connection and sends requests on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::ClientFault;
use super::endpoint::Endpoint;
use super::watched::{Seen, Watched};
use crate::http::message::Alpn;
use crate::http::tls::{ClientTls, Reached};

/// The largest answer head, in bytes.
const HEAD: usize = 64 * 1_024;

/// One connection.
pub(super) struct Link {
    pub(super) sender: Sender,
    generation: (u64, u64),
    reached: Arc<Reached>,
    seen: Arc<Seen>,
}

/// Its sending end.
pub(super) enum Sender {
    /// HTTP/2: many requests at a time.
    Shared(http2::SendRequest<Full<Bytes>>),
    /// HTTP/1.1: one request at a time.
    Single(http1::SendRequest<Full<Bytes>>),
}

/// How often an HTTP/2 connection is asked whether it still lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(5);

/// Connects, shakes hands, and agrees on a protocol.
pub(super) async fn open(
    endpoint: &Endpoint,
    address: Option<SocketAddr>,
    tls: &Arc<ClientTls>,
) -> Result<Link, ClientFault> {
    let generation = tls.generation();
    let changes = tls.trust().changes();
    let socket = match address {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect((endpoint.host(), endpoint.port())).await,
    };
    let socket = socket.map_err(|_| ClientFault::Unreachable)?;
    let _ = socket.set_nodelay(true);
    let name = endpoint.server_name().ok_or(ClientFault::Unreachable)?;
    let (stream, reached) = tls.connect(name, socket).await.map_err(ClientFault::Refused)?;
    let (reached, seen) = (Arc::new(reached), Arc::new(Seen::default()));
    let io = TokioIo::new(Watched { io: stream, seen: seen.clone() });
    let lost = |_| seen.fault();
    let sender = match reached.alpn {
        Alpn::H2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            // A connection whose other end has silently gone is found within seconds, also while idle.
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD as u32)
                .keep_alive_interval(Some(PING_EVERY))
                .keep_alive_timeout(PING_ANSWER)
                .keep_alive_while_idle(true);
            let (sender, connection) = builder.handshake(io).await.map_err(lost)?;
            drive(connection, changes, tls.clone(), reached.clone());
            Sender::Shared(sender)
        }
        Alpn::Http11 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HEAD);
            let (sender, connection) = builder.handshake(io).await.map_err(lost)?;
            drive(connection, changes, tls.clone(), reached.clone());
            Sender::Single(sender)
        }
    };
    Ok(Link { sender, generation, reached, seen })
}

/// Runs a connection to its end, or until the other end is not trusted any more.
fn drive<C>(
    connection: C,
    mut changes: tokio::sync::watch::Receiver<u64>,
    tls: Arc<ClientTls>,
    reached: Arc<Reached>,
) where
    C: Future<Output = Result<(), hyper::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        tokio::pin!(connection);
        loop {
            tokio::select! {
                _ = &mut connection => return,
                changed = changes.changed() => {
                    if changed.is_err() || tls.check(&reached.certificates).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

impl Link {
    /// Whether it is open, was made with our present certificate, and the other end still holds.
    pub(super) fn is_usable(&self, tls: &ClientTls) -> bool {
        let open = match &self.sender {
            Sender::Shared(sender) => !sender.is_closed(),
            Sender::Single(sender) => sender.is_ready(),
        };
        open && self.generation.1 == tls.generation().1
            && tls.check(&self.reached.certificates).is_ok()
    }

    /// A second hand on it, if it can carry several requests.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Shared(sender) = &self.sender else { return None };
        Some(Self {
            sender: Sender::Shared(sender.clone()),
            generation: self.generation,
            reached: self.reached.clone(),
            seen: self.seen.clone(),
        })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientFault> {
        let sent = match &mut self.sender {
            Sender::Shared(sender) => sender.try_send_request(request).await,
            Sender::Single(sender) => sender.try_send_request(request).await,
        };
        sent.inspect(|_| self.seen.answered()).map_err(|error| self.fault(error))
    }

    fn fault(&self, mut error: TrySendError<Request<Full<Bytes>>>) -> ClientFault {
        match self.seen.fault() {
            refused @ ClientFault::Refused(_) => refused,
            _ if error.take_message().is_some() => ClientFault::NotSent,
            unknown => unknown,
        }
    }
}
