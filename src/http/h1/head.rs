//! Parses the head of an HTTP/1.1 request (RFC 9112), and takes one reading of it only.

use ::http::Method;
use ::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use crate::domain::refusal::Rule;
use crate::http::head::{Head, is_authority, target};
use crate::http::limits::Limits;
use crate::http::refusal::{EdgeRefusal, rules};

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// A parsed head with what concerns the connection only.
#[derive(Debug)]
pub(in crate::http) struct Parsed {
    pub(in crate::http) head: Head,
    pub(in crate::http) framing: Framing,
    pub(in crate::http) keep_alive: bool,
}

const fn malformed(rule: Rule) -> EdgeRefusal {
    EdgeRefusal::Malformed(rule)
}

/// Parses the lines of a head, without the empty line that ends it. Stricter than RFC 9112 where that
/// leaves a choice: no bare CR or LF, no folded lines, no bytes outside printable ASCII in values, no
/// repeated length even if equal, no other transfer coding than `chunked`.
pub(in crate::http) fn parse(raw: &[u8], limits: &Limits) -> Result<Parsed, EdgeRefusal> {
    let text = std::str::from_utf8(raw).map_err(|_| malformed(rules::SYNTAX))?;
    let mut lines = lines(text);
    let (method, path, query) = request_line(lines.next().unwrap_or_default(), limits)?;
    let headers = fields(lines, limits)?;

    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|host| is_authority(host));
    if host.is_none() || hosts.next().is_some() {
        return Err(malformed(rules::HOST));
    }
    if headers.contains_key(TRAILER) {
        return Err(malformed(rules::TRAILERS));
    }
    let connection = |token: &str| {
        let values = headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    };
    if headers.contains_key(UPGRADE) || connection("upgrade") {
        return Err(malformed(rules::UPGRADE));
    }
    let framing = framing(&headers)?;
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    let keep_alive = !connection("close");
    Ok(Parsed { head: Head { method, path, query, headers, length }, framing, keep_alive })
}

/// As `split("\r\n")`, in long steps. A line feed without its CR stays in its line, where no name, no value and
/// no version may have one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.find('\n');
        rest = end.map(|end| &text[end + 1..]);
        let line = &text[..end.map_or(text.len(), |end| end + 1)];
        Some(line.strip_suffix("\r\n").unwrap_or(line))
    })
}

fn request_line(
    line: &str,
    limits: &Limits,
) -> Result<(Method, String, Option<String>), EdgeRefusal> {
    let mut parts = line.split(' ');
    let (Some(method), Some(wanted), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed(rules::SYNTAX));
    };
    if !method.bytes().all(|c| c.is_ascii_uppercase()) || method.is_empty() || method.len() > 16 {
        return Err(malformed(rules::SYNTAX));
    }
    if version != "HTTP/1.1" {
        let other = version.starts_with("HTTP/") && !version.ends_with('\n');
        let rule = if other { rules::VERSION } else { rules::SYNTAX };
        return Err(malformed(rule));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| malformed(rules::SYNTAX))?;
    let (path, query) = target(wanted, limits.path_bytes)?;
    Ok((method, path, query))
}

fn fields<'a>(
    lines: impl Iterator<Item = &'a str>,
    limits: &Limits,
) -> Result<HeaderMap, EdgeRefusal> {
    let mut headers = HeaderMap::with_capacity(16);
    for line in lines {
        if headers.len() >= limits.fields {
            return Err(EdgeRefusal::HeadTooLarge);
        }
        // A line that starts with a space would have an empty or spaced name: folded lines end here.
        let (name, value) = line.split_once(':').ok_or(malformed(rules::SYNTAX))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(rules::SYNTAX))?;
        let value = value.trim_matches([' ', '\t']);
        // All of them, whatever was found: so the compiler looks at many at once.
        let visible = |c: u8| c == b'\t' || (b' '..=b'~').contains(&c);
        if !value.bytes().fold(true, |all, c| all & visible(c)) {
            return Err(malformed(rules::SYNTAX));
        }
        let value = HeaderValue::from_str(value).map_err(|_| malformed(rules::SYNTAX))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn framing(headers: &HeaderMap) -> Result<Framing, EdgeRefusal> {
    let ambiguous = malformed(rules::FRAMING);
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(coding), None) if codings.next().is_none() => {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if chunked { Ok(Framing::Chunked) } else { Err(ambiguous) }
        }
        (None, Some(length)) if lengths.next().is_none() => {
            content_length(length.as_bytes()).map(Framing::Length).ok_or(ambiguous)
        }
        _ => Err(ambiguous),
    }
}

