//! The trust store: one immutable snapshot of roots, issuing CAs and revocation lists, and the
//! check of every chain against it.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;

use super::crl::{Crl, Status, is_newer};
use super::example::is_example_public_key;
use super::identity::names;
use super::load::{Issuing, Root, TrustFault, TrustItem};
use super::profile::{authority_key_id, check_leaf, parse};
use super::rules;
use super::{Chain, ChainRefusal, PublicKey, Purpose, VerifiedChain};
use crate::domain::ids::Digest;
use crate::domain::party::{Party, Role, TrustDomain};
use crate::domain::time::Timestamp;

/// Whether example keys are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrustScope {
    /// Certificates over keys of `certs-example/` are refused.
    #[default]
    Live,
    /// They are accepted: for the demonstration on loopback addresses, and nowhere else.
    Demo,
}

/// One snapshot of what is trusted. Never changes: reloading makes a new one.
#[derive(Debug)]
pub struct TrustStore {
    pub(super) trust_domain: TrustDomain,
    pub(super) scope: TrustScope,
    pub(super) generation: u64,
    pub(super) roots: Vec<Root>,
    pub(super) issuing: Vec<Issuing>,
}

/// How current the revocation lists are, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Every issuer's list is current.
    Fresh,
    /// One is past its `nextUpdate`, by at most 24 hours: chains pass, marked stale.
    Stale,
    /// One is older than that: chains of its issuer are refused.
    TooOld,
    /// An issuer has no list: its chains are refused.
    Missing,
}

/// What can be said about a chain without the time: signatures, identity, profile. The time
/// (period, revocation) is judged again for every use.
#[derive(Debug)]
pub(super) struct Examined {
    party: Party,
    purpose: Purpose,
    x5t: Digest,
    public_key: PublicKey,
    not_before: Timestamp,
    not_after: Timestamp,
    serial: Vec<u8>,
    issuing: usize,
}

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The signature algorithms of CAs, as the path validation knows them. The profile says which
/// algorithm identifiers may stand in a certificate.
static SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];

impl TrustStore {
    /// Checks what is to be trusted, all of it: every mistake is reported, not only the first.
    /// Issuing CAs must be signed by one of `roots` and revocation lists by one of either. An
    /// issuer without a list is no mistake here; see [`TrustStore::freshness`].
    ///
    /// Time plays no part: expiry is judged per chain, so that the past can be judged too.
    pub fn new(
        trust_domain: TrustDomain,
        scope: TrustScope,
        roots: Vec<CertificateDer<'static>>,
        issuing: Vec<CertificateDer<'static>>,
        crls: Vec<Vec<u8>>,
    ) -> Result<Self, Vec<TrustFault>> {
        let (roots, issuing) = super::load::load(scope, roots, issuing, crls)?;
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        Ok(Self { trust_domain, scope, generation, roots, issuing })
    }

    /// Checks a chain for a purpose as of `at`: signatures, identity, profile, period, revocation.
    pub fn verify(
        &self,
        chain: &Chain,
        purpose: Purpose,
        at: Timestamp,
    ) -> Result<VerifiedChain, ChainRefusal> {
        self.judge(&self.examine(chain, purpose)?, at)
    }

    /// The trust domain of the scheme.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Whether keys that are published with the program are accepted.
    pub fn scope(&self) -> TrustScope {
        self.scope
    }

    /// Differs between any two stores of one process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// SHA-256 of each root.
    pub fn root_digests(&self) -> Vec<Digest> {
        self.roots.iter().map(|root| root.digest).collect()
    }

    /// SHA-256 of the newest list of each issuer.
    pub fn crl_digests(&self) -> Vec<Digest> {
        self.crls().map(|crl| crl.digest).collect()
    }

    /// The DER of a list in use, by its SHA-256.
    pub fn loaded_crl(&self, digest: &Digest) -> Option<Bytes> {
        self.crls().find(|crl| crl.digest == *digest).map(|crl| crl.der.clone())
    }

    /// The worst state of any issuer's list at `at`: what readiness reports.
    pub fn freshness(&self, at: Timestamp) -> Freshness {
        let lists = self.roots.iter().map(|r| &r.crl).chain(self.issuing.iter().map(|i| &i.crl));
        let one = |crl: &Option<Crl>| match crl {
            None => Freshness::Missing,
            Some(crl) if at < crl.next_update => Freshness::Fresh,
            Some(crl) if at <= crl.next_update.plus(super::crl::GRACE) => Freshness::Stale,
            Some(_) => Freshness::TooOld,
        };
        lists.map(one).max().unwrap_or(Freshness::Missing)
    }

