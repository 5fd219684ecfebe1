//! The listening socket: accepts, counts, and winds down.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::admission::Admission;
use super::connection;
use super::doors::Doors;
use super::exchange::{Edge, Phase, Service};
use super::tls::ServerTls;
use crate::telemetry::{burst, metric};

/// Out of file descriptors: accepting again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Beyond the deadline of the connections, so that they end first.
const LAST: Duration = Duration::from_secs(1);

/// A listener of mutually authenticated HTTP.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerTls>,
    service: Service,
}

impl Server {
    /// Binds an address; requests wait in the kernel's queue until [`Server::run`].
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<ServerTls>,
        service: Service,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, tls, service })
    }

    /// The address bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready, then finishes what it has taken: no new connections, GOAWAY or
    /// `Connection: close` on the open ones, requests under way are answered up to
    /// [`super::Limits::drain`]. Returns when every connection has ended and every handler is done, at
    /// the latest a second after that.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { listener, tls, service } = self;
        let limits = service.limits.clone();
        let (running, mut all_done) = mpsc::channel(1);
        let (phase, observed) = watch::channel(Phase::Open);
        let edge = Arc::new(Edge {
            admission: Admission::new(&limits),
            clock: tls.trust().clock().clone(),
            service,
            running: running.clone(),
        });
        let doors = Doors::new(&limits);
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(left_out) = burst("accept", error.kind(), Instant::now().into_std())
                    {
                        let kind = error.kind();
                        tracing::warn!(%kind, left_out, "a connection could not be accepted");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            metrics::counter!(metric::HTTP_CONNECTIONS).increment(1);
            let door = match doors.enter(address, Instant::now()) {
                Ok(door) => door,
                Err(closed) => {
                    let rule = closed.label();
                    metrics::counter!(metric::HTTP_CONNECTIONS_REFUSED, "rule" => rule)
                        .increment(1);
                    if let Some(left_out) = burst(rule, (), Instant::now().into_std()) {
                        tracing::warn!(rule, left_out, "connection closed before its handshake");
                    }
                    continue;
                }
            };
            // Small answers must not wait for the peer's acknowledgement of the one before.
            let _ = socket.set_nodelay(true);
            let (tls, edge, observed) = (tls.clone(), edge.clone(), observed.clone());
            let running = running.clone();
            tokio::spawn(async move {
                let _held = running;
                connection::serve(socket, door, tls, edge, observed).await;
            });
        }
        drop(listener);
        phase.send_replace(Phase::WindingDown);
        drop((running, edge));
        // Ends when the last holder of `running` is gone: nothing is ever sent. Connections keep to the
        // deadline by themselves; a handler that does not is left behind.
        let _ = tokio::time::timeout(limits.drain + LAST, all_done.recv()).await;
    }
}