/// Digits only, at most 15 of them: no sign, no list, no overflow.
pub(in crate::http) fn content_length(value: &[u8]) -> Option<u64> {
    let digits = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |n, c| n * 10 + u64::from(c - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(raw: &str) -> Result<Framing, EdgeRefusal> {
        parse(raw.as_bytes(), &Limits::default()).map(|parsed| parsed.framing)
    }

    #[test]
    fn plain_requests_are_understood() {
        let raw = b"POST /v1/a?b HTTP/1.1\r\nhOst: h:1\r\nX:  y z \t\r\ncontent-length: 12\r\n\
                    Connection: foo, Close";
        let parsed = parse(raw, &Limits::default()).unwrap();
        assert_eq!(parsed.head.method, Method::POST);
        assert_eq!((parsed.head.path.as_str(), parsed.head.query.as_deref()), ("/v1/a", Some("b")));
        assert_eq!(parsed.head.headers["x"], "y z");
        assert_eq!(parsed.framing, Framing::Length(12));
        assert!(!parsed.keep_alive);
        assert_eq!(
            outcome("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked"),
            Ok(Framing::Chunked)
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let post = "POST / HTTP/1.1\r\nHost: h\r\n";
        for (rest, rule) in [
            ("Content-Length: 1\r\nContent-Length: 1", rules::FRAMING),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", rules::FRAMING),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1", rules::FRAMING),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", rules::FRAMING),
            ("Transfer-Encoding: gzip, chunked", rules::FRAMING),
            ("Transfer-Encoding: identity", rules::FRAMING),
            ("Transfer-Encoding:\x0bchunked", rules::SYNTAX),
            ("Content-Length: +1", rules::FRAMING),
            ("Content-Length: 1, 1", rules::FRAMING),
            ("Content-Length: 0x1", rules::FRAMING),
            ("Content-Length:", rules::FRAMING),
            ("Content-Length: 9999999999999999", rules::FRAMING),
            ("Content-Length : 1", rules::SYNTAX),
            (" folded: 1", rules::SYNTAX),
            ("A: b\r\n\tfolded", rules::SYNTAX),
            ("A: b\nContent-Length: 1", rules::SYNTAX),
            ("A: b\rContent-Length: 1", rules::SYNTAX),
            ("A: \0", rules::SYNTAX),
            ("A: \u{e9}", rules::SYNTAX),
            (": b", rules::SYNTAX),
            ("no colon", rules::SYNTAX),
            ("", rules::SYNTAX),
            ("Host: h", rules::HOST),
            ("Trailer: X", rules::TRAILERS),
            ("Upgrade: h2c", rules::UPGRADE),
            ("Connection: Upgrade", rules::UPGRADE),
        ] {
            assert_eq!(outcome(&format!("{post}{rest}")), Err(malformed(rule)), "{rest:?}");
        }
        for (raw, rule) in [
            ("GET / HTTP/1.1", rules::HOST),
            ("GET / HTTP/1.1\r\nHost:", rules::HOST),
            ("GET / HTTP/1.1\r\nHost: a b", rules::HOST),
            ("GET / HTTP/1.0\r\nHost: h", rules::VERSION),
            ("PRI * HTTP/2.0", rules::VERSION),
            ("GET /\r\nHost: h", rules::SYNTAX),
            ("GET  / HTTP/1.1\r\nHost: h", rules::SYNTAX),
            ("GET / HTTP/1.1 \r\nHost: h", rules::SYNTAX),
            ("get / HTTP/1.1\r\nHost: h", rules::SYNTAX),
            ("GET\t/ HTTP/1.1\r\nHost: h", rules::SYNTAX),
            ("GET http://h/ HTTP/1.1\r\nHost: h", rules::TARGET),
            ("CONNECT h:443 HTTP/1.1\r\nHost: h", rules::TARGET),
            ("OPTIONS * HTTP/1.1\r\nHost: h", rules::TARGET),
            ("\r\nGET / HTTP/1.1\r\nHost: h", rules::SYNTAX),
        ] {
            assert_eq!(outcome(raw), Err(malformed(rule)), "{raw:?}");
        }
    }

    #[test]
    fn too_many_fields_are_refused() {
        let mut raw = String::from("GET / HTTP/1.1\r\nHost: h");
        for _ in 0..Limits::default().fields {
            raw.push_str("\r\nA: b");
        }
        assert_eq!(outcome(&raw), Err(EdgeRefusal::HeadTooLarge));
    }
}
