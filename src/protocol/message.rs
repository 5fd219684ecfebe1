//! A message on HTTP: the body is the document, its tokens and chains stand in header fields.

use http::HeaderName;
use http::header::{CONTENT_TYPE, HeaderMap};
use serde::{Deserialize, Serialize};

use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::protocol::trust::{Chain, VerifiedCache};

/// Carries the token of the document in the body: a submission, or the note of a dispatch.
pub const TOKEN: HeaderName = HeaderName::from_static("ecaf-token");
/// Carries the chain of the token's signer.
pub const CERTIFICATES: HeaderName = HeaderName::from_static("ecaf-certificates");
/// Carries what a school says without a key of its own: the claims of an event, in base64url.
pub const STATEMENT: HeaderName = HeaderName::from_static("ecaf-statement");
/// Carries the submission token of a dispatch.
pub const SUBMISSION: HeaderName = HeaderName::from_static("ecaf-submission");
/// Carries the chain of the submission's signer.
pub const SUBMISSION_CERTIFICATES: HeaderName =
    HeaderName::from_static("ecaf-submission-certificates");
/// Carries the `accepted` token of a dispatch, signed by the gateway that signed the note.
pub const ACCEPTED: HeaderName = HeaderName::from_static("ecaf-accepted");

/// Carries the chain of the signer of `accepted`, where that is not the signer of the note.
pub const ACCEPTED_CERTIFICATES: HeaderName = HeaderName::from_static("ecaf-accepted-certificates");
/// Carries the signed proposal of a transfer.
pub const PROPOSAL: HeaderName = HeaderName::from_static("ecaf-proposal");
/// Carries the chain of the proposal's signer.
pub const PROPOSAL_CERTIFICATES: HeaderName = HeaderName::from_static("ecaf-proposal-certificates");

/// Carries when the gateway recorded a token that it pushes: its signature is judged at that time.
pub const RECORDED_AT: HeaderName = HeaderName::from_static("ecaf-recorded-at");
/// Where a party's endpoint takes events (RFC 8935), behind its base URL.
pub const EVENTS_PATH: &str = "/events";
/// The media type of a security event token (RFC 8417).
pub const SET_MEDIA_TYPE: &str = "application/secevent+jwt";

/// The body is not JSON by its media type.
pub const MEDIA_TYPE: Rule = Rule {
    id: "request.media-type",
    title: "the body must be application/json in UTF-8",
    action: "Send Content-Type: application/json.",
};
/// A header field of the protocol is missing, repeated or unreadable.
pub const HEADER: Rule = Rule {
    id: "request.header",
    title: "a header field of the protocol is missing, repeated or unreadable",
    action: "Send each token once, and beside it the chain of its signer, leaf first.",
};

/// The body of an authority's answer to a dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchAnswer {
    /// The `delivered` token.
    pub delivered: String,
    /// The chain of its signer, as in `Ecaf-Certificates`.
    pub certificates: String,
}

/// Refuses a body that does not say it is JSON. UTF-8 is JSON's only encoding (RFC 8259).
pub fn json_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let stated = optional_field(headers, &CONTENT_TYPE).ok().flatten().unwrap_or_default();
    let mut parts = stated.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    let in_utf8 = parts.all(|p| {
        p.eq_ignore_ascii_case("charset=utf-8") || p.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    if is_json && in_utf8 {
        return Ok(());
    }
    Err(Refusal::new(Class::UnsupportedType, Violation::whole(MEDIA_TYPE)))
}

/// The value of a field that stands at most once.
pub fn optional_field<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // As `to_str`, which looks at one byte after the other: a field has no control characters.
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) if text.is_ascii() => Ok(Some(text)),
            _ => Err(missing(name)),
        },
        _ => Err(missing(name)),
    }
}

/// The value of a field that stands exactly once.
pub fn text_field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    optional_field(headers, name)?.ok_or_else(|| missing(name))
}

/// The chain in a field that stands exactly once. The issuing CA's certificate must be in it: the
/// chain is kept as evidence, which others verify with nothing but the scheme's root.
pub fn chain_field(
    headers: &HeaderMap,
    name: &HeaderName,
    cache: &VerifiedCache,
) -> Result<Chain, Refusal> {
    chain_text(text_field(headers, name)?, name, cache)
}

/// The same of a text that stands elsewhere, in the place of field `name`.
pub fn chain_text(text: &str, name: &HeaderName, cache: &VerifiedCache) -> Result<Chain, Refusal> {
    let chain = cache.presented(text).ok();
    chain.filter(|chain| chain.certificates().len() > 1).ok_or_else(|| missing(name))
}

fn missing(name: &HeaderName) -> Refusal {
    Refusal::new(Class::Malformed, Violation::whole(HEADER).with_detail(name.as_str()))
}
