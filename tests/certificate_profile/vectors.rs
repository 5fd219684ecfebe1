//! The cases: one function per file of `conformance/certificates/`.

use crate::world::{
    AUTHORITY, DOMAIN, Expect, GATEWAY, SCHOOL, Vector, World, client, key, made, noon, revoked,
    serial, server, time,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ecaf::domain::time::{DAY, HOUR, SECOND, Timestamp};
use ecaf::protocol::trust::issue::deviant::der_extension;
use ecaf::protocol::trust::issue::{Ca, CrlContent, LeafKind, Period, Reason};
use ecaf::protocol::trust::{SIGNING_EKU, rules};
use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;

type Make = fn() -> Vec<Vector>;

/// Each file and what makes it.
pub const FILES: &[(&str, Make)] = &[
    ("leaves.json", leaves),
    ("chains.json", chains),
    ("authorities.json", authorities),
    ("revocation.json", revocation),
    ("lists.json", lists),
];

/// The text of a file.
pub fn to_json(cases: &[Vector]) -> String {
    #[derive(serde::Serialize)]
    struct File<'a> {
        about: &'a str,
        cases: &'a [Vector],
    }
    let about = "Certificate chains and what a verifier of the scheme must say about each. All \
                 certificates and lists are base64 of DER, the leaf first. `roots`, `issuing` and \
                 `crls` are all that is trusted; a fault in them is the answer. Every key is of \
                 no use anywhere else.";
    serde_json::to_string_pretty(&File { about, cases }).unwrap() + "\n"
}

/// A case under construction, judged in a scheme where all else is good.
struct Case<'a> {
    world: &'a World,
    purpose: &'static str,
    at: Timestamp,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    issuing: Vec<CertificateDer<'static>>,
    crls: Vec<Vec<u8>>,
}

impl<'a> Case<'a> {
    fn of(world: &'a World, purpose: &'static str, leaf: CertificateDer<'static>) -> Self {
        Self {
            world,
            purpose,
            at: noon(),
            chain: vec![leaf, world.issuing.certificate().clone()],
            roots: vec![world.root.certificate().clone()],
            issuing: vec![world.issuing.certificate().clone()],
            crls: vec![world.root_crl(), world.issuing_crl()],
        }
    }

    fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    fn chain(mut self, chain: Vec<CertificateDer<'static>>) -> Self {
        self.chain = chain;
        self
    }

    fn roots(mut self, roots: &[&Ca]) -> Self {
        self.roots = roots.iter().map(|ca| ca.certificate().clone()).collect();
        self
    }

    fn issuing(mut self, issuing: Vec<CertificateDer<'static>>) -> Self {
        self.issuing = issuing;
        self
    }

    fn crls(mut self, crls: Vec<Vec<u8>>) -> Self {
        self.crls = crls;
        self
    }

    /// The root's good list and this one.
    fn crl(self, issuing_crl: Vec<u8>) -> Self {
        let root_crl = self.world.root_crl();
        self.crls(vec![root_crl, issuing_crl])
    }

    fn expect(self, id: &str, shows: &str, expect: Expect) -> Vector {
        let encode = |der: &[u8]| STANDARD.encode(der);
        Vector {
            id: id.to_owned(),
            shows: shows.to_owned(),
            trust_domain: DOMAIN.to_owned(),
            purpose: self.purpose,
            at: self.at.to_string(),
            chain: self.chain.iter().map(|c| encode(c)).collect(),
            roots: self.roots.iter().map(|c| encode(c)).collect(),
            issuing: self.issuing.iter().map(|c| encode(c)).collect(),
            crls: self.crls.iter().map(|c| encode(c)).collect(),
            expect,
        }
    }

    fn verified(self, id: &str, shows: &str, path: &str, revocation: &'static str) -> Vector {
        let party = format!("spiffe://{DOMAIN}/{path}");
        self.expect(id, shows, Expect::Verified { party, revocation })
    }