    /// When the first of the loaded lists passes its `nextUpdate`.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.crls().map(|crl| crl.next_update).min()
    }

    /// Since when the leaf of a chain is revoked according to the loaded lists, if it is.
    pub fn revoked_at(&self, chain: &Chain) -> Option<Timestamp> {
        let leaf = parse(chain.leaf()).ok()?;
        let crl = self.issuing[self.find_issuing(&leaf)?].crl.as_ref()?;
        crl.revoked_at(&leaf.tbs_certificate.serial.to_bytes_be())
    }

    /// Whether this store may take the place of `previous`: no issuer that both know may go back to
    /// an older revocation list or to none, or a revoked certificate would pass again.
    pub fn check_successor_of(&self, previous: &TrustStore) -> Result<(), Vec<TrustFault>> {
        let older = |now: &Option<Crl>, before: &Option<Crl>| match (now, before) {
            (Some(now), Some(before)) => is_newer(&before.number, &now.number),
            (now, before) => now.is_none() && before.is_some(),
        };
        let mut faults = Vec::new();
        for (index, root) in self.roots.iter().enumerate() {
            let before = previous.roots.iter().find(|before| before.der == root.der);
            if before.is_some_and(|before| older(&root.crl, &before.crl)) {
                faults.push(TrustFault { item: TrustItem::Root, index, rule: rules::CRL_OLDER });
            }
        }
        for (index, issuing) in self.issuing.iter().enumerate() {
            let before = previous.issuing.iter().find(|before| before.der == issuing.der);
            if before.is_some_and(|before| older(&issuing.crl, &before.crl)) {
                faults.push(TrustFault { item: TrustItem::Issuing, index, rule: rules::CRL_OLDER });
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn crls(&self) -> impl Iterator<Item = &Crl> {
        let roots = self.roots.iter().filter_map(|root| root.crl.as_ref());
        roots.chain(self.issuing.iter().filter_map(|issuing| issuing.crl.as_ref()))
    }

    /// The part that does not depend on time, and all the public-key work.
    pub(super) fn examine(
        &self,
        chain: &Chain,
        purpose: Purpose,
    ) -> Result<Examined, ChainRefusal> {
        let leaf = parse(chain.leaf())?;
        // Anything else in the chain must be a loaded certificate, which was checked when loaded.
        let key = &leaf.public_key().subject_public_key.data;
        if self.scope == TrustScope::Live && is_example_public_key(key) {
            return Err(ChainRefusal(rules::EXAMPLE_KEY));
        }
        let index = self.issuer_of(&leaf, chain)?;
        let issuing = &self.issuing[index];
        let path = check_path(chain.leaf(), &leaf, &issuing.anchor);
        if let Err(refusal @ ChainRefusal(rules::UNKNOWN_AUTHORITY | rules::MALFORMED)) = path {
            return Err(refusal);
        }
        let names = names(&leaf)?;
        if names.party.trust_domain != self.trust_domain {
            return Err(ChainRefusal(rules::FOREIGN_TRUST_DOMAIN));
        }
        let facts = check_leaf(&leaf, purpose, &names)?;
        // Ours first: its refusals name the point. What the path validation alone objects to counts.
        path?;
        if authority_key_id(&leaf)? != Some(&issuing.subject_key_id[..]) {
            return Err(rules::profile("The authority key identifier is not the issuing CA's"));
        }
        if facts.not_before < issuing.not_before || issuing.not_after < facts.not_after {
            return Err(rules::profile("The certificate outlives its issuing CA or precedes it"));
        }
        Ok(Examined {
            party: names.party,
            purpose,
            x5t: chain.x5t(),
            public_key: facts.public_key,
            not_before: facts.not_before,
            not_after: facts.not_after,
            serial: facts.serial,
            issuing: index,
        })
    }

    /// The part that depends on time. The period of the leaf lies within those of its issuers.
    pub(super) fn judge(
        &self,
        examined: &Examined,
        at: Timestamp,
    ) -> Result<VerifiedChain, ChainRefusal> {
        // X.509 times are whole seconds, and notAfter's second is the last valid one.
        if at.seconds() < examined.not_before.seconds() {
            return Err(ChainRefusal(rules::NOT_YET_VALID));
        }
        if at.seconds() > examined.not_after.seconds() {
            return Err(ChainRefusal(rules::EXPIRED));
        }
        let issuing = &self.issuing[examined.issuing];
        let root = &self.roots[issuing.root];
        let lists = [(&issuing.crl, &examined.serial), (&root.crl, &issuing.serial)];
        let mut crl_digests = Vec::with_capacity(2);
        let (mut worst, mut missing) = (None, false);
        for (crl, serial) in lists {
            match crl {
                Some(crl) => {
                    crl_digests.push(crl.digest);
                    worst = worst.max(Some(crl.status(serial, at)));
                }
                None => missing = true,
            }
        }
        // What is known to be revoked is called so even when another list is missing.
        let revocation = match worst {
            Some(Status::Revoked) => return Err(ChainRefusal(rules::REVOKED)),
            None => return Err(ChainRefusal(rules::REVOCATION_UNKNOWN)),
            _ if missing => return Err(ChainRefusal(rules::REVOCATION_UNKNOWN)),
            Some(Status::TooOld) => return Err(ChainRefusal(rules::REVOCATION_STALE)),
            Some(Status::Known(known)) => known.into(),
        };
        Ok(VerifiedChain {
            party: examined.party.clone(),
            purpose: examined.purpose,
            x5t: examined.x5t,
            public_key: examined.public_key.clone(),
            not_before: examined.not_before,
            not_after: examined.not_after,
            revocation,
            crl_digests,
        })
    }

    fn find_issuing(&self, leaf: &X509Certificate<'_>) -> Option<usize> {
        let name = leaf.issuer().as_raw();
        let by_name = || (0..self.issuing.len()).filter(|i| self.issuing[*i].subject == name);
        // Two CAs of one name (a renewed key) are told apart by the key identifier.
        let key_id = authority_key_id(leaf).ok().flatten();
        by_name()
            .find(|i| key_id == Some(&self.issuing[*i].subject_key_id[..]))
            .or_else(|| by_name().next())
    }

    /// The loaded issuing CA of a leaf. Certificates that came with the leaf must be exactly the
    /// loaded ones: nothing that a peer sends is ever used to build a path.
    fn issuer_of(&self, leaf: &X509Certificate<'_>, chain: &Chain) -> Result<usize, ChainRefusal> {
        let unknown = ChainRefusal(rules::UNKNOWN_AUTHORITY);
        let Some(index) = self.find_issuing(leaf) else {
            let name = leaf.issuer().as_raw();
            if self.roots.iter().any(|root| root.subject == name) {
                return Err(rules::profile("The certificate is not issued by an issuing CA"));
            }
            return Err(unknown);
        };
        let issuing = &self.issuing[index];
        let expected = [&issuing.der, &self.roots[issuing.root].der];
        let sent = &chain.certificates()[1..];
        if sent.iter().zip(expected).all(|(sent, expected)| sent == expected) {
            Ok(index)
        } else {
            Err(unknown)
        }
    }
}

/// Leaves the use to the profile, which is exact about it: here it would hide that a chain with a
/// wrong use is not from this scheme at all.
struct UseIsCheckedByProfile;

impl ExtendedKeyUsageValidator for UseIsCheckedByProfile {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Path validation by webpki: a second, independent reading of the certificate, and the signature.
fn check_path(
    der: &CertificateDer<'_>,
    leaf: &X509Certificate<'_>,
    issuer: &TrustAnchor<'static>,
) -> Result<(), ChainRefusal> {
    use webpki::Error;
    // The period is judged apart, at the caller's time; here any instant of it does.
    let begins = super::profile::period(leaf).0.seconds();
    let begins = u64::try_from(begins).map_err(|_| ChainRefusal(rules::MALFORMED))?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(begins));
    let checked = EndEntityCert::try_from(der).and_then(|end| {
        end.verify_for_usage(
            SIGNATURES,
            std::slice::from_ref(issuer),
            &[],
            time,
            UseIsCheckedByProfile,
            None,
            None,
        )
        .map(|_| ())
    });
    checked.map_err(|error| match error {
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => {
            ChainRefusal(rules::MALFORMED)
        }
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            ChainRefusal(rules::UNKNOWN_AUTHORITY)
        }
        Error::UnsupportedCriticalExtension => {
            rules::profile("The certificate has an unknown critical extension")
        }
        Error::UnsupportedCertVersion => rules::profile("The certificate is not of version 3"),
        Error::SignatureAlgorithmMismatch => {
            rules::profile("The certificate states two different signature algorithms")
        }
        Error::CaUsedAsEndEntity => rules::profile("The certificate of a CA stands for a party"),
        _ => ChainRefusal(rules::PROFILE),
    })
}

/// The certificate as a trust anchor of the path validation; `None` if that cannot read it.
pub(super) fn anchor(der: &CertificateDer<'static>) -> Option<TrustAnchor<'static>> {
    anchor_from_trusted_cert(der).ok().map(|anchor| anchor.to_owned())
}

/// Whether a server's chain has the DNS name that was connected to. The identity is
/// [`VerifiedChain::party`]; this is the second, weaker check beside it.
pub fn check_server_name(chain: &Chain, name: &ServerName<'_>) -> Result<(), ChainRefusal> {
    let leaf = EndEntityCert::try_from(chain.leaf()).map_err(|_| ChainRefusal(rules::MALFORMED))?;
    leaf.verify_is_valid_for_subject_name(name).map_err(|_| ChainRefusal(rules::WRONG_NAME))
}

/// Whether the party of a chain is of a kind that may act here.
pub fn check_role(chain: &VerifiedChain, allowed: &[Role]) -> Result<(), ChainRefusal> {
    if allowed.contains(&chain.party().organisation.role()) {
        Ok(())
    } else {
        Err(ChainRefusal(rules::WRONG_ROLE))
    }
}
