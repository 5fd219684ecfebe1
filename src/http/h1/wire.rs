//! Reads and writes one HTTP/1.1 connection, each step within its time.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use ::http::StatusCode;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::chunks::Chunks;
use super::head::{Framing, Parsed, parse};
use crate::domain::time::Timestamp;
use crate::effects::Clock;
use crate::http::limits::Limits;
use crate::http::message::Response;
use crate::http::refusal::EdgeRefusal;

/// Read at a time while the length is unknown.
const STEP: usize = 4_096;
/// A peer that goes on sending after a refusal is listened to for so many bytes.
const LINGER_BYTES: usize = 16 * 1_024 * 1_024;

/// Why reading ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// To be answered, then closed.
    Refused(EdgeRefusal),
    /// Nobody is there to answer.
    Gone,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The peer, or the kernel on its behalf, has all of it.
    Whole,
    /// Nobody is there to read it.
    Gone,
    /// It was not read in time.
    TooSlow,
}

/// A connection and what was read ahead on it.
pub(super) struct Wire<'a, IO> {
    io: IO,
    ahead: BytesMut,
    limits: &'a Limits,
}

impl<'a, IO: AsyncRead + AsyncWrite + Unpin> Wire<'a, IO> {
    pub(super) fn new(io: IO, limits: &'a Limits) -> Self {
        Self { io, ahead: BytesMut::new(), limits }
    }

    /// The next head; `None` if the peer closed, or asked nothing for too long.
    pub(super) async fn read_head(&mut self) -> Result<Option<Parsed>, Broken> {
        if self.ahead.is_empty() {
            // A used buffer would hold the memory of the last body while nothing is asked.
            self.ahead = BytesMut::new();
            let waited = timeout(self.limits.idle, self.read(STEP)).await;
            if !matches!(waited, Ok(Ok(()))) {
                return Ok(None);
            }
        }
        let deadline = Instant::now() + self.limits.head;
        let mut searched = 0;
        loop {
            let end = end_of_head(&self.ahead, searched);
            if end.unwrap_or(self.ahead.len()) > self.limits.head_bytes {
                return Err(Broken::Refused(EdgeRefusal::HeadTooLarge));
            }
            if let Some(length) = end {
                let raw = self.ahead.split_to(length);
                let parsed = parse(&raw[..length - 4], self.limits);
                return parsed.map(Some).map_err(Broken::Refused);
            }
            searched = self.ahead.len().saturating_sub(3);
            timeout_at(deadline, self.read(STEP))
                .await
                .map_err(|_| Broken::Refused(EdgeRefusal::TooSlow))??;
        }
    }

    /// The body that follows, of at most `limit` bytes.
    pub(super) async fn read_body(
        &mut self,
        framing: Framing,
        limit: usize,
    ) -> Result<Bytes, Broken> {
        let start = Instant::now();
        match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= limit);
                let length = length.ok_or(Broken::Refused(EdgeRefusal::BodyTooLarge))?;
                while self.ahead.len() < length {
                    let missing = length - self.ahead.len();
                    self.read_on(start, self.ahead.len(), missing).await?;
                }
                Ok(self.ahead.split_to(length).freeze())
            }
            Framing::Chunked => {
                let mut chunks = Chunks::default();
                loop {
                    let taken = chunks.take(&mut self.ahead, limit).map_err(Broken::Refused)?;
                    if let Some(body) = taken {
                        return Ok(body.freeze());
                    }
                    self.read_on(start, chunks.len(), STEP).await?;
                }
            }
        }
    }

    /// Reads more of a body that began at `start` and has `so_far` bytes.
    async fn read_on(&mut self, start: Instant, so_far: usize, room: usize) -> Result<(), Broken> {
        let deadline = body_deadline(self.limits, start, so_far);
        timeout_at(deadline, self.read(room))
            .await
            .map_err(|_| Broken::Refused(EdgeRefusal::TooSlow))?
    }

    async fn read(&mut self, room: usize) -> Result<(), Broken> {
        self.ahead.reserve(room);
        match self.io.read_buf(&mut self.ahead).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Broken::Gone),
        }
    }

    /// Writes an answer.
    pub(super) async fn write(
        &mut self,
        response: &Response,
        close: bool,
        only_head: bool,
        clock: &dyn Clock,
    ) -> Written {
        let raw = render(response, close, only_head, clock.now());
        let written = async {
            self.io.write_all(&raw).await?;
            self.io.flush().await
        };
        match timeout(self.limits.write, written).await {
            Ok(Ok(())) => Written::Whole,
            Ok(Err::<_, io::Error>(_)) => Written::Gone,
            Err(_) => Written::TooSlow,
        }
    }

    /// Ends our side, then discards what still comes: closing over unread bytes would reset the
    /// connection, and the peer could lose the answer.
    pub(super) async fn linger(&mut self) {
        let patience = self.limits.linger;
        let listen = async {
            let _ = self.io.shutdown().await;
            let mut left = LINGER_BYTES;
            loop {
                self.ahead.clear();
                if left == 0 || self.read(STEP).await.is_err() {
                    return;
                }
                left = left.saturating_sub(self.ahead.len());
            }
        };
        let _ = timeout(patience, listen).await;
    }

    /// Ends our side.
    pub(super) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.io.shutdown()).await;
    }
}

