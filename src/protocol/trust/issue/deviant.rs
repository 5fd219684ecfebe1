//! For tests and vectors only: certificates and lists that break the profile, correctly signed.
//! Nothing here is reachable from the command line.

use rcgen::{CertificateParams, PublicKeyData, SigningKey};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer};

use super::crl::{CrlContent, CrlParts};
use super::der::{self, BIT_STRING, SEQUENCE};
use super::{Ca, IssueFault, LeafRequest, Period, PrivateKey, leaf_params};
use crate::effects::Entropy;

pub use super::der::extension as der_extension;

impl Ca {
    /// A leaf altered before signing and not checked after it.
    pub fn deviant_leaf(
        &self,
        request: &LeafRequest,
        key: &impl PublicKeyData,
        entropy: &dyn Entropy,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> Result<CertificateDer<'static>, IssueFault> {
        let mut params = leaf_params(request, entropy)?;
        alter(&mut params);
        Ok(params.signed_by(key, &self.issuer)?.into())
    }

    /// An issuing CA altered before signing and not checked after it.
    pub fn deviant_issuing(
        &self,
        name: &str,
        key: PrivateKey,
        period: Period,
        entropy: &dyn Entropy,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> Result<Ca, IssueFault> {
        let mut params = super::ca_params(name, 0, period, entropy)?;
        alter(&mut params);
        let certificate = params.signed_by(&key.0, &self.issuer)?.into();
        Ca::load(certificate, key)
    }

    /// A root altered before signing and not checked after it.
    pub fn deviant_root(
        name: &str,
        key: PrivateKey,
        period: Period,
        entropy: &dyn Entropy,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> Result<Ca, IssueFault> {
        let mut params = super::ca_params(name, 1, period, entropy)?;
        alter(&mut params);
        let certificate = params.self_signed(&key.0)?.into();
        Ca::load(certificate, key)
    }

    /// A list altered before signing.
    pub fn deviant_crl(
        &self,
        content: &CrlContent,
        alter: impl FnOnce(&mut CrlParts),
    ) -> Result<Vec<u8>, IssueFault> {
        let mut parts = self.crl_parts(content);
        alter(&mut parts);
        self.sign_crl(parts)
    }

    /// A certificate of this CA with its signed part altered byte by byte and signed again.
    pub fn resign(
        &self,
        certificate: &[u8],
        alter: impl FnOnce(&mut Vec<u8>),
    ) -> Result<CertificateDer<'static>, IssueFault> {
        let outer = first(certificate)?.0.data;
        let (_, rest) = first(outer)?;
        let (_, after) = first(rest)?;
        let mut signed = outer[..outer.len() - rest.len()].to_vec();
        let algorithm = rest[..rest.len() - after.len()].to_vec();
        alter(&mut signed);
        let signature = [vec![0], self.issuer.key().sign(&signed)?].concat();
        Ok(der::nested(SEQUENCE, &[signed, algorithm, der::value(BIT_STRING, &signature)]).into())
    }
}

/// The first DER value, and what follows it.
fn first(der: &[u8]) -> Result<(Any<'_>, &[u8]), IssueFault> {
    Any::from_der(der).map(|(rest, value)| (value, rest)).map_err(|_| IssueFault::Certificate)
}
