//! Keeps the reason for which TLS ended a connection. In TLS 1.3 a server refuses a client's
//! certificate after the client has finished its handshake, so the refusal comes as an error of the
//! first read, which HTTP then reports as a lost connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ClientFault;
use crate::http::tls::{Reason, rules};

/// What was seen on a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    reason: OnceLock<Reason>,
    answered: AtomicBool,
}

impl Seen {
    /// The other side has answered a request, so it has accepted our certificate.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// What a lost connection means for a request on it.
    pub(super) fn fault(&self) -> ClientFault {
        match self.reason.get() {
            Some(reason)
                if reason.rule == rules::REFUSED_BY_PEER
                    && !self.answered.load(Ordering::Relaxed) =>
            {
                ClientFault::Refused(*reason)
            }
            _ => ClientFault::OutcomeUnknown,
        }
    }
}

/// A stream whose errors are seen.
pub(super) struct Watched<IO> {
    pub(super) io: IO,
    pub(super) seen: Arc<Seen>,
}

impl<IO> Watched<IO> {
    fn see<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(reason) = Reason::find(error)
        {
            let _ = self.seen.reason.set(reason);
        }
        polled
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.see(polled)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.see(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.see(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