/// Until when the next bytes of a body must come: within its whole time, and so that its rate does
/// not fall below the least.
pub(in crate::http) fn body_deadline(limits: &Limits, start: Instant, so_far: usize) -> Instant {
    let rate = f64::from(limits.body_rate.max(1));
    let paced = limits.body_grace + Duration::from_secs_f64(so_far as f64 / rate);
    start + limits.body.min(paced)
}

/// The length of a head with the empty line that ends it.
fn end_of_head(raw: &[u8], searched: usize) -> Option<usize> {
    // A byte that does not belong to the mark rules out the four places that would reach it, so that
    // long fields are passed in steps.
    let mut last = searched + 3;
    loop {
        last += match raw.get(last)? {
            b'\n' if raw[..=last].ends_with(b"\r\n\r\n") => return Some(last + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
}

fn render(response: &Response, close: bool, only_head: bool, now: Timestamp) -> Vec<u8> {
    let mut head = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(head, "HTTP/1.1 {}\r\ndate: {}\r\n", response.status, http_date(now));
    let bodiless = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless {
        let _ = write!(head, "content-length: {}\r\n", response.body.len());
    }
    if let Some(content_type) = response.content_type {
        let _ = write!(head, "content-type: {content_type}\r\n");
    }
    if close {
        head.push_str("connection: close\r\n");
    }
    let mut raw = head.into_bytes();
    raw.reserve(512 + response.body.len());
    for (name, value) in &response.headers {
        raw.extend_from_slice(name.as_str().as_bytes());
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value.as_bytes());
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    if !only_head && !bodiless {
        raw.extend_from_slice(&response.body);
    }
    raw
}

/// IMF-fixdate (RFC 9110 5.6.7).
fn http_date(now: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, second) = (now.utc_date(), now.seconds().rem_euclid(86_400));
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS[usize::from(date.weekday().number() - 1) % 7],
        date.day(),
        MONTHS[usize::from(date.month() - 1) % 12],
        date.year(),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_9110_has_them() {
        let example: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(http_date(example), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn an_answer_states_its_length_once() {
        let response = Response::new(StatusCode::CREATED, "application/json", "{}");
        let raw = render(&response, true, false, Timestamp::from_millis(0));
        assert_eq!(
            String::from_utf8(raw).unwrap(),
            "HTTP/1.1 201 Created\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 2\r\n\
             content-type: application/json\r\nconnection: close\r\n\r\n{}"
        );
    }

    #[test]
    fn a_body_must_keep_up_its_rate() {
        let limits = Limits {
            body: Duration::from_secs(60),
            body_rate: 1_000,
            body_grace: Duration::from_secs(5),
            ..Limits::default()
        };
        let start = Instant::now();
        assert_eq!(body_deadline(&limits, start, 0), start + Duration::from_secs(5));
        assert_eq!(body_deadline(&limits, start, 2_000), start + Duration::from_secs(7));
        assert_eq!(body_deadline(&limits, start, 1_000_000), start + Duration::from_secs(60));
    }

    #[test]
    fn the_end_of_a_head_is_found_across_reads() {
        assert_eq!(end_of_head(b"a\r\n\r\nb", 0), Some(5));
        assert_eq!(end_of_head(b"a\r\n\r\nb", 1), Some(5));
        assert_eq!(end_of_head(b"a\r\n\r", 0), None);
        assert_eq!(end_of_head(b"\r\n\r\n", 0), Some(4));
        assert_eq!(end_of_head(b"", 0), None);
        assert_eq!(end_of_head(b"a\r\n\r\n", 2), None);
        // Wherever it stands among bytes that are nearly it.
        for filler in ["a", "\r", "\n", "\r\n", "\n\r", "\r\r\n", "\n\n\r"] {
            for times in 0..9 {
                let raw = format!("{}x\r\n\r\n{}", filler.repeat(times), "rest");
                let plain = raw.as_bytes().windows(4).position(|four| four == b"\r\n\r\n");
                assert_eq!(end_of_head(raw.as_bytes(), 0), plain.map(|at| at + 4), "{raw:?}");
            }
        }
    }
}
