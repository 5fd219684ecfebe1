//! Roots and issuing CAs.

use ecaf::protocol::trust::issue::{Ca, Period};
use ecaf::protocol::trust::rules;
use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyUsagePurpose,
    NameConstraints,
};

use super::{Case, uri};
use crate::world::{SCHOOL, Vector, World, client, key, made};

/// What roots and issuing CAs may be.
pub(super) fn authorities() -> Vec<Vector> {
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
