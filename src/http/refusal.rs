//! What the edge refuses by itself, before a handler is asked.

use ::http::StatusCode;
use ::http::header::{ALLOW, HeaderValue, RETRY_AFTER};

use super::message::Response;
use crate::domain::directory::GENERAL_ADVICE;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::protocol::problem::{PROBLEM_TYPE, ProblemDocument};

/// A refusal of the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeRefusal {
    /// Not HTTP, or HTTP that two parsers could read in two ways (400).
    Malformed(Rule),
    /// No such path (404).
    NoSuchPath,
    /// The path exists, the method does not; the methods that do (405).
    MethodNotAllowed(&'static str),
    /// The request did not arrive in time (408).
    TooSlow,
    /// The body is larger than this route takes (413).
    BodyTooLarge,
    /// The path is too long (414).
    PathTooLong,
    /// A compressed body (415).
    Compressed,
    /// An `Expect` field (417).
    Expectation,
    /// Too many fields or too many bytes of them (431).
    HeadTooLarge,
    /// This party asks too often; seconds to wait (429).
    TooOften(u32),
    /// This party has too many requests under way; seconds to wait (429).
    TooManyAtOnce(u32),
    /// This party has too many connections open; seconds to wait (429).
    TooManyConnections(u32),
    /// No room for this request at present; seconds to wait (503).
    Busy(u32),
    /// Shutting down; ask again (503).
    ShuttingDown,
    /// The certificate of the connection no longer holds (403).
    PeerNoLongerTrusted,
    /// A fault of ours (500).
    Fault,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal, $action:literal;)*) => {
        $($(#[$doc])* pub const $name: Rule = Rule { id: $id, title: $title, action: $action };)*
        /// Every rule of the edge.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

/// The rules of HTTP at the edge.
#[allow(missing_docs, reason = "the titles say it")]
pub mod rules {
    use super::Rule;

    rules! {
        FRAMING = "http.framing", "the end of the request can be read in more than one way",
            "Send exactly one Content-Length, or Transfer-Encoding: chunked, never both";
        SYNTAX = "http.syntax", "the request is not well-formed HTTP",
            "Send HTTP as RFC 9112 or RFC 9113 has it, lines ending in CR LF, no folded lines";
        HOST = "http.host", "there must be exactly one valid Host, equal to the authority",
            "Send one Host field (HTTP/1.1) or one :authority (HTTP/2)";
        TARGET = "http.target", "the request target is not a plain path",
            "Ask for a path without scheme, percent-encoding, dot segments or empty segments";
        QUERY = "http.query", "a query is not allowed here", "Put parameters into the body";
        TRAILERS = "http.trailers", "fields after the body are not accepted",
            "Send every field before the body";
        VERSION = "http.version", "this version of HTTP is not spoken here",
            "Speak HTTP/1.1, or HTTP/2 agreed by ALPN";
        UPGRADE = "http.upgrade", "changing the protocol is not possible",
            "Agree on the protocol by ALPN in the handshake";
        BROWSER = "http.browser", "web pages may not use this listener",
            "Ask from a command line on this machine";
        NO_SUCH_PATH = "http.no-such-path", "there is nothing at this path",
            "Check the path against the interface description";
        METHOD = "http.method", "this path does not take this method", "Use a method named in Allow";
        TOO_SLOW = "http.too-slow", "the request did not arrive in time",
            "Send the whole request without pauses";
        BODY_TOO_LARGE = "http.body-too-large", "the body is larger than this path takes",
            "Send a smaller body";
        COMPRESSED = "http.compressed", "compressed bodies are not accepted",
            "Send the body without Content-Encoding";
        EXPECTATION = "http.expectation", "Expect is not supported", "Send the body at once";
        HEAD_TOO_LARGE = "http.head-too-large", "the header fields are too large or too many",
            "Send fewer and shorter fields";
        TOO_OFTEN = "http.too-often", "this organisation asks too often",
            "Wait for the seconds in Retry-After";
        TOO_MANY_AT_ONCE = "http.too-many-at-once",
            "this organisation has too many requests under way",
            "Wait for answers, then ask again";
        TOO_MANY_CONNECTIONS = "http.too-many-connections",
            "this organisation has too many connections open",
            "Send further requests on connections that are open";
        FRAMES = "http.frames", "the frames of this connection break HTTP/2 or flood it",
            "Speak HTTP/2 as RFC 9113 has it; send requests, and few frames without one";
        NOT_READ = "http.not-read", "an answer was not read in time",
            "Read answers as they come, and keep the flow-control window open";
        BUSY = "http.busy", "there is no room for this request at present",
            "Wait for the seconds in Retry-After; the same request may be sent again";
        SHUTTING_DOWN = "http.shutting-down", "this server is shutting down",
            "Send the same request again on a new connection";
        PEER_NO_LONGER_TRUSTED = "http.peer-no-longer-trusted",
            "the certificate of this connection is no longer accepted",
            "Connect with a certificate that is valid now";
        FAULT = "http.fault", "something failed here, not with you",
            "Send the same request again; it is safe to repeat";
    }
}

/// Renders a refusal of the edge, as a rule into a problem document (RFC 9457). The edge itself sets
/// the status and the fields `Retry-After` and `Allow`.
pub type Problem = fn(StatusCode, &Refusal) -> Response;

impl EdgeRefusal {
    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            Self::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooOften(_) | Self::TooManyAtOnce(_) | Self::TooManyConnections(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Busy(_) | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::PeerNoLongerTrusted => StatusCode::FORBIDDEN,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The rule broken.
    pub const fn rule(self) -> Rule {
        match self {
            Self::Malformed(rule) => rule,
            Self::NoSuchPath => rules::NO_SUCH_PATH,
            Self::MethodNotAllowed(_) => rules::METHOD,
            Self::TooSlow => rules::TOO_SLOW,
            Self::BodyTooLarge => rules::BODY_TOO_LARGE,
            Self::PathTooLong => rules::TARGET,
            Self::Compressed => rules::COMPRESSED,
            Self::Expectation => rules::EXPECTATION,
            Self::HeadTooLarge => rules::HEAD_TOO_LARGE,
            Self::TooOften(_) => rules::TOO_OFTEN,
            Self::TooManyAtOnce(_) => rules::TOO_MANY_AT_ONCE,
            Self::TooManyConnections(_) => rules::TOO_MANY_CONNECTIONS,
            Self::Busy(_) => rules::BUSY,
            Self::ShuttingDown => rules::SHUTTING_DOWN,
            Self::PeerNoLongerTrusted => rules::PEER_NO_LONGER_TRUSTED,
            Self::Fault => rules::FAULT,
        }
    }

    /// As a refusal of the domain.
    pub fn refusal(self) -> Refusal {
        let class = match self {
            Self::Malformed(_)
            | Self::MethodNotAllowed(_)
            | Self::TooSlow
            | Self::PathTooLong
            | Self::Expectation => Class::Malformed,
            Self::NoSuchPath => Class::NotFound,
            Self::BodyTooLarge | Self::HeadTooLarge => Class::TooLarge,
            Self::Compressed => Class::UnsupportedType,
            Self::TooOften(_) | Self::TooManyAtOnce(_) | Self::TooManyConnections(_) => {
                Class::TooMany
            }
            Self::Busy(_) | Self::ShuttingDown | Self::Fault => Class::Unavailable,
            Self::PeerNoLongerTrusted => Class::Forbidden,
        };
        let culprit = match self {
            Self::Busy(_) | Self::ShuttingDown | Self::Fault => Culprit::Gateway,
            _ => Culprit::Sender,
        };
        Refusal::new(class, Violation::whole(self.rule())).blame(culprit)
    }

    /// The response: rendered by `problem`, status and fields of the edge set over it.
    pub fn response(self, problem: Problem) -> Response {
        let mut response = problem(self.status(), &self.refusal());
        response.status = self.status();
        match self {
            Self::TooOften(seconds)
            | Self::TooManyAtOnce(seconds)
            | Self::TooManyConnections(seconds)
            | Self::Busy(seconds) => {
                response.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
            }
            Self::ShuttingDown => response.headers.push((RETRY_AFTER, HeaderValue::from(1))),
            Self::MethodNotAllowed(methods) => {
                response.headers.push((ALLOW, HeaderValue::from_static(methods)));
            }
            _ => {}
        }
        response
    }
}

/// The same problem document as that of every other refusal, unsigned, for callers that have no
/// rendering of their own.
pub fn default_problem(status: StatusCode, refusal: &Refusal) -> Response {
    let problem = ProblemDocument {
        status: status.as_u16(),
        help: Some(GENERAL_ADVICE.into()),
        ..ProblemDocument::of(refusal)
    };
    Response::new(status, PROBLEM_TYPE, problem.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_renders_as_json_under_its_status() {
        for rule in rules::RULES {
            let response = EdgeRefusal::Malformed(*rule).response(default_problem);
            let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(body["violations"][0]["rule"], rule.id);
            assert_eq!(body["status"], 400);
        }
    }

    #[test]
    fn waiting_times_and_methods_are_told() {
        let response = EdgeRefusal::TooOften(7).response(default_problem);
        assert_eq!(response.headers, [(RETRY_AFTER, HeaderValue::from(7))]);
        let response = EdgeRefusal::MethodNotAllowed("GET, POST").response(default_problem);
        assert_eq!(response.headers, [(ALLOW, HeaderValue::from_static("GET, POST"))]);
    }
}
