//! Issuing: roots, issuing CAs, leaves and revocation lists that keep the profile. Everything made
//! here is checked by the code that checks what others made, before it is given out.

mod crl;
mod der;
pub mod deviant;
mod key;

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

pub use self::crl::{CrlContent, CrlParts, Reason, Revoked};
pub use self::key::PrivateKey;
use super::identity::names;
use super::profile::{CaKind, check_ca, check_leaf, parse, period};
use super::{ChainRefusal, ISSUING_DAYS, Purpose, ROOT_DAYS, leaf_days, rules};
use crate::domain::party::Party;
use crate::domain::time::{DAY, MINUTE, Timestamp};
use crate::effects::{Entropy, NoEntropy};

/// How long before the present a certificate starts to be valid, so that a clock that is a little
/// slow does not refuse a new one.
const BACKDATED: i64 = 5 * MINUTE;

/// Why a certificate or list could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueFault {
    /// The private key cannot be read, or is not the key of the certificate.
    Key,
    /// The certificate of the CA cannot be read.
    Certificate,
    /// No random bytes for the serial number.
    NoEntropy,
    /// What was asked for breaks the profile.
    Profile(ChainRefusal),
    /// The signing library failed.
    Signing,
}

impl fmt::Display for IssueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssueFault::Key => f.write_str(
                "the private key cannot be read (PKCS #8 in PEM) or is another certificate's",
            ),
            IssueFault::Certificate => f.write_str("the CA certificate cannot be read"),
            IssueFault::NoEntropy => NoEntropy.fmt(f),
            IssueFault::Profile(refusal) => refusal.fmt(f),
            IssueFault::Signing => f.write_str("the certificate could not be signed"),
        }
    }
}

impl std::error::Error for IssueFault {}

impl From<rcgen::Error> for IssueFault {
    fn from(_: rcgen::Error) -> Self {
        IssueFault::Signing
    }
}

impl From<NoEntropy> for IssueFault {
    fn from(_: NoEntropy) -> Self {
        IssueFault::NoEntropy
    }
}

impl From<ChainRefusal> for IssueFault {
    fn from(refusal: ChainRefusal) -> Self {
        IssueFault::Profile(refusal)
    }
}

/// From when until when; both in whole seconds, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
}

impl Period {
    /// `days` days, starting a little before `now`.
    pub const fn of_days(now: Timestamp, days: i64) -> Self {
        let not_before = Timestamp::from_seconds(now.plus(-BACKDATED).seconds());
        Self { not_before, not_after: not_before.plus(days * DAY) }
    }

    /// The period of a root made `now`.
    pub const fn of_root(now: Timestamp) -> Self {
        Self::of_days(now, ROOT_DAYS)
    }

    /// The period of an issuing CA made `now`.
    pub const fn of_issuing(now: Timestamp) -> Self {
        Self::of_days(now, ISSUING_DAYS)
    }

    /// From when on renewal is due: two thirds of the period.
    pub const fn renew_from(&self) -> Timestamp {
        let length = self.not_after.since(self.not_before);
        self.not_before.plus(length / 3 * 2)
    }
}

/// The two kinds of leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafKind {
    /// For TLS, with the DNS names of a server (none for a party that only connects).
    Tls {
        /// Host names, lower case, no wildcards.
        dns: Vec<String>,
    },
    /// For signing tokens.
    Signing,
}

/// A leaf to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRequest {
    /// Whom it names.
    pub party: Party,
    /// What for.
    pub kind: LeafKind,
    /// For how long.
    pub period: Period,
}

impl LeafRequest {
    /// A leaf from `now` for as long as the profile allows.
    pub fn new(party: Party, kind: LeafKind, now: Timestamp) -> Self {
        let has_dns_names = matches!(&kind, LeafKind::Tls { dns } if !dns.is_empty());
        let period = Period::of_days(now, leaf_days(&party, has_dns_names));
        Self { party, kind, period }
    }

    /// What the leaf is checked for.
    fn purpose(&self) -> Purpose {
        match &self.kind {
            LeafKind::Tls { dns } if dns.is_empty() => Purpose::TlsClient,
            LeafKind::Tls { .. } => Purpose::TlsServer,
            LeafKind::Signing => Purpose::Signing,
        }
    }
}

