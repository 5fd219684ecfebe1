//! The two verifiers: the scheme's own check of the chain, the library's check of the signature.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CommonState, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};

use super::reason::{Reason, rules};
use crate::domain::party::{Party, Role};
use crate::http::trust::Trust;
use crate::protocol::trust::{Chain, Purpose, VerifiedChain, check_role, check_server_name};

/// Certificates as presented.
pub(super) fn chain<'a>(
    leaf: &CertificateDer<'a>,
    issuers: &[CertificateDer<'a>],
) -> Result<Chain, Reason> {
    let presented = std::iter::once(leaf).chain(issuers).take(Chain::LONGEST + 1);
    let owned = presented.map(|certificate| certificate.clone().into_owned()).collect();
    Chain::presented(owned).map_err(|refusal| Reason::of(refusal.0))
}

/// The certificates of an established session.
pub(super) fn presented(session: &CommonState) -> Result<Chain, Reason> {
    let presented = session.peer_certificates().unwrap_or_default().to_vec();
    Chain::presented(presented).map_err(|refusal| Reason::of(refusal.0))
}

/// Checks a chain by the snapshot in use.
pub(super) fn check(
    trust: &Trust,
    chain: &Chain,
    purpose: Purpose,
) -> Result<VerifiedChain, Reason> {
    trust
        .check(chain, purpose)
        .map_err(|refusal| Reason { rule: refusal.0, x5t: Some(chain.x5t()) })
}

/// Checks who connects: the chain, and that such a party may connect here at all.
pub(super) fn check_client(
    trust: &Trust,
    chain: &Chain,
    allowed: &[Role],
) -> Result<VerifiedChain, Reason> {
    let found = check(trust, chain, Purpose::TlsClient)?;
    match check_role(&found, allowed) {
        Ok(()) => Ok(found),
        Err(refusal) => Err(Reason { rule: refusal.0, x5t: Some(found.x5t()) }),
    }
}

/// The listening side's check of who connects.
pub(super) struct ClientVerifier {
    pub(super) trust: Arc<Trust>,
    pub(super) allowed: Arc<[Role]>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// The handshake's signatures, alike on both sides: of TLS 1.3 alone, by `self.provider`.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        chain(leaf, issuers)
            .and_then(|chain| check_client(&self.trust, &chain, &self.allowed))
            .map_err(Reason::into_error)?;
        Ok(ClientCertVerified::assertion())
    }

    tls13_signatures!();
}

/// The connecting side's check of whom it has reached.
pub(super) struct ServerVerifier {
    pub(super) trust: Arc<Trust>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) expected: Party,
}

/// The party must be the one that was addressed; a person is never an addressee.
pub(super) fn is_expected(expected: &Party, found: &VerifiedChain) -> Result<(), Reason> {
    if found.party() == expected {
        Ok(())
    } else {
        Err(Reason { rule: rules::OTHER_PARTY, x5t: Some(found.x5t()) })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = chain(leaf, issuers).map_err(Reason::into_error)?;
        check(&self.trust, &chain, Purpose::TlsServer)
            .and_then(|found| is_expected(&self.expected, &found))
            .and_then(|()| {
                check_server_name(&chain, name)
                    .map_err(|refusal| Reason { rule: refusal.0, x5t: Some(chain.x5t()) })
            })
            .map_err(Reason::into_error)?;
        Ok(ServerCertVerified::assertion())
    }

    tls13_signatures!();
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientVerifier")
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerVerifier({})", self.expected)
    }
}
