//! The rules of the written profile, in its order, as they stand in refusals.

use super::ChainRefusal;
use crate::domain::refusal::{Refusal, Rule};

const fn rule(id: &'static str, title: &'static str, action: &'static str) -> Rule {
    Rule { id, title, action }
}

/// No certificate was presented.
pub const NONE: Rule = rule(
    "certificate.none",
    "No certificate was presented",
    "Connect with the certificate and key that the scheme issued to your organisation",
);
/// Not a certificate, or too large.
pub const MALFORMED: Rule = rule(
    "certificate.malformed",
    "The certificate cannot be read as X.509 in DER",
    "Send the certificate exactly as the scheme issued it",
);
/// More certificates than root, issuing CA and leaf.
pub const TOO_LONG_CHAIN: Rule = rule(
    "certificate.too-long-chain",
    "The chain has more certificates than a leaf, its issuing CA and the root",
    "Send the leaf first, then its issuing CA, and nothing that does not belong to them",
);
/// The key stands in `certs-example/`: everybody has it.
pub const EXAMPLE_KEY: Rule = rule(
    "certificate.example-key",
    "The certificate holds an example key, whose private half is published",
    "Use a key of your own: example keys are for the demonstration on one machine only",
);
/// No loaded issuing CA signed it.
pub const UNKNOWN_AUTHORITY: Rule = rule(
    "certificate.unknown-authority",
    "The certificate was not issued by an authority of this scheme",
    "Use a certificate that the scheme issued, and send its issuing CA with it unchanged",
);
/// No SPIFFE ID of the scheme in it.
pub const NO_IDENTITY: Rule = rule(
    "certificate.no-identity",
    "The certificate names no party of the scheme",
    "Ask the operator for a certificate with the SPIFFE ID of your organisation",
);
/// More than one URI name.
pub const SEVERAL_IDENTITIES: Rule = rule(
    "certificate.several-identities",
    "The certificate names more than one party",
    "Ask the operator for a certificate with exactly one SPIFFE ID",
);
/// A party of another scheme.
pub const FOREIGN_TRUST_DOMAIN: Rule = rule(
    "certificate.foreign-trust-domain",
    "The certificate names a party of another trust domain",
    "Use the certificate that was issued for this scheme",
);
/// A party of the wrong kind for this place.
pub const WRONG_ROLE: Rule = rule(
    "certificate.wrong-role",
    "The certificate belongs to a kind of party that may not act here",
    "Use the certificate of the organisation that this call is for",
);
/// A TLS certificate used for signing, or the other way round.
pub const WRONG_KEY_USAGE: Rule = rule(
    "certificate.wrong-key-usage",
    "The certificate was issued for another use of its key",
    "Use the tls certificate for connections and the signing certificate for signatures",
);
/// Any other point of the profile; the title of each refusal names the point.
pub const PROFILE: Rule = rule(
    "certificate.profile",
    "The certificate does not keep the scheme's certificate profile",
    "Have it issued again to the scheme's certificate profile",
);
/// A key type or size that is not allowed.
pub const WEAK_KEY: Rule = rule(
    "certificate.weak-key",
    "The certificate's key is not P-256, P-384, Ed25519 or RSA of 3072 to 8192 bits",
    "Make a new key (P-256 is the default) and have it certified",
);
/// The server's certificate does not have the name that was connected to.
pub const WRONG_NAME: Rule = rule(
    "certificate.wrong-name",
    "The server's certificate is for another host name",
    "Check the endpoint in the directory against the names in the server's certificate",
);
/// `at` lies after the period of validity.
pub const EXPIRED: Rule = rule(
    "certificate.expired",
    "The certificate had expired",
    "Renew it with `ecaf pki renew` or ask the operator to",
);
/// `at` lies before the period of validity.
pub const NOT_YET_VALID: Rule = rule(
    "certificate.not-yet-valid",
    "The certificate was not valid yet",
    "Check the clocks of both machines, or wait until it becomes valid",
);
/// A revocation list names it, or its issuing CA.
pub const REVOKED: Rule = rule(
    "certificate.revoked",
    "The certificate had been revoked",
    "Ring the operator of the scheme and have a new key certified",
);
/// No revocation list of its issuer is loaded.
pub const REVOCATION_UNKNOWN: Rule = rule(
    "certificate.revocation-unknown",
    "There is no revocation list for the certificate's issuer, so it may be revoked",
    "Load the issuer's current revocation list",
);
/// The newest list is more than 24 hours past its `nextUpdate`.
pub const REVOCATION_STALE: Rule = rule(
    "certificate.revocation-stale",
    "The revocation list of the certificate's issuer is out of date by more than 24 hours",
    "Load the issuer's current revocation list",
);
/// Whether the reader's own trust files may be to blame: a new authority of the scheme, or its list, is not there yet.
/// What others have accepted must not be given up for that.
pub fn is_of_stale_trust(refusal: &Refusal) -> bool {
    let stale = [UNKNOWN_AUTHORITY, REVOCATION_UNKNOWN, REVOCATION_STALE];
    refusal.rule().is_some_and(|rule| stale.iter().any(|of| of.id == rule.id))
}

/// Not a revocation list in DER.
pub const CRL_MALFORMED: Rule = rule(
    "crl.malformed",
    "The revocation list cannot be read as an X.509 CRL in DER",
    "Load the list exactly as the scheme issued it",
);
/// Signed by none of the loaded authorities.
pub const CRL_UNKNOWN_AUTHORITY: Rule = rule(
    "crl.unknown-authority",
    "The revocation list was not signed by a loaded root or issuing CA",
    "Load the certificate of the CA that signed it, or fetch the list again",
);
/// Any other point of the CRL profile; the title of each refusal names the point.
pub const CRL_PROFILE: Rule = rule(
    "crl.profile",
    "The revocation list does not keep the scheme's profile",
    "Have it issued again with `ecaf pki crl`",
);
/// Two lists of one issuer carry the same number and differ.
pub const CRL_CONFLICT: Rule = rule(
    "crl.conflict",
    "Two different revocation lists of one issuer carry the same number",
    "Fetch the lists again; if they still differ, tell the operator at once",
);
/// A reload would go back to an older list, or to none.
pub const CRL_OLDER: Rule = rule(
    "crl.older",
    "The revocation list is older than the one in use",
    "Load the newest list; the one in use is kept until then",
);

/// Every rule above, for the documents and for the vectors.
pub const ALL: &[Rule] = &[
    NONE,
    TOO_LONG_CHAIN,
    MALFORMED,
    EXAMPLE_KEY,
    UNKNOWN_AUTHORITY,
    NO_IDENTITY,
    SEVERAL_IDENTITIES,
    FOREIGN_TRUST_DOMAIN,
    WRONG_ROLE,
    WRONG_KEY_USAGE,
    PROFILE,
    WEAK_KEY,
    WRONG_NAME,
    NOT_YET_VALID,
    EXPIRED,
    REVOKED,
    REVOCATION_UNKNOWN,
    REVOCATION_STALE,
    CRL_MALFORMED,
    CRL_UNKNOWN_AUTHORITY,
    CRL_PROFILE,
    CRL_CONFLICT,
    CRL_OLDER,
];

/// A refusal under [`PROFILE`] that names the point.
pub(super) const fn profile(title: &'static str) -> ChainRefusal {
    ChainRefusal(Rule { title, ..PROFILE })
}

/// A refusal under [`CRL_PROFILE`] that names the point.
pub(super) const fn crl_profile(title: &'static str) -> ChainRefusal {
    ChainRefusal(Rule { title, ..CRL_PROFILE })
}
