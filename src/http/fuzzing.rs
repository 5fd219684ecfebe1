//! What a fuzzer reaches of the parsers that meet a stranger's bytes. Compiled under `cfg(fuzzing)`
//! alone.

use bytes::BytesMut;

use super::h1::{Chunks, Framing, parse};
use super::limits::Limits;

/// A request's head as one reading of it.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadHead {
    /// Path as sent.
    pub path: String,
    /// Number of header fields.
    pub fields: usize,
    /// Length of the body; `None` for a chunked one.
    pub length: Option<u64>,
}

/// Reads the head of an HTTP/1.1 request, without the empty line behind it.
pub fn http1_head(raw: &[u8]) -> Option<ReadHead> {
    let parsed = parse(raw, &Limits::default()).ok()?;
    let chunked = parsed.framing == Framing::Chunked;
    assert_eq!(chunked, parsed.head.length.is_none(), "one framing");
    assert_eq!(parsed.head.headers.get_all("host").iter().count(), 1, "one host");
    let head = parsed.head;
    Some(ReadHead { path: head.path, fields: head.headers.len(), length: head.length })
}

/// Decodes a chunked body that arrives in pieces of `step` bytes: `Err` refused, `None` unfinished,
/// else the body and how many bytes behind it were not touched.
#[allow(clippy::result_unit_err, reason = "a fuzzer asks whether, not why")]
pub fn chunked(raw: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    const LIMIT: usize = 4_096;
    let (mut chunks, mut waiting) = (Chunks::default(), BytesMut::new());
    let mut arrived = 0;
    for piece in raw.chunks(step.max(1)) {
        waiting.extend_from_slice(piece);
        arrived += piece.len();
        if let Some(body) = chunks.take(&mut waiting, LIMIT).map_err(drop)? {
            assert!(body.len() <= LIMIT, "no more than was allowed");
            return Ok(Some((body.to_vec(), raw.len() - arrived + waiting.len())));
        }
        assert!(chunks.len() <= LIMIT, "no more than was allowed");
    }
    Ok(None)
}
