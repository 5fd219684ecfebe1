//! The use of a leaf's key, and its extensions.

use ecaf::protocol::trust::issue::LeafKind;
use ecaf::protocol::trust::{SIGNING_EKU, rules};
use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};

use super::Case;
use crate::world::{AUTHORITY, GATEWAY, SCHOOL, Vector, World, client, serial, server};

/// Each kind of leaf in the other's place, and every other use of a key.
pub(super) fn uses(w: &World, cases: &mut Vec<Vector>) {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, Other, ServerAuth};
    let ours: Vec<u64> = SIGNING_EKU.split('.').map(|arc| arc.parse().unwrap()).collect();
    for (id, shows, purpose, leaf) in [
        ("tls-for-signing", "a tls leaf used for signing", "signing", w.leaf(SCHOOL, client())),
        (
            "signing-for-client",
            "a signing leaf used to connect",
            "tls_client",
            w.leaf(SCHOOL, LeafKind::Signing),
        ),
        (
            "signing-for-server",
            "a signing leaf used to listen",
            "tls_server",
            w.leaf(GATEWAY, LeafKind::Signing),
        ),
    ] {
        cases.push(Case::of(w, purpose, leaf).refused(id, shows, rules::WRONG_KEY_USAGE));
    }
    for (id, shows, purpose, usage) in [
        ("no-eku", "no extended key usage", "tls_client", vec![]),
        ("any-eku", "any use", "tls_client", vec![Any]),
        ("only-client-eku", "client use alone", "tls_client", vec![ClientAuth]),
        (
            "tls-and-more",
            "TLS and another use",
            "tls_client",
            vec![ServerAuth, ClientAuth, CodeSigning],
        ),
        (
            "tls-and-signing",
            "both kinds in one",
            "signing",
            vec![ServerAuth, ClientAuth, Other(ours.clone())],
        ),
        ("signing-and-any", "signing and any use", "signing", vec![Other(ours), Any]),
        (
            "other-signing",
            "another scheme's use",
            "signing",
            vec![Other(vec![1, 3, 6, 1, 4, 1, 32473, 1, 2])],
        ),
    ] {
        let leaf = w.deviant(SCHOOL, client(), |p| p.extended_key_usages = usage);
        cases.push(Case::of(w, purpose, leaf).refused(id, shows, rules::WRONG_KEY_USAGE));
    }
    use KeyUsagePurpose::{ContentCommitment, DigitalSignature, KeyCertSign, KeyEncipherment};
    for (id, shows, usage) in [
        ("ku-encipherment", "a key usage besides signing", vec![DigitalSignature, KeyEncipherment]),
        ("ku-only-commitment", "another key usage", vec![ContentCommitment]),
        (
            "ku-certificates",
            "a leaf that may sign certificates",
            vec![DigitalSignature, KeyCertSign],
        ),
    ] {
        let leaf = w.deviant(SCHOOL, client(), |p| p.key_usages = usage);
        cases.push(Case::of(w, "tls_client", leaf).refused(id, shows, rules::WRONG_KEY_USAGE));
    }
    let leaf = w.deviant(SCHOOL, client(), |p| p.key_usages = Vec::new());
    cases.push(Case::of(w, "tls_client", leaf).refused("no-ku", "no key usage", rules::PROFILE));
    let leaf = w.leaf(AUTHORITY, client());
    let case = Case::of(w, "tls_server", leaf);
    cases.push(case.refused("server-without-dns", "a server without DNS name", rules::PROFILE));
    let leaf = w.leaf("authority/204/person/w12", client());
    let case = Case::of(w, "tls_server", leaf);
    cases.push(case.refused("person-as-server", "a person that listens", rules::WRONG_ROLE));
    let leaf = w.deviant(AUTHORITY, LeafKind::Signing, |p| {
        p.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
    });
    let case = Case::of(w, "signing", leaf);
    cases.push(case.refused("signing-with-dns", "a signing leaf with DNS name", rules::PROFILE));
}

