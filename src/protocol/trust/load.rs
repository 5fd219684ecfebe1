//! Checks what is to be trusted before it is: roots, issuing CAs under them, revocation lists.

use std::fmt;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::certificate::X509Certificate;

use super::crl::{self, Crl, Signer};
use super::example::is_example_key;
use super::profile::{CaKind, Facts, authority_key_id, check_ca, parse};
use super::store::{TrustScope, anchor};
use super::{ChainRefusal, rules};
use crate::domain::ids::Digest;
use crate::domain::refusal::Rule;
use crate::domain::time::Timestamp;
use crate::protocol::hash::sha256;

/// A mistake in what is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFault {
    /// What kind of thing it is.
    pub item: TrustItem,
    /// Which one of its kind, counted from 0 in the order given.
    pub index: usize,
    /// The rule that it breaks.
    pub rule: Rule,
}

/// The three kinds of things that a trust store is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustItem {
    /// A root certificate.
    Root,
    /// The certificate of an issuing CA.
    Issuing,
    /// A revocation list.
    Crl,
}

impl fmt::Display for TrustFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = match self.item {
            TrustItem::Root => "root certificate",
            TrustItem::Issuing => "issuing CA certificate",
            TrustItem::Crl => "revocation list",
        };
        let Rule { id, title, action } = self.rule;
        write!(f, "{item} {}: {title}. {action} [{id}]", self.index + 1)
    }
}

impl std::error::Error for TrustFault {}

