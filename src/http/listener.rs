//! The listening socket: accepts, counts, and winds down.

use crate::telemetry::metric;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use super::admission::{Addresses, Admission};
use super::connection;
use super::exchange::{Edge, Phase, Service};
use super::tls::ServerTls;

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
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let addresses = Arc::new(Addresses::default());
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = async {
                    let place = places.clone().acquire_owned().await.ok();
                    (place, listener.accept().await)
                } => accepted,
            };
            let (place, (socket, address)) = match accepted {
                (place, Ok(accepted)) => (place, accepted),
                (_, Err(error)) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            metrics::counter!(metric::HTTP_CONNECTIONS).increment(1);
            let most = limits.connections_per_address;
            let Some(address_place) = addresses.enter(address.ip(), most) else {
                metrics::counter!(metric::HTTP_CONNECTIONS_REFUSED).increment(1);
                continue;
            };
            // Small answers must not wait for the peer's acknowledgement of the one before.
            let _ = socket.set_nodelay(true);
            let (tls, edge, observed) = (tls.clone(), edge.clone(), observed.clone());
            let running = running.clone();
            tokio::spawn(async move {
                let _held = (place, address_place, running, Open::new());
                connection::serve(socket, address, tls, edge, observed).await;
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

/// Counts open connections.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!(metric::HTTP_CONNECTIONS_OPEN).increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(metric::HTTP_CONNECTIONS_OPEN).decrement(1);
    }
}
