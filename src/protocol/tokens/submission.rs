//! The submission: a school's signed statement "this document is our referral", or a gateway's
//! statement that a school proved itself by its certificate and sent it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{AUDIENCE, Subject, claims, refuse, security_event::Audience, text};
use crate::domain::ids::Digest;
use crate::domain::party::{Name, Party, SchoolId, TrustDomain};
use crate::domain::referral::{Header, RequestType, Urgency};
use crate::domain::refusal::Refusal;
use crate::effects::{KeyFault, Signer};
use crate::protocol::jws;
use crate::protocol::schema::Schema;

/// `typ` of a submission that the school signed.
pub const SUBMISSION_TYPE: &str = "ecaf-submission+jwt";
/// `typ` of a submission that a gateway attests.
pub const ATTESTED_TYPE: &str = "ecaf-attested+jwt";

/// The claims of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The school, or a person of it; for an attested submission the gateway.
    #[serde(with = "text")]
    pub iss: Party,
    /// The scheme as a whole, so that any gateway may take it and any authority verify it.
    #[serde(with = "text")]
    pub aud: Audience,
    /// When it was signed, in whole seconds since 1970: the author's claim, not a proof of time.
    pub iat: i64,
    /// Unique among all tokens of the issuer.
    pub jti: String,
    /// The referral.
    pub sub_id: Subject,
    /// URI of the schema that the document says it follows.
    pub schema: String,
    /// 1 for the first submission of a referral.
    pub version: u32,
    /// `U0` to `U3`.
    pub urgency: String,
    /// `protection`, `child_in_need`, ...
    pub request_type: String,
    /// SHA-256 of the exact bytes of the document.
    #[serde(with = "text")]
    pub payload_sha256: Digest,
    /// SHA-256 of the document of the version before; absent for version 1.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub previous_sha256: Option<Digest>,
    /// Only in an attested submission: for whom the gateway speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attestation>,
}

/// For whom a gateway attests, and how it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The school, and the person if the certificate named one.
    #[serde(with = "text")]
    pub sender: Party,
    /// SHA-256 of the TLS certificate that the sender proved itself with.
    #[serde(with = "text")]
    pub certificate_sha256: Digest,
    /// How it came: `api` or `page`.
    pub channel: String,
    /// Only for an event: SHA-256 of the statement as the school sent it, by which the same one is
    /// known again.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub statement_sha256: Option<Digest>,
}

/// Who stands behind a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attested {
    /// The school signed: evidence says "signed by".
    Signed,
    /// A gateway vouches: evidence says "attested by", never "signed by".
    By(Name),
}

impl Submission {
    /// Signs the claims.
    pub fn sign(&self, signer: &dyn Signer, x5t: Digest) -> Result<String, KeyFault> {
        let typ = if self.attested.is_some() { ATTESTED_TYPE } else { SUBMISSION_TYPE };
        jws::sign(signer, typ, x5t, self)
    }

    /// The claims of a verified token of either kind. The issuer is who signed; a school signs for
    /// itself, a gateway attests for a school of the same scheme.
    pub fn read(token: &jws::Verified, scheme: &TrustDomain) -> Result<Self, Refusal> {
        let claims: Self = claims(token, |c: &Self| &c.iss)?;
        if claims.aud != Audience::Scheme(scheme.clone()) {
            return Err(refuse(AUDIENCE));
        }
        use crate::domain::party::Organisation::{Gateway, School};
        let speaks_for_itself = match (&claims.iss.organisation, &claims.attested) {
            (School(_), None) => true,
            (Gateway(_), Some(by)) => {
                by.sender.trust_domain == *scheme
                    && matches!(by.sender.organisation, School(_))
                    && by.statement_sha256.is_none()
            }
            _ => false,
        };
        let typ = if claims.attested.is_some() { ATTESTED_TYPE } else { SUBMISSION_TYPE };
        let known = Urgency::from_code(&claims.urgency).is_some()
            && RequestType::from_code(&claims.request_type).is_some();
        let first = claims.version == 1;
        if token.typ() != typ
            || !known
            || !speaks_for_itself
            || claims.version == 0
            || first != claims.previous_sha256.is_none()
        {
            return Err(refuse(super::CLAIMS));
        }
        Ok(claims)
    }

    /// Everything that the token says about the document must be what the document says of itself.
    pub fn agrees_with(&self, header: &Header) -> Result<(), Refusal> {
        super::agree(&[
            ("referral_id", header.referral_id == self.sub_id.0),
            ("version", header.version == self.version),
            ("previous_sha256", header.previous == self.previous_sha256),
            ("urgency", header.urgency.as_str() == self.urgency),
            ("request_type", header.request_type.as_str() == self.request_type),
            ("schema", self.schema == Schema::referral_v1_id()),
        ])
    }

    /// The sending party: the school, or a person of it.
    pub fn sender(&self) -> &Party {
        self.attested.as_ref().map_or(&self.iss, |by| &by.sender)
    }

    /// The sending school.
    pub fn school(&self) -> Option<&SchoolId> {
        match &self.sender().organisation {
            crate::domain::party::Organisation::School(id) => Some(id),
            _ => None,
        }
    }

    /// Whether the school signed, or which gateway vouches.
    pub fn backing(&self) -> Attested {
        match &self.iss.organisation {
            crate::domain::party::Organisation::Gateway(name) => Attested::By(name.clone()),
            _ => Attested::Signed,
        }
    }
}

/// The document's school is the one that signed or is connected.
pub fn one_school(header: &Header, school: &SchoolId) -> Result<(), Refusal> {
    if header.school == *school { Ok(()) } else { Err(super::mismatch("/referrer/school/id")) }
}

/// Whether a submission says that somebody must act today. Not to be believed before it is verified.
pub fn says_urgent(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Claims<'a> {
        #[serde(borrow)]
        urgency: Cow<'a, str>,
    }
    let token = jws::Unverified::parse(token).ok();
    let claims = token.as_ref().and_then(|token| token.peek::<Claims<'_>>());
    claims.and_then(|c| Urgency::from_code(&c.urgency)).is_some_and(Urgency::is_urgent)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn what_says_that_it_is_urgent_goes_first() {
        let token = |claims: &str| {
            let x5t = URL_SAFE_NO_PAD.encode([7; 32]);
            let header = format!(r#"{{"alg":"ES256","typ":"x","x5t#S256":"{x5t}"}}"#);
            [header.as_bytes(), claims.as_bytes(), &[0; 64]]
                .map(|p| URL_SAFE_NO_PAD.encode(p))
                .join(".")
        };
        for (urgency, first) in
            [("U0", true), ("U1", true), ("U2", false), ("U3", false), ("", false)]
        {
            assert_eq!(
                says_urgent(&token(&format!(r#"{{"urgency":"{urgency}"}}"#))),
                first,
                "{urgency}"
            );
        }
        for not_a_claim in ["[]", "{}", r#"{"urgency":0}"#, "x"] {
            assert!(!says_urgent(&token(not_a_claim)), "{not_a_claim}");
        }
        assert!(!says_urgent("not a token"));
    }
}
