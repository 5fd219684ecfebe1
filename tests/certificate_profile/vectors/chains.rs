//! What is presented, who signed it, when it is valid.

use ecaf::domain::time::{DAY, SECOND};
use ecaf::protocol::trust::issue::{CrlContent, LeafKind, Period};
use ecaf::protocol::trust::rules;
use rcgen::SerialNumber;
use rustls::pki_types::CertificateDer;

use super::{Case, uri};
use crate::world::{GATEWAY, SCHOOL, Vector, World, client, key, made, time};

/// Chains and times.
pub(super) fn chains() -> Vec<Vector> {
    let (world, other) = (World::new(1), World::new(41));
    let w = &world;
    let (root, issuing) = (w.root.certificate().clone(), w.issuing.certificate().clone());
    let leaf = w.leaf(SCHOOL, client());
    let case = || Case::of(w, "tls_client", leaf.clone());
    let mut cases = vec![
        case().chain(vec![leaf.clone()]).verified(
            "leaf-alone",
            "the issuing CA is known",
            SCHOOL,
            "good",
        ),
        case().verified("leaf-and-issuing", "as it should be sent", SCHOOL, "good"),
        case().chain(vec![leaf.clone(), issuing.clone(), root.clone()]).verified(
            "whole-chain",
            "with the root, which adds nothing",
            SCHOOL,
            "good",
        ),
        case().chain(vec![]).refused("nothing", "no certificate", rules::NONE),
        case().chain(vec![leaf.clone(), issuing.clone(), root.clone(), root.clone()]).refused(
            "four",
            "four certificates",
            rules::TOO_LONG_CHAIN,
        ),
        case().chain(vec![leaf.clone(), root.clone()]).refused(
            "wrong-order",
            "the root in the issuing CA's place",
            rules::UNKNOWN_AUTHORITY,
        ),
        case().chain(vec![leaf.clone(), other.issuing.certificate().clone()]).refused(
            "foreign-issuing",
            "another CA beside a good leaf",
            rules::UNKNOWN_AUTHORITY,
        ),
        case().chain(vec![issuing.clone()]).refused(
            "issuing-as-leaf",
            "a CA in a leaf's place",
            rules::PROFILE,
        ),
        case().chain(vec![CertificateDer::from(vec![0x30, 3, 2, 1])]).refused(
            "truncated",
            "bytes that are no certificate",
            rules::MALFORMED,
        ),
        case().chain(vec![CertificateDer::from([&leaf[..], &[0]].concat())]).refused(
            "trailing-byte",
            "a byte after the certificate",
            rules::MALFORMED,
        ),
        case().chain(vec![CertificateDer::from(vec![0x30; 5_000])]).refused(
            "too-large",
            "a certificate of 5,000 bytes",
            rules::MALFORMED,
        ),
    ];
    let stranger = other.leaf(SCHOOL, client());
    cases.push(
        Case::of(w, "tls_client", stranger.clone())
            .chain(vec![stranger.clone(), other.issuing.certificate().clone()])
            .refused("other-ca", "another CA with the same names", rules::UNKNOWN_AUTHORITY),
    );
    cases.push(Case::of(w, "tls_client", stranger.clone()).chain(vec![stranger]).refused(
        "other-ca-alone",
        "the same without its CA",
        rules::UNKNOWN_AUTHORITY,
    ));
    cases.push(
        Case::of(w, "signing", other.leaf(SCHOOL, client()))
            .chain(vec![other.leaf(SCHOOL, client())])
            .refused("other-ca-wrong-use", "the first reason counts", rules::UNKNOWN_AUTHORITY),
    );
    let foreign = w.deviant(SCHOOL, client(), |p| {
        p.subject_alt_names = vec![uri("spiffe://other.example/school/900001")];
        p.serial_number = Some(SerialNumber::from_slice(&[0x11; 7]));
    });
    cases.push(Case::of(w, "signing", foreign).refused(
        "foreign-and-more",
        "another trust domain, another use, and a short serial number",
        rules::FOREIGN_TRUST_DOMAIN,
    ));
    let mut tampered = leaf.to_vec();
    let at = tampered.windows(6).position(|w| w == b"900001").unwrap();
    tampered[at + 5] = b'2';
    cases.push(Case::of(w, "tls_client", tampered.into()).refused(
        "tampered",
        "a name altered after signing",
        rules::UNKNOWN_AUTHORITY,
    ));
    let request = w.request(SCHOOL, client());
    let by_root = w.root.deviant_leaf(&request, &key(9), &w.entropy, |_| {}).unwrap();
    cases.push(Case::of(w, "tls_client", by_root.clone()).chain(vec![by_root]).refused(
        "by-the-root",
        "a leaf signed by the root itself",
        rules::PROFILE,
    ));
    let period = Period::of_days(made(), 30);
    let sub = w.issuing.deviant_issuing("Sub CA", key(7), period, &w.entropy, |_| {}).unwrap();
    let below = sub.deviant_leaf(&request, &key(9), &w.entropy, |_| {}).unwrap();
    cases.push(
        Case::of(w, "tls_client", below.clone())
            .chain(vec![below, sub.certificate().clone(), issuing])
            .refused("below-a-sub-ca", "a CA below the issuing CA", rules::UNKNOWN_AUTHORITY),
    );
    let outlives = w.deviant(SCHOOL, client(), |p| {
        p.not_before -= std::time::Duration::from_secs(86_400);
        p.not_after -= std::time::Duration::from_secs(86_400);
    });
    cases.push(Case::of(w, "tls_client", outlives).refused(
        "older-than-its-ca",
        "a leaf valid before its CA",
        rules::PROFILE,
    ));

    // A gateway's leaf begins 2026-11-01T00:00:00Z and ends 47 days later, both seconds included.
    let leaf = w.leaf(GATEWAY, LeafKind::Signing);
    let (begins, ends) = (time("2026-11-01T00:00:00Z"), time("2026-12-18T00:00:00Z"));
    let list = CrlContent { number: 9, ..w.content(7, vec![]) };
    let list = CrlContent { this_update: ends, next_update: ends.plus(DAY), ..list };
    let list = w.issuing.crl(&list).unwrap();
    for (id, shows, at, rule) in [
        ("first-instant", "notBefore itself", begins, None),
        ("before", "one second too early", begins.plus(-SECOND), Some(rules::NOT_YET_VALID)),
        ("last-instant", "the last second", ends.plus(SECOND - 1), None),
        ("after", "one second too late", ends.plus(SECOND), Some(rules::EXPIRED)),
        ("years-before", "1969", time("1969-12-31T23:59:59Z"), Some(rules::NOT_YET_VALID)),
    ] {
        let case = Case::of(w, "signing", leaf.clone()).at(at).crl(list.clone());
        cases.push(match rule {
            None => case.verified(id, shows, GATEWAY, "good"),
            Some(rule) => case.refused(id, shows, rule),
        });
    }
    cases
}