#[derive(Debug)]
pub(super) struct Root {
    pub der: CertificateDer<'static>,
    pub digest: Digest,
    pub subject: Vec<u8>,
    pub crl: Option<Crl>,
    subject_key_id: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

#[derive(Debug)]
pub(super) struct Issuing {
    pub der: CertificateDer<'static>,
    pub anchor: TrustAnchor<'static>,
    pub subject: Vec<u8>,
    pub subject_key_id: Vec<u8>,
    pub serial: Vec<u8>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Index of its root.
    pub root: usize,
    pub crl: Option<Crl>,
}

/// Everything that is to be trusted, or every mistake in it.
pub(super) fn load(
    scope: TrustScope,
    roots: Vec<CertificateDer<'static>>,
    issuing: Vec<CertificateDer<'static>>,
    crls: Vec<Vec<u8>>,
) -> Result<(Vec<Root>, Vec<Issuing>), Vec<TrustFault>> {
    let mut faults = Vec::new();
    let mut keep = |item, index, ChainRefusal(rule)| faults.push(TrustFault { item, index, rule });

    let mut trusted_roots: Vec<Root> = Vec::new();
    for (index, der) in roots.into_iter().enumerate() {
        match root(scope, der) {
            Ok(root) if trusted_roots.iter().any(|r| r.der == root.der) => {}
            Ok(root) => trusted_roots.push(root),
            Err(refusal) => keep(TrustItem::Root, index, refusal),
        }
    }
    let mut trusted_issuing: Vec<Issuing> = Vec::new();
    for (index, der) in issuing.into_iter().enumerate() {
        match issuing_ca(scope, der, &trusted_roots) {
            Ok(ca) if trusted_issuing.iter().any(|i| i.der == ca.der) => {}
            Ok(ca) => trusted_issuing.push(ca),
            Err(refusal) => keep(TrustItem::Issuing, index, refusal),
        }
    }
    for (index, der) in crls.iter().enumerate() {
        if let Err(refusal) = revocation_list(der, &mut trusted_roots, &mut trusted_issuing) {
            keep(TrustItem::Crl, index, refusal);
        }
    }
    if trusted_roots.is_empty() && faults.is_empty() {
        let none = Rule {
            title: "No root certificate is given",
            action: "Give the root certificate of the scheme",
            ..rules::NONE
        };
        faults.push(TrustFault { item: TrustItem::Root, index: 0, rule: none });
    }
    if faults.is_empty() { Ok((trusted_roots, trusted_issuing)) } else { Err(faults) }
}

fn root(scope: TrustScope, der: CertificateDer<'static>) -> Result<Root, ChainRefusal> {
    let certificate = parse(&der)?;
    refuse_example(scope, &der)?;
    let facts = check_ca(&certificate, CaKind::Root)?;
    if certificate.issuer().as_raw() != certificate.subject().as_raw() {
        return Err(rules::profile("A root is not issued by itself"));
    }
    check_issued_by(&certificate, &certificate, &facts.subject_key_id, true)?;
    Ok(Root {
        digest: sha256(&der),
        subject: certificate.subject().as_raw().to_vec(),
        subject_key_id: facts.subject_key_id,
        not_before: facts.not_before,
        not_after: facts.not_after,
        crl: None,
        der,
    })
}

fn issuing_ca(
    scope: TrustScope,
    der: CertificateDer<'static>,
    roots: &[Root],
) -> Result<Issuing, ChainRefusal> {
    let certificate = parse(&der)?;
    refuse_example(scope, &der)?;
    let unknown = ChainRefusal(rules::UNKNOWN_AUTHORITY);
    let key_id = authority_key_id(&certificate)?;
    let issuer = certificate.issuer().as_raw();
    let index = roots
        .iter()
        .position(|root| root.subject == issuer && key_id == Some(&root.subject_key_id[..]))
        .or_else(|| roots.iter().position(|root| root.subject == issuer))
        .ok_or(unknown)?;
    let root = &roots[index];
    check_issued_by(&certificate, &parse(&root.der)?, &root.subject_key_id, false)?;
    let Facts { not_before, not_after, serial, subject_key_id, .. } =
        check_ca(&certificate, CaKind::Issuing)?;
    if not_before < root.not_before || root.not_after < not_after {
        return Err(rules::profile("The issuing CA outlives its root or precedes it"));
    }
    let subject = certificate.subject().as_raw().to_vec();
    if subject == root.subject {
        return Err(rules::profile("The issuing CA has the name of its root"));
    }
    let anchor = anchor(&der).ok_or(ChainRefusal(rules::MALFORMED))?;
    Ok(Issuing {
        anchor,
        subject,
        subject_key_id,
        serial,
        not_before,
        not_after,
        root: index,
        crl: None,
        der,
    })
}

/// Signature and authority key identifier, which a root may leave out.
fn check_issued_by(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    issuer_key_id: &[u8],
    is_root: bool,
) -> Result<(), ChainRefusal> {
    certificate
        .verify_signature(Some(issuer.public_key()))
        .map_err(|_| ChainRefusal(rules::UNKNOWN_AUTHORITY))?;
    match authority_key_id(certificate)? {
        Some(id) if id == issuer_key_id => Ok(()),
        None if is_root => Ok(()),
        _ => Err(rules::profile("The authority key identifier is not the issuer's")),
    }
}

fn refuse_example(scope: TrustScope, der: &CertificateDer<'_>) -> Result<(), ChainRefusal> {
    match scope {
        TrustScope::Live if is_example_key(der) => Err(ChainRefusal(rules::EXAMPLE_KEY)),
        _ => Ok(()),
    }
}

/// Finds the signer of a list, checks it, and keeps it if it is the newest.
fn revocation_list(
    der: &[u8],
    roots: &mut [Root],
    issuing: &mut [Issuing],
) -> Result<(), ChainRefusal> {
    let list = crl::parse(der)?;
    let issuer = list.issuer().as_raw();
    let key_id = crl::signer_key_id(&list);
    let root = roots.iter_mut().map(|r| Candidate {
        kind: CaKind::Root,
        subject: &r.subject,
        key_id: &r.subject_key_id,
        der: &r.der,
        not_before: r.not_before,
        held: &mut r.crl,
    });
    let issuing = issuing.iter_mut().map(|i| Candidate {
        kind: CaKind::Issuing,
        subject: &i.subject,
        key_id: &i.subject_key_id,
        der: &i.der,
        not_before: i.not_before,
        held: &mut i.crl,
    });
    let mut candidates: Vec<_> = root.chain(issuing).filter(|c| c.subject == issuer).collect();
    let exact = candidates.iter().position(|c| key_id == Some(c.key_id)).unwrap_or(0);
    if candidates.is_empty() {
        return Err(ChainRefusal(rules::CRL_UNKNOWN_AUTHORITY));
    }
    let candidate = candidates.swap_remove(exact);
    let certificate = parse(candidate.der)?;
    let signer = Signer {
        kind: candidate.kind,
        key_id: candidate.key_id,
        key: certificate.public_key(),
        not_before: candidate.not_before,
    };
    let checked = Crl::check(der, &list, &signer)?;
    match candidate.held {
        Some(held) if held.number == checked.number && held.digest != checked.digest => {
            Err(ChainRefusal(rules::CRL_CONFLICT))
        }
        Some(held) if !crl::is_newer(&checked.number, &held.number) => Ok(()),
        held => {
            *held = Some(checked);
            Ok(())
        }
    }
}

struct Candidate<'a> {
    kind: CaKind,
    subject: &'a [u8],
    key_id: &'a [u8],
    der: &'a [u8],
    not_before: Timestamp,
    held: &'a mut Option<Crl>,
}
