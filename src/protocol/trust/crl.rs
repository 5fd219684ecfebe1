//! Revocation lists: their profile, and what one says about a serial number at a time.

use std::collections::HashMap;

use bytes::Bytes;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry as oid;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::key::signature_allowed;
use super::profile::CaKind;
use super::rules::{CRL_MALFORMED, CRL_UNKNOWN_AUTHORITY, crl_profile};
use super::{ChainRefusal, Revocation};
use crate::domain::ids::Digest;
use crate::domain::time::{DAY, HOUR, Timestamp};
use crate::protocol::hash::sha256;

/// How long past its `nextUpdate` a list may still be gone by, in milliseconds: 24 hours.
pub const GRACE: i64 = 24 * HOUR;
/// Days between `thisUpdate` and `nextUpdate` of an issuing CA's list, at most.
pub const ISSUING_CRL_DAYS: i64 = 7;
/// Days between `thisUpdate` and `nextUpdate` of a root's list, at most: the root is offline and
/// comes out once a quarter.
pub const ROOT_CRL_DAYS: i64 = 92;

/// id-ce-expiredCertsOnCRL (X.509 section 9.5.2.8): from when on expired certificates are kept.
pub(super) const EXPIRED_CERTS_ON_CRL: &[u8] = &[0x55, 0x1d, 0x3c];
const GENERALIZED_TIME: u8 = 0x18;

/// A list that keeps the profile and whose signature was checked.
#[derive(Debug)]
pub(super) struct Crl {
    pub der: Bytes,
    pub digest: Digest,
    /// Big-endian without leading zeros, so that longer is larger.
    pub number: Vec<u8>,
    pub next_update: Timestamp,
    entries: HashMap<Vec<u8>, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    revoked_at: Timestamp,
    invalid_from: Option<Timestamp>,
}

/// What a list says about one certificate at one time, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Known(Known),
    /// The list is too old to say anything.
    TooOld,
    Revoked,
}

/// The states that let a chain pass, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    Good,
    Stale,
    Doubted,
}

impl From<Known> for Revocation {
    fn from(known: Known) -> Self {
        match known {
            Known::Good => Revocation::Good,
            Known::Stale => Revocation::Stale,
            Known::Doubted => Revocation::Doubted,
        }
    }
}

/// The CA that must have signed a list.
pub(super) struct Signer<'a> {
    pub kind: CaKind,
    pub key_id: &'a [u8],
    pub key: &'a SubjectPublicKeyInfo<'a>,
    pub not_before: Timestamp,
}

/// Parses a list without anything after it.
pub(super) fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, ChainRefusal> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        _ => Err(ChainRefusal(CRL_MALFORMED)),
    }
}

impl Crl {
    /// Checks a list of `signer`: its signature first, then the profile.
    pub(super) fn check(
        der: &[u8],
        list: &CertificateRevocationList<'_>,
        signer: &Signer<'_>,
    ) -> Result<Self, ChainRefusal> {
        if list.signature_algorithm != list.tbs_cert_list.signature
            || !signature_allowed(&list.signature_algorithm)
        {
            return Err(crl_profile("The list is signed with an algorithm that is not allowed"));
        }
        list.verify_signature(signer.key).map_err(|_| ChainRefusal(CRL_UNKNOWN_AUTHORITY))?;
        if list.version() != Some(X509Version::V2) {
            return Err(crl_profile("The list is not of version 2"));
        }
        let number = check_extensions(list, signer)?;
        let (this_update, next_update) = times(list)?;
        let days = match signer.kind {
            CaKind::Root => ROOT_CRL_DAYS,
            CaKind::Issuing => ISSUING_CRL_DAYS,
        };
        if next_update <= this_update || next_update.since(this_update) > days * DAY {
            return Err(crl_profile("The list is current for longer than its kind may be"));
        }
        let mut entries = HashMap::new();
        for revoked in list.iter_revoked_certificates() {
            let entry = check_entry(revoked, this_update)?;
            if entries.insert(revoked.serial().to_bytes_be(), entry).is_some() {
                return Err(crl_profile("The list names a certificate twice"));
            }
        }
        // A second, stricter reader: the first takes some BER that is not DER, and so one list could
        // have two digests.
        webpki::OwnedCertRevocationList::from_der(der).map_err(|_| ChainRefusal(CRL_MALFORMED))?;
        let (digest, der) = (sha256(der), Bytes::copy_from_slice(der));
        Ok(Self { der, digest, number, next_update, entries })
    }

