//! The certificate profile as code. `PROFILE.md` says the same in words; a check that is here and
//! not there, or the other way round, is a mistake.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, ParsedExtension};
use x509_parser::oid_registry as oid;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::identity::{Names, names};
use super::key::{public_key, signature_allowed};
use super::rules::{MALFORMED, WRONG_KEY_USAGE, WRONG_ROLE, profile};
use super::{ChainRefusal, PublicKey, Purpose};
use crate::domain::party::{Organisation, Party};
use crate::domain::time::{DAY, Timestamp};

/// The scheme's own extended key usage for signing tokens. Enterprise number 32473 is reserved for
/// documentation (RFC 5612) and stands here until the scheme registers its own.
pub const SIGNING_EKU: &str = "1.3.6.1.4.1.32473.1.1";
/// [`SIGNING_EKU`], the content of its DER.
pub(super) const SIGNING_EKU_DER: &[u8] = &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 1, 1];

/// Days that a root may be valid: 20 years.
pub const ROOT_DAYS: i64 = 7_305;
/// Days that an issuing CA may be valid: 5 years.
pub const ISSUING_DAYS: i64 = 1_827;
/// Days that servers and gateways may be: the limit for public TLS servers from 2029 (CA/Browser
/// Forum ballot SC-081v3), because they are machines that renew by themselves.
pub const SERVER_DAYS: i64 = 47;
/// Days that an organisation's certificate may be: 13 months.
pub const ORGANISATION_DAYS: i64 = 397;
/// Days that a person's certificate may be: 15 months. Issued on any day of a school year it lasts
/// beyond the next summer holidays into the autumn term, so nobody returns to a dead certificate.
pub const PERSON_DAYS: i64 = 457;

const KEY_USAGE_LEAF: u16 = 1; // digitalSignature
const KEY_USAGE_CA: u16 = 1 << 5 | 1 << 6; // keyCertSign, cRLSign

/// The longest that a leaf may be valid, in days.
pub const fn leaf_days(party: &Party, has_dns_names: bool) -> i64 {
    match (&party.organisation, &party.person) {
        (Organisation::Gateway(_), _) => SERVER_DAYS,
        _ if has_dns_names => SERVER_DAYS,
        (_, Some(_)) => PERSON_DAYS,
        (_, None) => ORGANISATION_DAYS,
    }
}

/// Whether a party may listen, and so have DNS names: every organisation, and no person. Who connects names
/// the identity that must answer, so that a server of one party is never taken for another's.
pub fn may_serve(party: &Party) -> bool {
    party.person.is_none()
}

/// A certificate in DER without anything after it.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, ChainRefusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(ChainRefusal(MALFORMED)),
    }
}

/// The serial number of a certificate, big-endian without leading zeros.
pub fn serial(der: &[u8]) -> Result<Vec<u8>, ChainRefusal> {
    Ok(parse(der)?.tbs_certificate.serial.to_bytes_be())
}

/// What a leaf says of itself, for people: nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Whom it names.
    pub party: Party,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// What its usage allows; empty for a use that the scheme does not have.
    pub purposes: Vec<Purpose>,
    /// Start of its period.
    pub not_before: Timestamp,
    /// End of its period.
    pub not_after: Timestamp,
    /// Its serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// Its key.
    pub public_key: PublicKey,
}

/// Reads a leaf without judging it.
pub fn describe(der: &[u8]) -> Result<Description, ChainRefusal> {
    let certificate = parse(der)?;
    let Names { party, dns } = names(&certificate)?;
    let (not_before, not_after) = period(&certificate);
    let serial = certificate.tbs_certificate.serial.to_bytes_be();
    let public_key = public_key(&certificate.tbs_certificate.subject_pki)?;
    let usage = extended_key_usage(&certificate)?;
    let mut purposes = Vec::new();
    if let Some(usage) = usage {
        if usage.client_auth {
            purposes.push(Purpose::TlsClient);
        }
        if usage.server_auth && !dns.is_empty() {
            purposes.push(Purpose::TlsServer);
        }
        if usage.other.iter().any(|other| other.as_bytes() == SIGNING_EKU_DER) {
            purposes.push(Purpose::Signing);
        }
    }
    Ok(Description { party, dns, purposes, not_before, not_after, serial, public_key })
}

/// Which of the two kinds of CA a certificate must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaKind {
    Root,
    Issuing,
}

