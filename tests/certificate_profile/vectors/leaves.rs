//! A single leaf: identity, use, extensions, key.

use ecaf::protocol::trust::issue::LeafKind;
use ecaf::protocol::trust::rules;
use rcgen::{SanType, SubjectPublicKeyInfo};

use super::uses::{extensions, uses};
use super::{Case, uri};
use crate::world::{AUTHORITY, GATEWAY, SCHOOL, Vector, World, client, server};

/// What a single leaf may be.
pub(super) fn leaves() -> Vec<Vector> {
    let world = World::new(1);
    let w = &world;
    let mut cases = Vec::new();

    // Good ones of every kind.
    for (id, path, kind, purpose) in [
        ("school-client", SCHOOL, client(), "tls_client"),
        ("school-signing", SCHOOL, LeafKind::Signing, "signing"),
        ("ukprn-school-signing", "school/ukprn-10000001", LeafKind::Signing, "signing"),
        ("person-client", "school/900001/person/p-7f3a", client(), "tls_client"),
        ("person-signing", "authority/204/person/w12", LeafKind::Signing, "signing"),
        ("authority-client", AUTHORITY, client(), "tls_client"),
        ("authority-server", AUTHORITY, server("a204.demo.ecaf.example"), "tls_server"),
        ("authority-server-as-client", AUTHORITY, server("a204.demo.ecaf.example"), "tls_client"),
        ("authority-signing", AUTHORITY, LeafKind::Signing, "signing"),
        ("school-server", SCHOOL, server("events.school.demo.ecaf.example"), "tls_server"),
        ("gateway-server", GATEWAY, server("localhost"), "tls_server"),
        ("gateway-signing", GATEWAY, LeafKind::Signing, "signing"),
        ("operator-signing", "operator/scheme", LeafKind::Signing, "signing"),
    ] {
        let case = Case::of(w, purpose, w.leaf(path, kind));
        cases.push(case.verified(id, "a leaf that keeps the profile", path, "good"));
    }
    for (id, pem) in [
        ("key-p256", include_str!("../keys/p256.pem")),
        ("key-p384", include_str!("../keys/p384.pem")),
        ("key-rsa-3072", include_str!("../keys/rsa3072.pem")),
    ] {
        let request = w.request(SCHOOL, LeafKind::Signing);
        let leaf = w.issuing.deviant_leaf(&request, &public_key(pem), &w.entropy, |_| {}).unwrap();
        let case = Case::of(w, "signing", leaf);
        cases.push(case.verified(id, "an allowed type of key", SCHOOL, "good"));
    }
    let weak = public_key(include_str!("../keys/rsa2048.pem"));
    let request = w.request(SCHOOL, LeafKind::Signing);
    let leaf = w.issuing.deviant_leaf(&request, &weak, &w.entropy, |_| {}).unwrap();
    let case = Case::of(w, "signing", leaf);
    cases.push(case.refused("key-rsa-2048", "an RSA key that is too short", rules::WEAK_KEY));

    identities(w, &mut cases);
    uses(w, &mut cases);
    extensions(w, &mut cases);
    cases
}

/// Names: exactly one SPIFFE ID of this scheme.
fn identities(w: &World, cases: &mut Vec<Vector>) {
    let ours = "spiffe://demo.ecaf.example/school/900001";
    let mut case = |id: &str, shows: &str, names: Vec<SanType>, rule| {
        let leaf = w.deviant(SCHOOL, client(), |p| p.subject_alt_names = names);
        cases.push(Case::of(w, "tls_client", leaf).refused(id, shows, rule));
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    case("no-names", "no subject alternative name at all", vec![], rules::NO_IDENTITY);
    case("no-uri", "a DNS name but no URI name", vec![dns("localhost")], rules::NO_IDENTITY);
    case(
        "uri-not-spiffe",
        "a URI name that is no SPIFFE ID",
        vec![uri("https://demo.ecaf.example/school/900001")],
        rules::NO_IDENTITY,
    );
    case(
        "uri-unknown-path",
        "a SPIFFE ID of the trust domain that names no party",
        vec![uri("spiffe://demo.ecaf.example/ns/default/sa/web")],
        rules::NO_IDENTITY,
    );
    case(
        "uri-percent-encoded",
        "a second spelling of an identity",
        vec![uri("spiffe://demo.ecaf.example/school/90000%31")],
        rules::NO_IDENTITY,
    );
    case(
        "two-uris",
        "two parties in one certificate",
        vec![uri(ours), uri("spiffe://demo.ecaf.example/school/900002")],
        rules::SEVERAL_IDENTITIES,
    );
    case(
        "same-uri-twice",
        "even the same one twice",
        vec![uri(ours), uri(ours)],
        rules::SEVERAL_IDENTITIES,
    );
    case(
        "foreign-domain",
        "a party of another trust domain, signed by this scheme",
        vec![uri("spiffe://other.example/school/900001")],
        rules::FOREIGN_TRUST_DOMAIN,
    );
    case(
        "e-mail-name",
        "a name that is neither URI nor DNS",
        vec![uri(ours), SanType::Rfc822Name("office@demo.ecaf.example".try_into().unwrap())],
        rules::PROFILE,
    );
    case(
        "address-name",
        "an IP address as a name",
        vec![uri(ours), SanType::IpAddress([127, 0, 0, 1].into())],
        rules::PROFILE,
    );
    case(
        "long-lived-school-with-dns",
        "a school that listens, for longer than servers may",
        vec![uri(ours), dns("school.demo.ecaf.example")],
        rules::PROFILE,
    );
    let wildcard = vec![uri("spiffe://demo.ecaf.example/gateway/example-1"), dns("*.example")];
    case("wildcard", "a wildcard DNS name", wildcard, rules::PROFILE);
}

fn public_key(pem: &str) -> SubjectPublicKeyInfo {
    SubjectPublicKeyInfo::from_pem(pem).unwrap()
}
