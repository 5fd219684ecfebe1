//! Decodes the `chunked` transfer coding (RFC 9112 7.1): no extensions, no trailers.

use bytes::{Buf, BytesMut};

use crate::http::refusal::{EdgeRefusal, rules};

/// Size line: at most 8 hexadecimal digits.
const LONGEST_SIZE: usize = 8;

/// Where in the coding the next byte stands.
#[derive(Debug, Default)]
pub(in crate::http) struct Chunks {
    state: State,
    body: BytesMut,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Size,
    Data(usize),
    DataEnd,
    End,
}

impl Chunks {
    /// Takes what it can from `raw`; the whole body once the last chunk is there. Refuses more than
    /// `limit` bytes of body.
    pub(in crate::http) fn take(
        &mut self,
        raw: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<BytesMut>, EdgeRefusal> {
        let broken = EdgeRefusal::Malformed(rules::FRAMING);
        loop {
            match self.state {
                State::Size => {
                    let Some(size) = size_line(raw).ok_or(broken)? else { return Ok(None) };
                    if size > limit - self.body.len() {
                        return Err(EdgeRefusal::BodyTooLarge);
                    }
                    self.state = if size == 0 { State::End } else { State::Data(size) };
                }
                State::Data(0) => self.state = State::DataEnd,
                State::Data(_) if raw.is_empty() => return Ok(None),
                State::Data(left) => {
                    let now = left.min(raw.len());
                    self.body.extend_from_slice(&raw[..now]);
                    raw.advance(now);
                    self.state = State::Data(left - now);
                }
                State::DataEnd | State::End => {
                    match raw.get(..2) {
                        Some(b"\r\n") => raw.advance(2),
                        Some(_) if matches!(self.state, State::End) => {
                            return Err(EdgeRefusal::Malformed(rules::TRAILERS));
                        }
                        Some(_) => return Err(broken),
                        None => return Ok(None),
                    }
                    if matches!(self.state, State::End) {
                        return Ok(Some(std::mem::take(&mut self.body)));
                    }
                    self.state = State::Size;
                }
            }
        }
    }

    /// Bytes of body so far.
    pub(in crate::http) fn len(&self) -> usize {
        self.body.len()
    }
}

/// The outer `None` is a broken line, the inner one an unfinished line.
fn size_line(raw: &mut BytesMut) -> Option<Option<usize>> {
    let digits = raw.iter().take(LONGEST_SIZE + 1).take_while(|c| c.is_ascii_hexdigit()).count();
    if digits > LONGEST_SIZE {
        return None;
    }
    match (digits, raw.get(digits..)?) {
        (_, [] | [b'\r']) if digits > 0 || raw.is_empty() => Some(None),
        (1.., [b'\r', b'\n', ..]) => {
            let text = std::str::from_utf8(&raw[..digits]).ok()?;
            let size = usize::from_str_radix(text, 16).ok()?;
            raw.advance(digits + 2);
            Some(Some(size))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(raw: &str, step: usize) -> Result<Option<(String, String)>, EdgeRefusal> {
        let (mut chunks, mut buffer) = (Chunks::default(), BytesMut::new());
        for part in raw.as_bytes().chunks(step) {
            buffer.extend_from_slice(part);
            if let Some(body) = chunks.take(&mut buffer, 20)? {
                let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
                return Ok(Some((text(&body), text(&buffer))));
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies_are_put_together_however_they_arrive() {
        let raw = "5\r\nhello\r\n00A\r\n, world!!!\r\n0\r\n\r\n";
        for step in 1..raw.len() {
            assert_eq!(decode(raw, step), Ok(Some(("hello, world!!!".into(), String::new()))));
        }
        let (body, rest) = decode(&format!("{raw}GET"), 99).unwrap().unwrap();
        assert_eq!((body.as_str(), rest.as_str()), ("hello, world!!!", "GET"));
        assert_eq!(decode("5\r\nhell", 99), Ok(None));
    }

    #[test]
    fn sloppy_chunks_are_refused() {
        let framing = EdgeRefusal::Malformed(rules::FRAMING);
        for (raw, refusal) in [
            ("5;ext=1\r\nhello\r\n0\r\n\r\n", framing),
            ("5\nhello\r\n0\r\n\r\n", framing),
            ("5 \r\nhello\r\n0\r\n\r\n", framing),
            (" 5\r\nhello\r\n0\r\n\r\n", framing),
            ("+5\r\nhello\r\n0\r\n\r\n", framing),
            ("0x5\r\nhello\r\n0\r\n\r\n", framing),
            ("\r\nhello\r\n0\r\n\r\n", framing),
            ("5\r\nhelloo\r\n0\r\n\r\n", framing),
            ("5\r\nhello\n0\r\n\r\n", framing),
            ("000000005\r\nhello\r\n0\r\n\r\n", framing),
            ("0\r\nX: y\r\n\r\n", EdgeRefusal::Malformed(rules::TRAILERS)),
            ("15\r\n", EdgeRefusal::BodyTooLarge),
            ("ffffffff\r\n", EdgeRefusal::BodyTooLarge),
            ("A\r\n0123456789\r\nB\r\n", EdgeRefusal::BodyTooLarge),
        ] {
            for step in [1, 99] {
                assert_eq!(decode(raw, step), Err(refusal), "{raw:?}");
            }
        }
    }
}