/// What a certificate of any kind tells once it keeps the profile.
pub(super) struct Facts {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Big-endian without leading zeros.
    pub serial: Vec<u8>,
    pub subject_key_id: Vec<u8>,
    pub public_key: PublicKey,
}

/// Checks a CA certificate on its own; its signature is for the caller.
pub(super) fn check_ca(
    certificate: &X509Certificate<'_>,
    kind: CaKind,
) -> Result<Facts, ChainRefusal> {
    let (path_length, days) = match kind {
        CaKind::Root => (1, ROOT_DAYS),
        CaKind::Issuing => (0, ISSUING_DAYS),
    };
    let (constraints, usage) = (basic_constraints(certificate)?, key_usage(certificate)?);
    if *constraints != (BasicConstraints { ca: true, path_len_constraint: Some(path_length) }) {
        return Err(profile("A CA's basic constraints are not cA with its exact path length"));
    }
    if usage != KEY_USAGE_CA {
        return Err(profile("A CA's key usage is not exactly keyCertSign and cRLSign"));
    }
    if extended_key_usage(certificate)?.is_some() {
        return Err(profile("A CA has an extended key usage"));
    }
    if find(certificate, &oid::OID_X509_EXT_SUBJECT_ALT_NAME)?.is_some() {
        return Err(profile("A CA has a subject alternative name"));
    }
    check_any(certificate, days)
}

/// Checks a leaf on its own for a purpose; its signature and trust domain are for the caller.
pub(super) fn check_leaf(
    certificate: &X509Certificate<'_>,
    purpose: Purpose,
    names: &Names,
) -> Result<Facts, ChainRefusal> {
    check_use(certificate, purpose, names)?;
    if *basic_constraints(certificate)?
        != (BasicConstraints { ca: false, path_len_constraint: None })
    {
        return Err(profile("A leaf's basic constraints do not say that it is no CA"));
    }
    check_any(certificate, leaf_days(&names.party, !names.dns.is_empty()))
}

/// Use and role: what the key is for, and whether this kind of party may use it so.
fn check_use(
    certificate: &X509Certificate<'_>,
    purpose: Purpose,
    names: &Names,
) -> Result<(), ChainRefusal> {
    let wrong_use = ChainRefusal(WRONG_KEY_USAGE);
    if key_usage(certificate)? != KEY_USAGE_LEAF {
        return Err(wrong_use);
    }
    let usage = extended_key_usage(certificate)?.ok_or(wrong_use)?;
    let others = usage.any
        || usage.code_signing
        || usage.email_protection
        || usage.time_stamping
        || usage.ocsp_signing;
    let tls = usage.client_auth && usage.server_auth && usage.other.is_empty();
    let signing = !usage.client_auth
        && !usage.server_auth
        && matches!(&usage.other[..], [only] if only.as_bytes() == SIGNING_EKU_DER);
    let fits = match purpose {
        Purpose::TlsClient | Purpose::TlsServer => tls,
        Purpose::Signing => signing,
    };
    if others || !fits {
        return Err(wrong_use);
    }
    let may_serve = may_serve(&names.party);
    match purpose {
        Purpose::TlsServer if !may_serve => Err(ChainRefusal(WRONG_ROLE)),
        Purpose::TlsServer if names.dns.is_empty() => {
            Err(profile("A server's certificate has no DNS name"))
        }
        Purpose::TlsClient if !may_serve && !names.dns.is_empty() => {
            Err(profile("A person's certificate has a DNS name"))
        }
        Purpose::Signing if !names.dns.is_empty() => {
            Err(profile("A signing certificate has a DNS name"))
        }
        _ => Ok(()),
    }
}

/// What every certificate of the scheme has in common.
fn check_any(certificate: &X509Certificate<'_>, days: i64) -> Result<Facts, ChainRefusal> {
    let tbs = &certificate.tbs_certificate;
    if tbs.version != X509Version::V3 {
        return Err(profile("The certificate is not of version 3"));
    }
    let negative = tbs.raw_serial().first().is_none_or(|b| b & 0x80 != 0);
    if negative || !(64..=159).contains(&tbs.serial.bits()) {
        return Err(profile("The serial number is not positive with 64 to 159 bits"));
    }
    if tbs.issuer_uid.is_some() || tbs.subject_uid.is_some() {
        return Err(profile("The certificate has a unique identifier, which X.509 v3 replaced"));
    }
    if tbs.subject.iter().next().is_none() || tbs.issuer.iter().next().is_none() {
        return Err(profile("The certificate has an empty subject or issuer"));
    }
    if certificate.signature_algorithm != tbs.signature
        || !signature_allowed(&certificate.signature_algorithm)
    {
        return Err(profile("The certificate is signed with an algorithm that is not allowed"));
    }
    check_extensions(certificate)?;
    let (not_before, not_after) = period(certificate);
    if not_after <= not_before || not_after.since(not_before) > days * DAY {
        return Err(profile("The certificate is valid for longer than its kind may be"));
    }
    Ok(Facts {
        not_before,
        not_after,
        serial: tbs.serial.to_bytes_be(),
        subject_key_id: subject_key_id(certificate)?.to_vec(),
        public_key: public_key(&tbs.subject_pki)?,
    })
}