/// The rest of the profile of a leaf.
pub(super) fn extensions(w: &World, cases: &mut Vec<Vector>) {
    let mut case = |id: &str, shows: &str, alter: &dyn Fn(&mut rcgen::CertificateParams), rule| {
        let leaf = w.deviant(SCHOOL, client(), alter);
        cases.push(Case::of(w, "tls_client", leaf).refused(id, shows, rule));
    };
    case(
        "unknown-critical",
        "a critical extension that nobody here knows",
        &|p| {
            let mut unknown =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 9], vec![5, 0]);
            unknown.set_criticality(true);
            p.custom_extensions = vec![unknown];
        },
        rules::PROFILE,
    );
    case(
        "extension-twice",
        "the same extension twice",
        &|p| {
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 14], vec![4, 1, 7]);
            p.custom_extensions = vec![extension];
        },
        rules::PROFILE,
    );
    case(
        "name-constraints",
        "name constraints, which only a CA could have, and none here has",
        &|p| {
            let subtree = GeneralSubtree::DnsName("demo.ecaf.example".to_owned());
            p.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![subtree],
                excluded_subtrees: vec![],
            });
        },
        rules::PROFILE,
    );
    case(
        "leaf-is-ca",
        "a leaf that says it is a CA",
        &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        rules::PROFILE,
    );
    case("no-basic-constraints", "no basic constraints", &|p| p.is_ca = IsCa::NoCa, rules::PROFILE);
    case(
        "no-authority-key-id",
        "no authority key identifier",
        &|p| p.use_authority_key_identifier_extension = false,
        rules::PROFILE,
    );
    case(
        "short-serial",
        "a serial number that can be guessed",
        &|p| p.serial_number = Some(SerialNumber::from_slice(&[0x11; 7])),
        rules::PROFILE,
    );
    case(
        "long-serial",
        "a serial number of more than 159 bits",
        &|p| p.serial_number = Some(SerialNumber::from_slice(&[0x80; 20])),
        rules::PROFILE,
    );
    case(
        "too-long-validity",
        "an organisation's leaf for 398 days",
        &|p| p.not_after += std::time::Duration::from_secs(86_400),
        rules::PROFILE,
    );
    let leaf = w.deviant(GATEWAY, server("localhost"), |p| {
        p.not_after += std::time::Duration::from_secs(86_400);
    });
    let case = Case::of(w, "tls_server", leaf);
    cases.push(case.refused("gateway-48-days", "a gateway's leaf for 48 days", rules::PROFILE));

    let good = w.leaf(SCHOOL, client());
    for (id, shows, from, to, rule) in [
        // [0] { INTEGER 2 } is version 3.
        (
            "version-2",
            "a certificate of version 2",
            &[0xa0, 3, 2, 1, 2][..],
            &[0xa0, 3, 2, 1, 1][..],
            None,
        ),
        (
            "algorithms-differ",
            "two statements about the signature's algorithm that differ",
            &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70][..],
            &[0x30, 5, 6, 3, 0x2b, 0x65, 0x71][..],
            None,
        ),
        (
            "negative-serial",
            "a negative serial number",
            &serial(&good)[..2],
            &[0xff, 0xff][..],
            None,
        ),
        (
            "bad-boolean",
            "BER that is not DER",
            &[1, 1, 0xff][..],
            &[1, 1, 0x01][..],
            Some(rules::MALFORMED),
        ),
    ] {
        let leaf = w.issuing.resign(&good, |signed| {
            let found = signed.windows(from.len()).position(|window| window == from).unwrap();
            signed[found..found + to.len()].copy_from_slice(to);
        });
        let case = Case::of(w, "tls_client", leaf.unwrap());
        cases.push(case.refused(id, shows, rule.unwrap_or(rules::PROFILE)));
    }
}
