//! HTTP/1.1, the listening side, for bodies that are read whole.
//!
//! A parser of our own, because the usual ones mend what an exchange must refuse: hyper drops
//! `Content-Length` beside `Transfer-Encoding` before anybody can see it, takes equal lengths stated
//! twice and bare line feeds, and answers what it can't parse without a body. Whoever stands in front
//! of us may mend it differently. What this accepts is a small part of RFC 9112: see `head` and
//! `chunks`, which are pure functions of bytes.

mod chunks;
mod head;
mod wire;

use ::http::Method;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

#[cfg(fuzzing)]
pub(super) use chunks::Chunks;
#[cfg(not(fuzzing))]
use head::Framing;
use head::Parsed;
pub(super) use head::content_length;
#[cfg(fuzzing)]
pub(super) use head::{Framing, parse};
pub(super) use wire::body_deadline;
use wire::{Broken, Wire, Written};

use super::Response;
use super::exchange::{Phase, Serve, reached};
use super::refusal::{EdgeRefusal, rules};

/// A refused body of this length is read to its end, so that the connection can be kept.
const DISCARDED: u64 = 64 * 1_024;

/// Serves requests one after the other until the connection ends.
pub(super) async fn serve<IO, S>(io: IO, service: &S, mut phase: watch::Receiver<Phase>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    S: Serve,
{
    let mut wire = Wire::new(io, service.limits());
    for served in 1.. {
        let head = tokio::select! {
            biased;
            () = reached(&mut phase, Phase::WindingDown) => break,
            head = wire.read_head() => head,
        };
        let parsed = match head {
            Ok(Some(parsed)) => parsed,
            Ok(None) | Err(Broken::Gone) => break,
            Err(Broken::Refused(refusal)) => {
                wire.write(&service.refuse(refusal), true, false, service.clock()).await;
                wire.linger().await;
                return;
            }
        };
        let only_head = parsed.head.method == Method::HEAD;
        let last = !parsed.keep_alive || served >= service.limits().requests_per_connection;
        let mut ended = phase.clone();
        let outcome = tokio::select! {
            biased;
            () = reached(&mut ended, Phase::Ended) => break,
            outcome = one(&mut wire, service, parsed) => outcome,
        };
        let (response, held, end) = match outcome {
            Ok(Answered { response, held, read_whole }) => (response, held, !read_whole),
            Err(Broken::Refused(refusal)) => (service.refuse(refusal), None, true),
            Err(Broken::Gone) => break,
        };
        let close = end || last || *phase.borrow() > Phase::Open;
        match wire.write(&response, close, only_head, service.clock()).await {
            Written::Whole => drop(held),
            Written::Gone => break,
            Written::TooSlow => {
                service.ended(rules::NOT_READ);
                return;
            }
        }
        if end {
            wire.linger().await;
        }
        if close {
            break;
        }
    }
    wire.close().await;
}

/// An answer, what it holds until it is written, and whether the request's body was read to its end.
struct Answered<H> {
    response: Response,
    held: Option<H>,
    read_whole: bool,
}

async fn one<IO, S>(
    wire: &mut Wire<'_, IO>,
    service: &S,
    parsed: Parsed,
) -> Result<Answered<S::Admitted>, Broken>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    S: Serve,
{
    let Parsed { head, framing, .. } = parsed;
    match service.admit(&head) {
        Ok((limit, admitted)) => {
            let body = match framing {
                Framing::Length(0) => Bytes::new(),
                framing => wire.read_body(framing, limit).await?,
            };
            let answer = service.answer(head, body, admitted).await;
            let (response, held) = answer.ok_or(Broken::Gone)?;
            Ok(Answered { response, held, read_whole: true })
        }
        // These hold for the whole connection: nothing that follows on it would be served.
        Err(refusal @ (EdgeRefusal::PeerNoLongerTrusted | EdgeRefusal::TooManyConnections(_))) => {
            Err(Broken::Refused(refusal))
        }
        Err(refusal) => {
            let read_whole = match framing {
                Framing::Length(0) => true,
                Framing::Length(length @ ..=DISCARDED) => {
                    wire.read_body(Framing::Length(length), length as usize).await?;
                    true
                }
                _ => false,
            };
            Ok(Answered { response: service.refuse(refusal), held: None, read_whole })
        }
    }
}