/// No extension twice (see `find`), none unreadable, no name constraints, nothing critical that is not
/// understood here.
fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), ChainRefusal> {
    let understood = [
        oid::OID_X509_EXT_BASIC_CONSTRAINTS,
        oid::OID_X509_EXT_KEY_USAGE,
        oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oid::OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    for extension in certificate.extensions() {
        find(certificate, &extension.oid)?;
        if extension.oid == oid::OID_X509_EXT_NAME_CONSTRAINTS {
            return Err(profile("The certificate has name constraints, which are not used here"));
        }
        if extension.critical && !understood.contains(&extension.oid) {
            return Err(profile("The certificate has an unknown critical extension"));
        }
    }
    Ok(())
}

/// The period of validity.
pub(super) fn period(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let validity = certificate.validity();
    (
        Timestamp::from_seconds(validity.not_before.timestamp()),
        Timestamp::from_seconds(validity.not_after.timestamp()),
    )
}

/// The key identifier in the authority key identifier, which must hold nothing else.
pub(super) fn authority_key_id<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<Option<&'a [u8]>, ChainRefusal> {
    match find(certificate, &oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)? {
        Some((false, ParsedExtension::AuthorityKeyIdentifier(id)))
            if id.authority_cert_issuer.is_none() && id.authority_cert_serial.is_none() =>
        {
            Ok(id.key_identifier.as_ref().map(|key| key.0))
        }
        Some(_) => Err(profile("The authority key identifier is not just a key identifier")),
        None => Ok(None),
    }
}

pub(super) fn subject_key_id<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<&'a [u8], ChainRefusal> {
    match find(certificate, &oid::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)? {
        Some((false, ParsedExtension::SubjectKeyIdentifier(id)))
            if (1..=32).contains(&id.0.len()) =>
        {
            Ok(id.0)
        }
        _ => Err(profile("The certificate has no subject key identifier of 1 to 32 bytes")),
    }
}

fn basic_constraints<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<&'a BasicConstraints, ChainRefusal> {
    match find(certificate, &oid::OID_X509_EXT_BASIC_CONSTRAINTS)? {
        Some((true, ParsedExtension::BasicConstraints(constraints))) => Ok(constraints),
        _ => Err(profile("The certificate has no critical basic constraints")),
    }
}

fn key_usage(certificate: &X509Certificate<'_>) -> Result<u16, ChainRefusal> {
    match find(certificate, &oid::OID_X509_EXT_KEY_USAGE)? {
        Some((true, ParsedExtension::KeyUsage(usage))) => Ok(usage.flags),
        _ => Err(profile("The certificate has no critical key usage")),
    }
}

fn extended_key_usage<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<Option<&'a ExtendedKeyUsage<'a>>, ChainRefusal> {
    match find(certificate, &oid::OID_X509_EXT_EXTENDED_KEY_USAGE)? {
        Some((_, ParsedExtension::ExtendedKeyUsage(usage))) => Ok(Some(usage)),
        _ => Ok(None),
    }
}

fn find<'a, 'b>(
    certificate: &'a X509Certificate<'b>,
    id: &Oid<'_>,
) -> Result<Option<(bool, &'a ParsedExtension<'b>)>, ChainRefusal> {
    match certificate.get_extension_unique(id) {
        Err(_) => Err(profile("The certificate has an extension twice")),
        Ok(Some(extension)) if extension.parsed_extension().error().is_some() => {
            Err(ChainRefusal(MALFORMED))
        }
        Ok(Some(extension)) => Ok(Some((extension.critical, extension.parsed_extension()))),
        Ok(None) => Ok(None),
    }
}
