//! The four states of revocation, and judging the past.

use ecaf::domain::time::{DAY, HOUR};
use ecaf::protocol::trust::issue::{CrlContent, LeafKind, Reason};
use ecaf::protocol::trust::rules;

use super::Case;
use crate::world::{SCHOOL, Vector, World, made, revoked, time};

/// The four states, and the past.
pub(super) fn revocation() -> Vec<Vector> {
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
