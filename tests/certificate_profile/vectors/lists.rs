//! Revocation lists.

use ecaf::protocol::trust::issue::Reason;
use ecaf::protocol::trust::issue::deviant::der_extension;
use ecaf::protocol::trust::rules;

use super::Case;
use crate::world::{SCHOOL, Vector, World, client, revoked};

/// What a revocation list may be.
pub(super) fn lists() -> Vec<Vector> {
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
