//! The life of one connection: handshake, requests, and the reasons to end.

use crate::telemetry::metric;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::exchange::{Conversation, Edge, Phase, reached};
use super::message::{Alpn, Peer};
use super::tls::{Reason, ServerTls, rules};
use super::{h1, h2};

/// Serves one accepted socket until it ends, for whatever reason.
pub(super) async fn serve(
    socket: TcpStream,
    address: SocketAddr,
    tls: Arc<ServerTls>,
    edge: Arc<Edge>,
    mut listener: watch::Receiver<Phase>,
) {
    // Watched from before the handshake, so that no publication falls between check and watch.
    let mut trust = tls.trust().changes();
    let handshake = timeout(edge.service.limits.handshake, tls.accept(socket, address));
    let accepted = tokio::select! {
        biased;
        () = reached(&mut listener, Phase::WindingDown) => return,
        accepted = handshake => accepted,
    };
    let (stream, peer) = match accepted.unwrap_or(Err(Reason { rule: rules::TIMEOUT, x5t: None })) {
        Ok(accepted) => accepted,
        Err(reason) => return log_refused(&reason),
    };
    metrics::counter!(metric::HANDSHAKES, "key_exchange" => peer.key_exchange,
        "resumed" => if peer.resumed { "yes" } else { "no" })
    .increment(1);
    let (peer, limits) = (Arc::new(peer), edge.service.limits.clone());
    let (phase, observed) = watch::channel(Phase::Open);
    let conversation = Conversation { edge, peer: peer.clone(), phase: observed.clone() };
    let work = async {
        match peer.alpn {
            Alpn::H2 => h2::serve(stream, Arc::new(conversation), observed).await,
            Alpn::Http11 => h1::serve(stream, &conversation, observed).await,
        }
    };
    tokio::pin!(work);
    let mut deadline = Instant::now() + limits.age;
    loop {
        tokio::select! {
            () = &mut work => return,
            changed = trust.changed(), if *phase.borrow() < Phase::Ended => {
                if changed.is_err() || !still_trusted(&tls, &peer) {
                    phase.send_replace(Phase::Ended);
                    deadline = Instant::now() + limits.linger;
                }
            }
            () = reached(&mut listener, Phase::WindingDown), if *phase.borrow() == Phase::Open => {
                phase.send_replace(Phase::WindingDown);
                deadline = Instant::now() + limits.drain;
            }
            () = sleep_until(deadline) => {
                if *phase.borrow() != Phase::Open {
                    return;
                }
                phase.send_replace(Phase::WindingDown);
                deadline = Instant::now() + limits.drain;
            }
        }
    }
}

fn still_trusted(tls: &ServerTls, peer: &Peer) -> bool {
    let checked = tls.check(&peer.certificates);
    if let Err(reason) = &checked {
        let (rule, x5t) = (reason.rule.id, peer.chain.x5t());
        tracing::warn!(rule, %x5t, "connection ended: its certificate is no longer accepted");
        metrics::counter!(metric::HTTP_CONNECTIONS_ENDED, "rule" => rule).increment(1);
    }
    checked.is_ok()
}

fn log_refused(reason: &Reason) {
    let rule = reason.rule.id;
    metrics::counter!(metric::HANDSHAKES_REFUSED, "rule" => rule).increment(1);
    match reason.x5t {
        Some(x5t) => tracing::warn!(rule, %x5t, "handshake refused"),
        None => tracing::warn!(rule, "handshake refused"),
    }
}
