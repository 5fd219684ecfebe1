//! The life of one connection: handshake, requests, and the reasons to end.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::doors::Door;
use super::exchange::{Conversation, Edge, Phase, reached};
use super::message::{Alpn, Peer};
use super::tls::{Reason, ServerTls, rules};
use super::{h1, h2};
use crate::telemetry::{burst, metric};

/// Serves one accepted socket until it ends, for whatever reason.
pub(super) async fn serve(
    socket: TcpStream,
    mut door: Door,
    tls: Arc<ServerTls>,
    edge: Arc<Edge>,
    mut listener: watch::Receiver<Phase>,
) {
    // Watched from before the handshake, so that no publication falls between check and watch.
    let mut trust = tls.trust().changes();
    let handshake = timeout(edge.service.limits.handshake, tls.accept(socket, door.peer()));
    let failed = |rule| Err(Reason { rule, x5t: None });
    let shaking = Open::new(metric::HANDSHAKES_OPEN);
    let accepted = tokio::select! {
        biased;
        () = reached(&mut listener, Phase::WindingDown) => return,
        () = door.displaced() => failed(rules::DISPLACED),
        accepted = handshake => accepted.unwrap_or(failed(rules::TIMEOUT)),
    };
    drop(shaking);
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(reason) => return refused(&reason),
    };
    metrics::counter!(metric::HANDSHAKES, "key_exchange" => peer.key_exchange,
        "resumed" => if peer.resumed { "yes" } else { "no" })
    .increment(1);
    let (peer, limits) = (Arc::new(peer), edge.service.limits.clone());
    let seat = edge.admission.connect(&peer.chain.party().organisation, Instant::now());
    // Whoever has no seat is told why, and keeps its place among the handshakes meanwhile: such
    // connections are as few as those, and give way like them.
    let (_address, mut standing) = match &seat {
        Ok(_) => (Some(door.through()), None),
        Err(_) => (None, Some(door)),
    };
    let _open = Open::new(metric::HTTP_CONNECTIONS_OPEN);
    let given_up = if seat.is_ok() { limits.age } else { limits.linger };
    let (phase, observed) = watch::channel(Phase::Open);
    let conversation = Conversation { edge, peer: peer.clone(), phase: observed.clone(), seat };
    let work = async {
        match peer.alpn {
            Alpn::H2 => h2::serve(stream, Arc::new(conversation), observed).await,
            Alpn::Http11 => h1::serve(stream, &conversation, observed).await,
        }
    };
    tokio::pin!(work);
    let mut deadline = Instant::now() + given_up;
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
            () = displaced(&mut standing) => return,
            () = sleep_until(deadline) => {
                if *phase.borrow() != Phase::Open || standing.is_some() {
                    return;
                }
                phase.send_replace(Phase::WindingDown);
                deadline = Instant::now() + limits.drain;
            }
        }
    }
}

async fn displaced(door: &mut Option<Door>) {
    match door {
        Some(door) => door.displaced().await,
        None => std::future::pending().await,
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

fn refused(reason: &Reason) {
    let rule = reason.rule.id;
    metrics::counter!(metric::HANDSHAKES_REFUSED, "rule" => rule).increment(1);
    let Some(left_out) = burst(rule, reason.x5t, Instant::now().into_std()) else { return };
    match reason.x5t {
        Some(x5t) => tracing::warn!(rule, %x5t, left_out, "handshake refused"),
        None => tracing::warn!(rule, left_out, "handshake refused"),
    }
}

/// Counts what is open.
struct Open(&'static str);

impl Open {
    fn new(what: &'static str) -> Self {
        metrics::gauge!(what).increment(1);
        Self(what)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1);
    }
}
