//! The operator's listener: plain HTTP/1.1 on a loopback address, for health, metrics and commands.
//! Whoever may use the machine's loopback is the operator; browsers are kept out.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ::http::header::{HOST, ORIGIN};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::exchange::{Phase, Serve, finish};
use super::h1;
use super::head::Head;
use super::limits::Limits;
use super::message::{Answer, Response};
use super::refusal::{EdgeRefusal, Problem, default_problem, rules};
use crate::domain::refusal::Rule;
use crate::effects::Clock;

/// Answers the operator.
pub trait OperatorHandler: Send + Sync + 'static {
    /// Answers one request; a path that does not exist is a 404 of the handler's own.
    fn handle(&self, request: OperatorRequest) -> Answer<'_>;
}

/// One request of the operator.
#[derive(Debug)]
pub struct OperatorRequest {
    /// The method.
    pub method: Method,
    /// The path, see [`super::Request::path`].
    pub path: String,
    /// The query without `?`.
    pub query: Option<String>,
    /// The body, at most [`OperatorListener::BODY`] bytes.
    pub body: Bytes,
}

/// Listens on the loopback.
pub struct OperatorListener {
    listener: TcpListener,
    serve: Arc<Operator>,
}

struct Operator {
    handler: Arc<dyn OperatorHandler>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    problem: Problem,
}

impl OperatorListener {
    /// The largest body of a command, in bytes.
    pub const BODY: usize = 64 * 1_024;
    /// Connections at a time.
    pub const CONNECTIONS: usize = 32;

    /// Binds; an address outside the loopback is refused (`InvalidInput`).
    pub async fn bind(
        address: SocketAddr,
        handler: Arc<dyn OperatorHandler>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let reason = "the operator's listener must have a loopback address";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let limits = Limits { head_bytes: 8 * 1_024, ..Limits::default() };
        let serve = Operator { handler, clock, limits, problem: default_problem };
        Ok(Self { listener: TcpListener::bind(address).await?, serve: Arc::new(serve) })
    }

    /// The address bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready, then ends what is under way.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let places = Arc::new(Semaphore::new(Self::CONNECTIONS));
        let (phase, observed) = watch::channel(Phase::Open);
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                (place, accepted) = async {
                    let place = places.clone().acquire_owned().await;
                    (place, self.listener.accept().await)
                } => {
                    let Ok((socket, _)) = accepted else {
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    };
                    let (serve, observed) = (self.serve.clone(), observed.clone());
                    connections.spawn(async move {
                        let _held = place;
                        h1::serve(socket, &*serve, observed).await;
                    });
                }
            }
        }
        phase.send_replace(Phase::WindingDown);
        let _ = tokio::time::timeout(self.serve.limits.linger, connections.join_all()).await;
    }
}

impl Serve for Operator {
    type Admitted = ();

    fn admit(&self, head: &Head) -> Result<(usize, ()), EdgeRefusal> {
        // A page in a browser can name its own host for this address (DNS rebinding), or post to it
        // (then it sends where it comes from). Neither is the operator.
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(is_loopback) {
            return Err(EdgeRefusal::Malformed(rules::HOST));
        }
        if head.headers.contains_key(ORIGIN) || head.headers.contains_key("sec-fetch-site") {
            return Err(EdgeRefusal::Malformed(rules::BROWSER));
        }
        head.fits(OperatorListener::BODY)?;
        Ok((OperatorListener::BODY, ()))
    }

    async fn answer(
        &self,
        head: Head,
        body: Bytes,
        (): (),
    ) -> Option<(Response, Option<Self::Admitted>)> {
        let Head { method, path, query, .. } = head;
        let response = self.handler.handle(OperatorRequest { method, path, query, body }).await;
        Some((finish(response, None), None))
    }

    /// Whoever it was sits at this machine.
    fn ended(&self, _: Rule) {}

    fn refuse(&self, refusal: EdgeRefusal) -> Response {
        finish(refusal.response(self.problem), None)
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// A plain answer of text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    Response::new(status, "text/plain; charset=utf-8", body)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl std::fmt::Debug for OperatorListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorListener({:?})", self.listener.local_addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for good in ["localhost", "LOCALHOST:9", "127.0.0.1:9000", "127.9.9.9", "[::1]:9", "[::1]"]
        {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example:80", "10.0.0.1", "[::2]:1", "127.0.0.1.nip.io"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