    fn refused(self, id: &str, shows: &str, rule: ecaf::domain::refusal::Rule) -> Vector {
        self.expect(id, shows, Expect::Refused { rule: rule.id })
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn public_key(pem: &str) -> SubjectPublicKeyInfo {
    SubjectPublicKeyInfo::from_pem(pem).unwrap()
}

/// What a single leaf may be.
fn leaves() -> Vec<Vector> {
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
        ("gateway-server", GATEWAY, server("localhost"), "tls_server"),
        ("gateway-signing", GATEWAY, LeafKind::Signing, "signing"),
        ("operator-signing", "operator/scheme", LeafKind::Signing, "signing"),
    ] {
        let case = Case::of(w, purpose, w.leaf(path, kind));
        cases.push(case.verified(id, "a leaf that keeps the profile", path, "good"));
    }
    for (id, pem) in [
        ("key-p256", include_str!("keys/p256.pem")),
        ("key-p384", include_str!("keys/p384.pem")),
        ("key-rsa-3072", include_str!("keys/rsa3072.pem")),
    ] {
        let request = w.request(SCHOOL, LeafKind::Signing);
        let leaf = w.issuing.deviant_leaf(&request, &public_key(pem), &w.entropy, |_| {}).unwrap();
        let case = Case::of(w, "signing", leaf);
        cases.push(case.verified(id, "an allowed type of key", SCHOOL, "good"));
    }
    let weak = public_key(include_str!("keys/rsa2048.pem"));
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
        "school-with-dns",
        "a school is no server",
        vec![uri(ours), dns("school.demo.ecaf.example")],
        rules::PROFILE,
    );
    let wildcard = vec![uri("spiffe://demo.ecaf.example/gateway/example-1"), dns("*.example")];
    case("wildcard", "a wildcard DNS name", wildcard, rules::PROFILE);
}

/// Each kind of leaf in the other's place, and every other use of a key.
fn uses(w: &World, cases: &mut Vec<Vector>) {
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
    let leaf = w.leaf(SCHOOL, client());
    let case = Case::of(w, "tls_server", leaf);
    cases.push(case.refused("school-as-server", "a school that listens", rules::WRONG_ROLE));
    let leaf = w.deviant(AUTHORITY, LeafKind::Signing, |p| {
        p.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
    });
    let case = Case::of(w, "signing", leaf);
    cases.push(case.refused("signing-with-dns", "a signing leaf with DNS name", rules::PROFILE));
}

