//! Which public keys and which signatures of CAs the scheme allows.

use x509_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::oid_registry as oid;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::rules::WEAK_KEY;
use super::{ChainRefusal, PublicKey};
use crate::effects::Algorithm;

/// RSA keys are at least this long. CA/Browser Forum code signing requirements and NIST SP 800-57
/// (128-bit strength) both say 3072.
const RSA_BITS: std::ops::RangeInclusive<usize> = 3072..=8192;

/// The key of a certificate as `ring` takes it, or a refusal.
pub(super) fn public_key(spki: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, ChainRefusal> {
    let weak = ChainRefusal(WEAK_KEY);
    let bits = &spki.subject_public_key;
    if bits.unused_bits != 0 {
        return Err(weak);
    }
    let bytes = bits.data.to_vec();
    let kind = &spki.algorithm.algorithm;
    let algorithm = if *kind == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = spki.algorithm.parameters.as_ref().and_then(as_oid).ok_or(weak)?;
        // Uncompressed points only: ring takes no other, and one spelling per key is enough.
        match (bytes.first(), bytes.len()) {
            (Some(4), 65) if curve == oid::OID_EC_P256 => Algorithm::Es256,
            (Some(4), 97) if curve == oid::OID_NIST_EC_P384 => Algorithm::Es384,
            _ => return Err(weak),
        }
    } else if *kind == oid::OID_SIG_ED25519 {
        if spki.algorithm.parameters.is_some() || bytes.len() != 32 {
            return Err(weak);
        }
        Algorithm::Ed25519
    } else if *kind == oid::OID_PKCS1_RSAENCRYPTION {
        if !spki.algorithm.parameters.as_ref().is_some_and(is_null) {
            return Err(weak);
        }
        let Ok(Parsed::RSA(rsa)) = spki.parsed() else { return Err(weak) };
        if !RSA_BITS.contains(&bit_length(rsa.modulus)) || rsa.try_exponent() != Ok(65_537) {
            return Err(weak);
        }
        Algorithm::Ps256
    } else {
        return Err(weak);
    };
    Ok(PublicKey { algorithm, bytes })
}

/// Whether a CA of the scheme may sign with this: ECDSA, Ed25519, or RSA PKCS #1 with SHA-2. The
/// parameters are checked too, as they are not covered by the hash of the algorithm itself.
pub(super) fn signature_allowed(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let ec = [oid::OID_SIG_ECDSA_WITH_SHA256, oid::OID_SIG_ECDSA_WITH_SHA384, oid::OID_SIG_ED25519];
    let rsa =
        [oid::OID_PKCS1_SHA256WITHRSA, oid::OID_PKCS1_SHA384WITHRSA, oid::OID_PKCS1_SHA512WITHRSA];
    match &algorithm.parameters {
        None => ec.contains(&algorithm.algorithm),
        Some(parameters) => is_null(parameters) && rsa.contains(&algorithm.algorithm),
    }
}

fn as_oid<'a>(any: &Any<'a>) -> Option<Oid<'a>> {
    any.clone().oid().ok()
}

fn is_null(any: &Any<'_>) -> bool {
    any.tag() == Tag::Null && any.data.is_empty()
}

fn bit_length(big_endian: &[u8]) -> usize {
    let significant = big_endian.iter().skip_while(|b| **b == 0);
    let (mut bits, mut first) = (0, true);
    for byte in significant {
        bits += if first { 8 - byte.leading_zeros() as usize } else { 8 };
        first = false;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_do_not_lengthen_a_modulus() {
        assert_eq!(bit_length(&[]), 0);
        assert_eq!(bit_length(&[0, 0, 1]), 1);
        assert_eq!(bit_length(&[0, 0x80, 0]), 16);
        assert_eq!(bit_length(&[0x7f, 0xff]), 15);
    }
}