/// A certification authority: a certificate with its private key.
pub struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The subject, DER.
    subject: Vec<u8>,
    subject_key_id: Vec<u8>,
    period: Period,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("period", &self.period).finish_non_exhaustive()
    }
}

impl Ca {
    /// A new root. `name` is what people read in its subject.
    pub fn new_root(
        name: &str,
        key: PrivateKey,
        period: Period,
        entropy: &dyn Entropy,
    ) -> Result<Self, IssueFault> {
        let params = ca_params(name, 1, period, entropy)?;
        let certificate: CertificateDer<'static> = params.self_signed(&key.0)?.into();
        check_ca(&parse(&certificate)?, CaKind::Root)?;
        Self::load(certificate, key)
    }

    /// A new issuing CA under this root.
    pub fn new_issuing(
        &self,
        name: &str,
        key: PrivateKey,
        period: Period,
        entropy: &dyn Entropy,
    ) -> Result<Self, IssueFault> {
        let params = ca_params(name, 0, self.within(period)?, entropy)?;
        let certificate: CertificateDer<'static> = params.signed_by(&key.0, &self.issuer)?.into();
        check_ca(&parse(&certificate)?, CaKind::Issuing)?;
        Self::load(certificate, key)
    }

    /// From a certificate and its key.
    pub fn load(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Self, IssueFault> {
        let parsed = parse(&certificate).map_err(|_| IssueFault::Certificate)?;
        if parsed.public_key().subject_public_key.data != key.public_key() {
            return Err(IssueFault::Key);
        }
        let (not_before, not_after) = period(&parsed);
        let subject = parsed.subject().as_raw().to_vec();
        let issuer = Issuer::from_ca_cert_der(&certificate, key.0)?;
        let subject_key_id = super::profile::subject_key_id(&parsed).unwrap_or_default().to_vec();
        let period = Period { not_before, not_after };
        Ok(Self { issuer, subject, subject_key_id, period, certificate })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When it is valid.
    pub fn period(&self) -> Period {
        self.period
    }

    /// A leaf for the holder of `key`.
    pub fn leaf(
        &self,
        request: &LeafRequest,
        key: &PrivateKey,
        entropy: &dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueFault> {
        let request = LeafRequest { period: self.within(request.period)?, ..request.clone() };
        let params = leaf_params(&request, entropy)?;
        let certificate: CertificateDer<'static> = params.signed_by(&key.0, &self.issuer)?.into();
        let parsed = parse(&certificate)?;
        check_leaf(&parsed, request.purpose(), &names(&parsed)?)?;
        Ok(certificate)
    }

    /// The part of a period that lies within this CA's own: what it issues does not outlive it.
    fn within(&self, period: Period) -> Result<Period, IssueFault> {
        let not_before = period.not_before.max(self.period.not_before);
        let not_after = period.not_after.min(self.period.not_after);
        if not_before < not_after {
            Ok(Period { not_before, not_after })
        } else {
            Err(IssueFault::Profile(rules::profile("The CA is not valid in the period asked for")))
        }
    }
}

fn ca_params(
    name: &str,
    path_length: u8,
    period: Period,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, IssueFault> {
    let mut params = params(name, period, entropy)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(
    request: &LeafRequest,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, IssueFault> {
    let mut params = params(&request.party.organisation.to_string(), request.period, entropy)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(request.party.to_string().try_into()?)];
    params.extended_key_usages = match &request.kind {
        LeafKind::Tls { dns } => {
            for name in dns {
                params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
            }
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        LeafKind::Signing => {
            let arcs = super::SIGNING_EKU.split('.').filter_map(|arc| arc.parse().ok());
            vec![ExtendedKeyUsagePurpose::Other(arcs.collect())]
        }
    };
    Ok(params)
}

fn params(
    name: &str,
    period: Period,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, IssueFault> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(period.not_before);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(period.not_after);
    params.serial_number = Some(serial(entropy)?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn since_epoch(at: Timestamp) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(at.seconds()).unwrap_or(0))
}

/// 126 random bits under a leading one: positive, and of one length.
fn serial(entropy: &dyn Entropy) -> Result<SerialNumber, NoEntropy> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