/// The rest of the profile of a leaf.
fn extensions(w: &World, cases: &mut Vec<Vector>) {
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

/// Chains and times.
fn chains() -> Vec<Vector> {
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

/// What roots and issuing CAs may be.
fn authorities() -> Vec<Vector> {
    let (world, other) = (World::new(1), World::new(41));
    let w = &world;
    let leaf = w.leaf(SCHOOL, client());
    let case = || Case::of(w, "tls_client", leaf.clone()).crls(vec![]);
    let mut cases = vec![
        case()
            .roots(&[&w.root, &other.root])
            .issuing(vec![other.issuing.certificate().clone(), w.issuing.certificate().clone()])
            .crls(vec![other.issuing_crl(), w.issuing_crl(), w.root_crl(), other.root_crl()])
            .verified("two-schemes-of-one-name", "told apart by key identifier", SCHOOL, "good"),
        case().roots(&[]).refused("no-root", "nothing to trust", rules::UNKNOWN_AUTHORITY),
        case().roots(&[&other.root]).refused(
            "issuing-of-another-root",
            "an issuing CA of another root",
            rules::UNKNOWN_AUTHORITY,
        ),
        case().roots(&[&w.issuing]).refused(
            "issuing-as-root",
            "an issuing CA in a root's place",
            rules::PROFILE,
        ),
        case().issuing(vec![w.root.certificate().clone()]).refused(
            "root-as-issuing",
            "a root in an issuing CA's place",
            rules::PROFILE,
        ),
        case().issuing(vec![]).refused(
            "no-issuing",
            "a leaf whose CA is sent but not loaded",
            rules::UNKNOWN_AUTHORITY,
        ),
    ];
    let day = std::time::Duration::from_secs(86_400);
    let unconstrained = IsCa::Ca(BasicConstraints::Unconstrained);
    let path_1 = IsCa::Ca(BasicConstraints::Constrained(1));
    type Alter<'a> = &'a dyn Fn(&mut rcgen::CertificateParams);
    let alterations: [(&str, &str, Alter<'_>); 8] = [
        ("no-path-length", "no path length", &|p| p.is_ca = unconstrained),
        ("path-length-1", "a path length that allows CAs below", &|p| p.is_ca = path_1),
        ("not-a-ca", "basic constraints of a leaf", &|p| p.is_ca = IsCa::ExplicitNoCa),
        ("ca-signs-data", "a key usage besides certificates and lists", &|p| {
            p.key_usages.push(KeyUsagePurpose::DigitalSignature);
        }),
        ("ca-with-eku", "an extended key usage", &|p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }),
        ("ca-with-name", "a subject alternative name", &|p| {
            p.subject_alt_names = vec![uri("spiffe://demo.ecaf.example/operator/scheme")];
        }),
        ("ca-six-years", "a validity that is too long", &|p| p.not_after += 366 * day),
        ("ca-constrained", "name constraints", &|p| {
            let subtree = GeneralSubtree::DnsName("demo.ecaf.example".to_owned());
            let permitted_subtrees = vec![subtree];
            p.name_constraints =
                Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        }),
    ];
    for (id, shows, alter) in alterations {
        let period = Period::of_issuing(made());
        let ca = w.root.deviant_issuing("Odd CA", key(7), period, &w.entropy, alter).unwrap();
        let case = case().issuing(vec![ca.certificate().clone()]);
        cases.push(case.refused(id, &format!("an issuing CA with {shows}"), rules::PROFILE));
    }
    let long = Ca::deviant_root("Old root", key(7), Period::of_root(made()), &w.entropy, |p| {
        p.not_after += day;
    });
    cases.push(case().roots(&[&long.unwrap()]).issuing(vec![]).refused(
        "root-too-long",
        "a root for more than 20 years",
        rules::PROFILE,
    ));
    cases
}

/// The four states, and the past.
fn revocation() -> Vec<Vector> {
    let world = World::new(1);
    let w = &world;
    let leaf = w.leaf(SCHOOL, LeafKind::Signing);
    let case = || Case::of(w, "signing", leaf.clone());
    let (made, next) = (made(), made().plus(7 * DAY));
    let mut cases = vec![
        case().verified("good", "a current list does not name it", SCHOOL, "good"),
        case().crls(vec![]).refused("no-lists", "no list at all", rules::REVOCATION_UNKNOWN),
        case().crls(vec![w.root_crl()]).refused(
            "no-issuing-list",
            "no list of the issuing CA",
            rules::REVOCATION_UNKNOWN,
        ),
        case().crls(vec![w.issuing_crl()]).refused(
            "no-root-list",
            "no list of the root, so the issuing CA may be revoked",
            rules::REVOCATION_UNKNOWN,
        ),
        case().at(next.plus(-1)).verified("last-current", "just before nextUpdate", SCHOOL, "good"),
        case().at(next).verified("stale", "nextUpdate itself", SCHOOL, "stale"),
        case().at(next.plus(24 * HOUR)).verified(
            "last-stale",
            "24 hours after nextUpdate",
            SCHOOL,
            "stale",
        ),
        case().at(next.plus(24 * HOUR + 1)).refused(
            "too-old",
            "more than 24 hours after nextUpdate",
            rules::REVOCATION_STALE,
        ),
    ];
    // Revoked on the 5th at noon; the key was lost on the 3rd.
    let entry = |from| revoked(&leaf, "2026-11-05T12:00:00Z", Reason::KeyCompromise, from);
    let list = |from| {
        let content = CrlContent {
            number: 2,
            this_update: time("2026-11-05T12:00:00Z"),
            next_update: time("2026-11-06T12:00:00Z"),
            revoked: vec![entry(from)],
        };
        w.issuing.crl(&content).unwrap()
    };
    for (id, shows, at, from, rule) in [
        ("revoked", "after the revocation", "2026-11-05T13:00:00Z", None, true),
        ("revoked-at-once", "the very instant of it", "2026-11-05T12:00:00Z", None, true),
        (
            "revoked-in-old-list",
            "a list too old to be used otherwise",
            "2026-11-30T00:00:00Z",
            None,
            true,
        ),
        ("before-revocation", "a signature made before", "2026-11-05T11:59:59Z", None, false),
        (
            "before-the-loss",
            "before the key was lost",
            "2026-11-02T00:00:00Z",
            Some("2026-11-03T00:00:00Z"),
            false,
        ),
    ] {
        let case = case().at(time(at)).crl(list(from));
        cases.push(match rule {
            true => case.refused(id, shows, rules::REVOKED),
            false => case.verified(id, shows, SCHOOL, "good"),
        });
    }
    cases.push(
        case().at(time("2026-11-04T00:00:00Z")).crl(list(Some("2026-11-03T00:00:00Z"))).verified(
            "doubted",
            "between the loss of the key and its revocation",
            SCHOOL,
            "doubted",
        ),
    );
    cases.push(
        case()
            .at(time("2026-11-04T00:00:00Z"))
            .crls(vec![w.root_crl(), list(None), w.issuing_crl()])
            .verified(
                "newest-list-counts",
                "the list with the highest number, in whatever order they are loaded",
                SCHOOL,
                "good",
            ),
    );
    cases.push(
        case()
            .at(time("2026-11-05T13:00:00Z"))
            .crls(vec![list(None), w.issuing_crl(), w.root_crl()])
            .refused(
                "older-list-beside",
                "an older list that does not know yet changes nothing",
                rules::REVOKED,
            ),
    );
    // The issuing CA itself.
    let ca = w.issuing.certificate();
    let entries = vec![revoked(ca, "2026-11-01T00:05:00Z", Reason::CaCompromise, None)];
    let root_list = w.root.crl(&w.content(90, entries)).unwrap();
    cases.push(case().crls(vec![root_list.clone(), w.issuing_crl()]).refused(
        "issuing-revoked",
        "the issuing CA is revoked",
        rules::REVOKED,
    ));
    cases.push(case().crls(vec![root_list]).refused(
        "issuing-revoked-and-no-list",
        "what is known to be revoked is called so",
        rules::REVOKED,
    ));
    // A list made after the leaf had expired still decides about the time before.
    let later = made.plus(400 * DAY);
    let content = |revoked| CrlContent {
        number: 60,
        this_update: later,
        next_update: later.plus(7 * DAY),
        revoked,
    };
    let root_later = w.root.crl(&content(vec![])).unwrap();
    let good = w.issuing.crl(&content(vec![])).unwrap();
    let bad = w.issuing.crl(&content(vec![entry(None)])).unwrap();
    cases.push(case().crls(vec![root_later.clone(), good]).verified(
        "judged-later",
        "expired and still good for what it signed in time",
        SCHOOL,
        "good",
    ));
    cases.push(case().at(time("2026-11-06T00:00:00Z")).crls(vec![root_later, bad]).refused(
        "judged-later-revoked",
        "lists keep expired certificates",
        rules::REVOKED,
    ));
    cases
}

/// What a revocation list may be.
fn lists() -> Vec<Vector> {
    let (world, other) = (World::new(1), World::new(41));
    let w = &world;
    let leaf = w.leaf(SCHOOL, client());
    let case = || Case::of(w, "tls_client", leaf.clone());
    let content = |days| w.content(days, vec![]);
    let mut cases = vec![
        case().crl(vec![0x30, 0]).refused("crl-empty", "no list", rules::CRL_MALFORMED),
        case().crl([&w.issuing_crl()[..], &[0]].concat()).refused(
            "crl-trailing-byte",
            "a byte after the list",
            rules::CRL_MALFORMED,
        ),
        case().crl(other.issuing_crl()).refused(
            "crl-other-ca",
            "a list of another CA with the same name",
            rules::CRL_UNKNOWN_AUTHORITY,
        ),
        case().crl(w.issuing.crl(&content(8)).unwrap()).refused(
            "crl-eight-days",
            "an issuing CA's list for more than a week",
            rules::CRL_PROFILE,
        ),
        case().crls(vec![w.root.crl(&content(93)).unwrap(), w.issuing_crl()]).refused(
            "crl-root-93-days",
            "a root's list for more than a quarter",
            rules::CRL_PROFILE,
        ),
    ];
    let mut conflict = content(6);
    conflict.number = 1;
    cases.push(
        case()
            .crls(vec![w.root_crl(), w.issuing_crl(), w.issuing.crl(&conflict).unwrap()])
            .refused("crl-conflict", "two different lists with one number", rules::CRL_CONFLICT),
    );
    let mut tampered = w.issuing_crl();
    let at = tampered.windows(6).position(|w| w == b"261108").unwrap();
    tampered[at + 5] = b'9';
    cases.push(case().crl(tampered).refused(
        "crl-tampered",
        "a date altered after signing",
        rules::CRL_UNKNOWN_AUTHORITY,
    ));
    type Alter<'a> = &'a dyn Fn(&mut ecaf::protocol::trust::issue::CrlParts);
    let (delta, point) = ([0x55, 0x1d, 0x1b], [0x55, 0x1d, 0x1c]);
    let alterations: [(&str, &str, Alter<'_>); 10] = [
        ("crl-version-1", "no version", &|p| p.version.clear()),
        ("crl-no-next-update", "no nextUpdate", &|p| {
            p.times.pop();
        }),
        ("crl-backwards", "nextUpdate before thisUpdate", &|p| p.times.reverse()),
        ("crl-no-key-id", "no authority key identifier", &|p| {
            p.extensions.remove(0);
        }),
        ("crl-no-number", "no number", &|p| {
            p.extensions.remove(1);
        }),
        ("crl-forgets-expired", "no promise to keep expired certificates", &|p| {
            p.extensions.remove(2);
        }),
        ("crl-delta", "a delta", &|p| p.extensions.push(der_extension(&delta, true, &[2, 1, 1]))),
        ("crl-partial", "a distribution point of its own", &|p| {
            // onlyContainsUserCerts [1] TRUE
            p.extensions.push(der_extension(&point, true, &[0x30, 3, 0x81, 1, 0xff]));
        }),
        ("crl-unknown-critical", "an unknown critical extension", &|p| {
            p.extensions.push(der_extension(&[0x2b, 6, 1, 9], true, &[5, 0]));
        }),
        ("crl-extension-twice", "an extension twice", &|p| {
            p.extensions.push(p.extensions[1].clone());
        }),
    ];
    for (id, shows, alter) in alterations {
        let list = w.issuing.deviant_crl(&content(7), alter).unwrap();
        cases.push(case().crl(list).refused(
            id,
            &format!("a list with {shows}"),
            rules::CRL_PROFILE,
        ));
    }
    let entry = |at: &str, from| revoked(&leaf, at, Reason::Superseded, from);
    for (id, shows, entries) in [
        (
            "crl-entry-in-future",
            "an entry dated after the list",
            vec![entry("2026-11-02T00:00:00Z", None)],
        ),
        (
            "crl-invalid-after-revoked",
            "an invalidity date after the revocation",
            vec![entry("2026-11-01T00:00:00Z", Some("2026-11-01T00:00:01Z"))],
        ),
        (
            "crl-entry-twice",
            "a certificate twice",
            vec![entry("2026-11-01T00:00:00Z", None), entry("2026-11-01T00:00:01Z", None)],
        ),
    ] {
        let list = w.issuing.crl(&w.content(7, entries)).unwrap();
        cases.push(case().crl(list).refused(id, shows, rules::CRL_PROFILE));
    }
    let revoked = w.content(7, vec![entry("2026-11-01T00:00:00Z", None)]);
    for (id, shows, reason) in [
        ("crl-hold", "certificateHold, which could be lifted", 6),
        ("crl-unspecified", "a reason that says nothing", 0),
    ] {
        let list = w.issuing.deviant_crl(&revoked, |parts| {
            // ENUMERATED, one byte.
            let entry = &mut parts.entries[0];
            let at = entry.windows(2).rposition(|w| w == [0x0a, 1]).unwrap();
            entry[at + 2] = reason;
        });
        cases.push(case().crl(list.unwrap()).refused(id, shows, rules::CRL_PROFILE));
    }
    cases
}
