//! The head of a request as both versions of HTTP give it, and the checks that both share.

use ::http::Method;
use ::http::header::{CONTENT_ENCODING, EXPECT, HeaderMap};

use super::message::Handler;
use super::refusal::{EdgeRefusal, rules};

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    /// The length of the body, if declared.
    pub(super) length: Option<u64>,
}

/// Splits a request target into path and query. Only a plain path is taken: two spellings of one path
/// must not exist, or a rule for the one would not hold for the other.
pub(super) fn target(text: &str, longest: usize) -> Result<(String, Option<String>), EdgeRefusal> {
    if text.len() > longest {
        return Err(EdgeRefusal::PathTooLong);
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (text, None),
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
    let segment = |s: &str| !matches!(s, "." | "..") && s.bytes().all(plain);
    let segments = path.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty() || rest.split('/').all(|s| !s.is_empty() && segment(s))
    });
    let query_fits = query.as_ref().is_none_or(|q| q.bytes().all(|c| c.is_ascii_graphic()));
    if segments && query_fits {
        Ok((path.to_owned(), query))
    } else {
        Err(EdgeRefusal::Malformed(rules::TARGET))
    }
}

/// Whether `text` can be the value of `Host` or `:authority`: host and port, no user information.
pub(super) fn is_authority(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b':' | b'[' | b']');
    (1..=261).contains(&text.len()) && text.bytes().all(plain)
}

impl Head {
    /// The most bytes of body that may follow, or why this request is refused before any is read.
    pub(super) fn body_limit(&self, handler: &dyn Handler) -> Result<usize, EdgeRefusal> {
        let Some(limit) = handler.body_limit(&self.method, &self.path) else {
            return Err(match handler.methods(&self.path) {
                "" => EdgeRefusal::NoSuchPath,
                methods => EdgeRefusal::MethodNotAllowed(methods),
            });
        };
        if self.query.is_some() && !handler.takes_query(&self.method, &self.path) {
            return Err(EdgeRefusal::Malformed(rules::QUERY));
        }
        self.fits(limit)?;
        Ok(limit)
    }

    /// The checks that need no handler.
    pub(super) fn fits(&self, limit: usize) -> Result<(), EdgeRefusal> {
        if self.headers.contains_key(EXPECT) {
            return Err(EdgeRefusal::Expectation);
        }
        if self.headers.get_all(CONTENT_ENCODING).iter().any(|v| v != "identity") {
            return Err(EdgeRefusal::Compressed);
        }
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(EdgeRefusal::BodyTooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken() {
        assert_eq!(target("/", 99), Ok(("/".into(), None)));
        let taken = target("/v1/referrals/a-b_c.d~e?x=1", 99);
        assert_eq!(taken, Ok(("/v1/referrals/a-b_c.d~e".into(), Some("x=1".into()))));
        for bad in [
            "",
            "*",
            "v1",
            "//",
            "/v1/",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a%2e",
            "/a b",
            "/a\\b",
            "http://h/a",
            "/a;b",
            "/a#b",
            "/\u{e9}",
            "/a?\u{7f}",
            "h:443",
        ] {
            assert_eq!(target(bad, 99), Err(EdgeRefusal::Malformed(rules::TARGET)), "{bad}");
        }
        assert_eq!(target("/aaaa", 4), Err(EdgeRefusal::PathTooLong));
    }

    #[test]
    fn authorities_have_no_user_and_no_space() {
        for good in ["gateway.example", "gateway.example:8443", "127.0.0.1:1", "[::1]:443"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "a b", "user@host", "host/path", "h,h", "\u{e9}"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