    /// What the list says about `serial` at `at`. A list made after `at` is conclusive however old
    /// it has become, because it keeps expired certificates; one made before must have been
    /// current at `at`.
    pub(super) fn status(&self, serial: &[u8], at: Timestamp) -> Status {
        match self.entries.get(serial) {
            Some(entry) if entry.revoked_at <= at => Status::Revoked,
            Some(entry) if entry.invalid_from.is_some_and(|from| from <= at) => {
                Status::Known(Known::Doubted)
            }
            _ if at < self.next_update => Status::Known(Known::Good),
            _ if at <= self.next_update.plus(GRACE) => Status::Known(Known::Stale),
            _ => Status::TooOld,
        }
    }

    /// Since when a certificate is revoked, if it is.
    pub(super) fn revoked_at(&self, serial: &[u8]) -> Option<Timestamp> {
        self.entries.get(serial).map(|entry| entry.revoked_at)
    }
}

/// Whether one CRL number is larger than another.
pub(super) fn is_newer(a: &[u8], b: &[u8]) -> bool {
    (a.len(), a) > (b.len(), b)
}

fn check_extensions(
    list: &CertificateRevocationList<'_>,
    signer: &Signer<'_>,
) -> Result<Vec<u8>, ChainRefusal> {
    if list.tbs_cert_list.extensions_map().is_err() {
        return Err(crl_profile("The list has an extension twice"));
    }
    let (mut number, mut key_id, mut kept_from) = (None, None, None);
    for extension in list.extensions() {
        if extension.parsed_extension().error().is_some() {
            return Err(ChainRefusal(CRL_MALFORMED));
        }
        if extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
            return Err(crl_profile(
                "The list is partial or indirect (issuing distribution point)",
            ));
        }
        if extension.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR {
            return Err(crl_profile("The list is a delta"));
        }
        if extension.critical {
            return Err(crl_profile("The list has an unknown critical extension"));
        }
        match extension.parsed_extension() {
            ParsedExtension::CRLNumber(n) => number = Some(n.to_bytes_be()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                key_id = id.key_identifier.as_ref().map(|key| key.0);
            }
            _ if extension.oid.as_bytes() == EXPIRED_CERTS_ON_CRL => {
                kept_from = generalized_time(extension.value);
            }
            _ => {}
        }
    }
    if key_id != Some(signer.key_id) {
        return Err(crl_profile("The list's authority key identifier is not its issuer's"));
    }
    if kept_from.is_none_or(|from| from > signer.not_before) {
        return Err(crl_profile("The list does not say that it keeps expired certificates"));
    }
    match number {
        Some(number) if number.len() <= 20 => Ok(number),
        _ => Err(crl_profile("The list has no number of at most 20 bytes")),
    }
}

fn check_entry(
    revoked: &RevokedCertificate<'_>,
    this_update: Timestamp,
) -> Result<Entry, ChainRefusal> {
    if revoked.extensions_map().is_err() {
        return Err(crl_profile("An entry of the list has an extension twice"));
    }
    let (mut reason, mut invalid_from) = (None, None);
    for extension in revoked.extensions() {
        if extension.critical {
            return Err(crl_profile("An entry of the list has a critical extension"));
        }
        match extension.parsed_extension() {
            ParsedExtension::ReasonCode(code) => reason = Some(code.0),
            ParsedExtension::InvalidityDate(date) => invalid_from = Some(seconds(*date)),
            other if other.error().is_some() => return Err(ChainRefusal(CRL_MALFORMED)),
            _ => {}
        }
    }
    // RFC 5280 section 5.3.1, without "unspecified", and without hold and its removal: what is
    // revoked stays revoked.
    if !matches!(reason, Some(1..=5 | 9)) {
        return Err(crl_profile(
            "An entry of the list has no reason, or one that is not used here",
        ));
    }
    let revoked_at = seconds(revoked.revocation_date);
    if revoked_at > this_update || invalid_from.is_some_and(|from| from > revoked_at) {
        return Err(crl_profile("An entry of the list has dates in the wrong order"));
    }
    Ok(Entry { revoked_at, invalid_from })
}

fn times(list: &CertificateRevocationList<'_>) -> Result<(Timestamp, Timestamp), ChainRefusal> {
    let next = list.next_update().ok_or(crl_profile("The list has no nextUpdate"))?;
    Ok((seconds(list.last_update()), seconds(next)))
}

fn generalized_time(der: &[u8]) -> Option<Timestamp> {
    match (der.first(), ASN1Time::from_der(der)) {
        (Some(&GENERALIZED_TIME), Ok(([], time))) => Some(seconds(time)),
        _ => None,
    }
}

fn seconds(time: ASN1Time) -> Timestamp {
    Timestamp::from_seconds(time.timestamp())
}

/// The key identifier that a list names, to find its signer.
pub(super) fn signer_key_id<'a>(list: &'a CertificateRevocationList<'_>) -> Option<&'a [u8]> {
    let id: Oid<'_> = oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
    match list.tbs_cert_list.find_extension(&id)?.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    }
}
