//! Text forms: PEM files, and chains in the `Ecaf-Certificates` header field.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::{Chain, ChainRefusal, rules};

/// The header field that carries a chain.
pub const HEADER: &str = "ecaf-certificates";

/// A PEM text that does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemFault {
    /// Not PEM, or damaged.
    Malformed,
    /// Nothing of the expected kind in it.
    Nothing,
    /// More than the one expected.
    Several,
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PemFault::Malformed => "not readable as PEM (-----BEGIN ...-----)",
            PemFault::Nothing => "holds nothing of the expected kind in PEM",
            PemFault::Several => "holds more than one of the expected kind in PEM",
        })
    }
}

impl std::error::Error for PemFault {}

/// All certificates of a PEM text, in order; at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    sections(CertificateDer::pem_slice_iter(pem))
}

/// All revocation lists of a PEM text, in order; at least one.
pub fn crls(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemFault> {
    let lists = sections(CertificateRevocationListDer::pem_slice_iter(pem))?;
    Ok(lists.into_iter().map(|list| list.as_ref().to_vec()).collect())
}

/// The one private key of a PEM text.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemFault> {
    let mut keys = sections(PrivateKeyDer::pem_slice_iter(pem))?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(PemFault::Several),
    }
}

fn sections<T, E>(found: impl Iterator<Item = Result<T, E>>) -> Result<Vec<T>, PemFault> {
    let all = found.collect::<Result<Vec<T>, E>>().map_err(|_| PemFault::Malformed)?;
    if all.is_empty() { Err(PemFault::Nothing) } else { Ok(all) }
}

/// Certificates as PEM, one after the other.
pub fn to_pem<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> String {
    certificates.into_iter().map(|der| armour("CERTIFICATE", der)).collect()
}

/// A revocation list as PEM.
pub fn crl_to_pem(der: &[u8]) -> String {
    armour("X509 CRL", der)
}

fn armour(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|c| char::from(*c)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

impl Chain {
    /// A chain as a peer presented it; the refusal says what is wrong with its size.
    pub fn presented(certificates: Vec<CertificateDer<'static>>) -> Result<Self, ChainRefusal> {
        match certificates.len() {
            0 => Err(ChainRefusal(rules::NONE)),
            1..=Self::LONGEST => Self::new(certificates).ok_or(ChainRefusal(rules::MALFORMED)),
            _ => Err(ChainRefusal(rules::TOO_LONG_CHAIN)),
        }
    }

    /// From the value of the header field: standard base64 of each certificate, separated by
    /// commas, the leaf first.
    pub fn from_header(value: &str) -> Result<Self, ChainRefusal> {
        if value.trim().is_empty() {
            return Err(ChainRefusal(rules::NONE));
        }
        // Counted before decoding, so that a long value costs nothing.
        if value.split(',').nth(Self::LONGEST).is_some() {
            return Err(ChainRefusal(rules::TOO_LONG_CHAIN));
        }
        let decode = |text: &str| {
            let fits = text.len() <= Self::LARGEST_CERTIFICATE.div_ceil(3) * 4;
            let der = fits.then(|| STANDARD.decode(text).ok()).flatten();
            der.map(CertificateDer::from).ok_or(ChainRefusal(rules::MALFORMED))
        };
        let parts = value.split(',').map(|part| part.trim_matches([' ', '\t']));
        Self::presented(parts.map(decode).collect::<Result<_, _>>()?)
    }

    /// The value of the header field.
    pub fn to_header(&self) -> String {
        self.header().to_owned()
    }
}

pub(super) fn header_of(chain: &Chain) -> String {
    let each: Vec<String> = chain.certificates().iter().map(|c| STANDARD.encode(c)).collect();
    each.join(",")
}
