//! Making revocation lists.

use rcgen::SigningKey;

use super::der::{self, BIT_STRING, ENUMERATED, SEQUENCE};
use super::{Ca, IssueFault};
use crate::domain::time::Timestamp;
use crate::protocol::trust::crl::EXPIRED_CERTS_ON_CRL;

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const REASON: &[u8] = &[0x55, 0x1d, 0x15];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Why a certificate is revoked: the codes of RFC 5280 section 5.3.1 that the scheme uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The private key is or may be in other hands.
    KeyCompromise = 1,
    /// The private key of the CA is or may be in other hands.
    CaCompromise = 2,
    /// The organisation is another now.
    AffiliationChanged = 3,
    /// Replaced by a newer one.
    Superseded = 4,
    /// The organisation or machine is no more.
    CessationOfOperation = 5,
    /// The party may not take part any longer.
    PrivilegeWithdrawn = 9,
}

impl Reason {
    /// Every reason, with the name that people type.
    pub const ALL: [(Self, &'static str); 6] = [
        (Reason::KeyCompromise, "key-compromise"),
        (Reason::CaCompromise, "ca-compromise"),
        (Reason::AffiliationChanged, "affiliation-changed"),
        (Reason::Superseded, "superseded"),
        (Reason::CessationOfOperation, "cessation-of-operation"),
        (Reason::PrivilegeWithdrawn, "privilege-withdrawn"),
    ];

    /// The name that people type.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    /// By that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(reason, _)| reason)
    }
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// From when on it is refused.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// From when on signatures of its key are doubted, if that is earlier.
    pub invalid_from: Option<Timestamp>,
}

/// What a revocation list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlContent {
    /// One more than that of the list before.
    pub number: u64,
    /// When it is made.
    pub this_update: Timestamp,
    /// Until when it is current.
    pub next_update: Timestamp,
    /// Every certificate ever revoked by this CA, expired ones too.
    pub revoked: Vec<Revoked>,
}

/// The parts of a list before signing; tests alter them, see [`super::deviant`].
#[derive(Debug, Clone)]
pub struct CrlParts {
    /// `version`, DER; empty when left out.
    pub version: Vec<u8>,
    /// `thisUpdate` and `nextUpdate`, DER.
    pub times: Vec<Vec<u8>>,
    /// The entries, DER.
    pub entries: Vec<Vec<u8>>,
    /// The extensions, DER: number, authority key identifier, expired certificates kept.
    pub extensions: Vec<Vec<u8>>,
}

impl Ca {
    /// A revocation list of this CA, in DER.
    pub fn crl(&self, content: &CrlContent) -> Result<Vec<u8>, IssueFault> {
        self.sign_crl(self.crl_parts(content))
    }

    pub(super) fn crl_parts(&self, content: &CrlContent) -> CrlParts {
        let key_id = der::nested(SEQUENCE, &[der::value(0x80, &self.subject_key_id)]);
        let number = der::unsigned(&content.number.to_be_bytes());
        let kept_from = der::generalized_time(self.period.not_before);
        CrlParts {
            version: der::unsigned(&[1]),
            times: vec![der::time(content.this_update), der::time(content.next_update)],
            entries: content.revoked.iter().map(entry).collect(),
            extensions: vec![
                der::extension(AUTHORITY_KEY_ID, false, &key_id),
                der::extension(CRL_NUMBER, false, &number),
                der::extension(EXPIRED_CERTS_ON_CRL, false, &kept_from),
            ],
        }
    }

    pub(super) fn sign_crl(&self, parts: CrlParts) -> Result<Vec<u8>, IssueFault> {
        let key = self.issuer.key();
        let algorithm = if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
            ECDSA_SHA256
        } else if key.algorithm() == &rcgen::PKCS_ECDSA_P384_SHA384 {
            ECDSA_SHA384
        } else if key.algorithm() == &rcgen::PKCS_ED25519 {
            ED25519
        } else {
            return Err(IssueFault::Key);
        };
        let algorithm = der::nested(SEQUENCE, &[der::value(der::OID, algorithm)]);
        let entries = match &parts.entries[..] {
            // RFC 5280 section 5.1.2.6: absent when empty.
            [] => Vec::new(),
            entries => der::nested(SEQUENCE, entries),
        };
        let extensions = der::nested(0xa0, &[der::nested(SEQUENCE, &parts.extensions)]);
        let signed = der::nested(
            SEQUENCE,
            &[
                parts.version,
                algorithm.clone(),
                self.subject.clone(),
                parts.times.concat(),
                entries,
                extensions,
            ],
        );
        let signature = [vec![0], key.sign(&signed)?].concat();
        Ok(der::nested(SEQUENCE, &[signed, algorithm, der::value(BIT_STRING, &signature)]))
    }
}

fn entry(revoked: &Revoked) -> Vec<u8> {
    let reason = der::value(ENUMERATED, &[revoked.reason as u8]);
    let mut extensions = vec![der::extension(REASON, false, &reason)];
    if let Some(from) = revoked.invalid_from {
        extensions.push(der::extension(INVALIDITY_DATE, false, &der::generalized_time(from)));
    }
    let extensions = der::nested(SEQUENCE, &extensions);
    der::nested(SEQUENCE, &[der::unsigned(&revoked.serial), der::time(revoked.at), extensions])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_reasons_round_trip() {
        for (reason, name) in Reason::ALL {
            assert_eq!((reason.as_str(), Reason::from_name(name)), (name, Some(reason)));
        }
        assert_eq!(Reason::from_name("no-longer-used"), None);
    }
}
