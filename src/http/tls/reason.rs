//! Why a handshake failed, as one rule that may be logged and counted.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, OtherError, PeerIncompatible};

use crate::domain::ids::Digest;
use crate::domain::refusal::Rule;
use crate::protocol::trust::rules as certificate;

macro_rules! rules {
    ($($name:ident = $id:literal, $title:literal, $action:literal;)*) => {
        $(pub const $name: Rule = Rule { id: $id, title: $title, action: $action };)*
    };
}

/// The rules of TLS; those of certificates are with the certificate profile.
#[allow(missing_docs, reason = "the titles say it")]
pub mod rules {
    use super::Rule;

    rules! {
        PROOF = "tls.proof", "the peer did not prove that it holds the key of its certificate",
            "Use the private key that belongs to the certificate";
        OTHER_PARTY = "tls.other-party", "the peer is not the party that was addressed",
            "Check the address against the directory";
        VERSION = "tls.version", "the peer does not offer TLS 1.3", "Use TLS 1.3";
        KEY_EXCHANGE = "tls.key-exchange", "no key exchange or cipher in common",
            "Offer X25519MLKEM768, X25519 or P-256 with a cipher suite of TLS 1.3";
        PROTOCOL = "tls.protocol", "no application protocol in common",
            "Offer h2 or http/1.1 in ALPN";
        NOT_TLS = "tls.malformed", "what was sent is not TLS", "Connect with TLS 1.3";
        REFUSED_BY_PEER = "tls.refused-by-peer", "the peer refused our certificate",
            "Look at the validity of our certificate, then ask the other side for its log line";
        TIMEOUT = "tls.timeout", "the handshake did not finish in time",
            "Check the network between the two";
        DISPLACED = "tls.displaced", "the handshake gave way to others: all places were taken",
            "Connect again; open few connections at a time from one address";
        CLOSED = "tls.closed", "the connection was closed during the handshake",
            "Check the network between the two";
        FAULT = "tls.fault", "the handshake failed", "Check the logs of both sides at this time";
    }
}

/// Why a handshake failed: a rule, and the digest of the certificate if one was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The rule broken.
    pub rule: Rule,
    /// SHA-256 of the peer's leaf.
    pub x5t: Option<Digest>,
}

impl Reason {
    pub(super) const fn of(rule: Rule) -> Self {
        Self { rule, x5t: None }
    }

    /// Carried through the TLS library, which answers with the alert `certificate_unknown`.
    pub(super) fn into_error(self) -> rustls::Error {
        let carried = OtherError(std::sync::Arc::new(self));
        rustls::Error::InvalidCertificate(CertificateError::Other(carried))
    }

    /// The reason in an error of a TLS stream or of what is built on one; `None` if TLS has no part
    /// in it.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::from_tls(tls));
            }
            next = match error.downcast_ref::<io::Error>() {
                // An io::Error's source skips the error that it wraps.
                Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        None
    }

    /// The reason for an error of a handshake.
    pub fn of_handshake(error: &io::Error) -> Self {
        Self::find(error).unwrap_or(Self::of(match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => rules::CLOSED,
            io::ErrorKind::TimedOut => rules::TIMEOUT,
            _ => rules::FAULT,
        }))
    }

    fn from_tls(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        Self::of(match error {
            E::InvalidCertificate(CertificateError::Other(OtherError(carried))) => {
                return carried.downcast_ref().copied().unwrap_or(Self::of(rules::FAULT));
            }
            E::NoCertificatesPresented => certificate::NONE,
            E::InvalidCertificate(CertificateError::BadSignature) => rules::PROOF,
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            )
            | E::AlertReceived(AlertDescription::ProtocolVersion) => rules::VERSION,
            E::PeerIncompatible(_) => rules::KEY_EXCHANGE,
            E::NoApplicationProtocol => rules::PROTOCOL,
            E::AlertReceived(AlertDescription::NoApplicationProtocol) => rules::PROTOCOL,
            E::AlertReceived(alert) if about_certificate(*alert) => rules::REFUSED_BY_PEER,
            E::InvalidMessage(_) | E::InappropriateMessage { .. } | E::PeerMisbehaved(_) => {
                rules::NOT_TLS
            }
            _ => rules::FAULT,
        })
    }
}

fn about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::CertificateRequired,
        A::UnknownCA,
        A::AccessDenied,
    ]
    .contains(&alert)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} [{}]", self.rule.title, self.rule.action, self.rule.id)
    }
}

impl Error for Reason {}
