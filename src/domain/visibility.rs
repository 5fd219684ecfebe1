//! Who may see what of a referral: one pure function, used by every way out.
//!
//! | relation | timeline | document | evidence | other authorities' deliveries | events of |
//! |---|---|---|---|---|---|
//! | sender (the school) | yes | yes | yes | yes | everybody |
//! | holder (accountable authority) | yes | yes | yes | yes | everybody |
//! | proposed (asked to take it over) | yes | yes | yes | yes | everybody |
//! | child in area, case holding | yes | yes | yes | its own only | itself, school, holder, gateways |
//! | former holder | yes | no | yes | its own only | itself |
//! | any other party, and one that declined | no | no | no | no | nobody |
//!
//! Threads that an event began have two sides at most:
//!
//! | began with | the school's side | the authority's side | anybody else |
//! |---|---|---|---|
//! | notice | the school that it is for: as a sender | the authority that gives it: as a holder | nothing |
//! | consultation | the school that asks: as a sender | the authority that is asked: as a holder | nothing |
//! | hand-over | the school that recorded it: as a sender | nothing: it has what it was given by hand | nothing |
//!
//! What the exchange says of a delivery (delayed, failed) is seen by whoever sees that delivery: sender, holder,
//! proposed, and of the other recipients the one that it is for.
//!
//! The document of an event goes with the event. Disagreements between school and holder are theirs
//! alone. After `misidentified` there is a tombstone and nothing else: documents and events are hidden
//! from everybody.
//!
//! LADO referrals, and consultations and hand-overs about such an allegation, are seen only by named
//! persons, with certificates of their own:
//!
//! | relation | who of it, in a LADO referral |
//! |---|---|
//! | sender | the person who sent it |
//! | holder, proposed, other recipients, former holder | its designated officers, as the directory in use lists them |
//! | anybody else | nobody |
//!
//! They see what the first table says; an organisation's certificate alone, and any other person's, sees
//! not even that there is one. What may not be seen does not exist: the answer is the same as for an id
//! that was never used.

use super::case::{EventKind, Opening};
use super::party::{DfeCode, Organisation, Party};
use super::referral::RequestType;

/// What a party has to do with a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The sending school.
    Sender,
    /// The accountable authority.
    Holder,
    /// The authority that a transfer is proposed to.
    Proposed,
    /// An authority with a linked or copied delivery.
    Recipient,
    /// An authority that held it before a transfer.
    Former,
    /// None.
    Stranger,
}

/// A part of what the exchange holds of a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// That it exists, its state and its times.
    Timeline,
    /// The document: personal.
    Document,
    /// The tokens and chains.
    Evidence,
    /// Deliveries to authorities other than the one that asks.
    OthersDeliveries,
}

/// The facts of a stored referral that decide who may see it.
#[derive(Debug, Clone, Copy)]
pub struct Involved<'a> {
    /// What the thread began with.
    pub opening: Opening,
    /// The verified sender: the school, and the person if one signed; for a notice the school that it is
    /// for.
    pub sender: &'a Party,
    /// The accountable authority; for a notice the one that gives it, for a consultation the one that is
    /// asked, for a hand-over the one that was told by other means.
    pub holder: DfeCode,
    /// Authorities with other deliveries of it.
    pub recipients: &'a [DfeCode],
    /// The authority that a transfer is proposed to, while that is open.
    pub proposed: Option<DfeCode>,
    /// Authorities that held it before.
    pub former: &'a [DfeCode],
    /// Whether it was said to be about the wrong child or to the wrong recipient.
    pub misidentified: bool,
    /// What was asked for.
    pub request_type: RequestType,
    /// The persons who may see a LADO referral; of no meaning for any other.
    pub named: &'a [Party],
}

/// An event, as far as it decides who may see it.
#[derive(Debug, Clone, Copy)]
pub struct Spoken<'a> {
    /// What it says.
    pub kind: EventKind,
    /// Who says it.
    pub author: &'a Organisation,
    /// The authority that it names.
    pub to: Option<DfeCode>,
}

/// The relation of `viewer` to a referral.
pub fn relation(viewer: &Party, referral: Involved<'_>) -> Relation {
    if viewer.trust_domain != referral.sender.trust_domain {
        return Relation::Stranger;
    }
    match viewer.organisation {
        Organisation::School(_) if viewer.organisation == referral.sender.organisation => {
            Relation::Sender
        }
        _ if referral.opening == Opening::HandOver => Relation::Stranger,
        Organisation::Authority(code) if code == referral.holder => Relation::Holder,
        Organisation::Authority(code) if Some(code) == referral.proposed => Relation::Proposed,
        Organisation::Authority(code) if referral.recipients.contains(&code) => Relation::Recipient,
        Organisation::Authority(code) if referral.former.contains(&code) => Relation::Former,
        _ => Relation::Stranger,
    }
}

/// Whether `viewer` may see `part` of a referral.
pub fn may_see(viewer: &Party, part: Part, referral: Involved<'_>) -> bool {
    let relation = relation(viewer, referral);
    let is_named = viewer.person.is_some() && referral.named.contains(viewer);
    if referral.request_type == RequestType::Lado && !is_named {
        return false;
    }
    if referral.misidentified && part == Part::Document {
        return false;
    }
    match (relation, part) {
        (Relation::Sender | Relation::Holder | Relation::Proposed, _) => true,
        (Relation::Recipient, Part::Timeline | Part::Document | Part::Evidence) => true,
        (Relation::Former, Part::Timeline | Part::Evidence) => true,
        (Relation::Recipient | Relation::Former, _) | (Relation::Stranger, _) => false,
    }
}

/// Whether `viewer` may see an event, and the document that came with it.
pub fn may_see_event(viewer: &Party, event: Spoken<'_>, referral: Involved<'_>) -> bool {
    let Spoken { kind, author, to } = event;
    if !may_see(viewer, Part::Timeline, referral) {
        return false;
    }
    if referral.misidentified {
        return kind == EventKind::Misidentified;
    }
    let own = *author == viewer.organisation;
    let between_school_and_holder = matches!(
        kind,
        EventKind::DisagreementRaised
            | EventKind::DisagreementResponded
            | EventKind::DisagreementStepped
            | EventKind::DisagreementResolved
    );
    match relation(viewer, referral) {
        Relation::Sender | Relation::Holder | Relation::Proposed => true,
        Relation::Recipient if kind.is_of_a_delivery() => {
            to.is_some_and(|to| viewer.organisation == Organisation::Authority(to))
        }
        Relation::Recipient => {
            let of_all = match author {
                Organisation::Authority(code) => *code == referral.holder,
                _ => true,
            };
            own || (of_all && !between_school_and_holder)
        }
        Relation::Former => own,
        Relation::Stranger => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(text: &str) -> Party {
        text.parse().unwrap()
    }

    const PARTS: [Part; 4] =
        [Part::Timeline, Part::Document, Part::Evidence, Part::OthersDeliveries];

    #[test]
    fn the_table_holds() {
        let sender = party("spiffe://demo.ecaf.example/school/900001");
        let (holder, other): (DfeCode, DfeCode) = ("204".parse().unwrap(), "886".parse().unwrap());
        let (recipients, former) = ([other], ["310".parse().unwrap()]);
        let referral = |request_type| Involved {
            opening: Opening::Referral,
            sender: &sender,
            holder,
            recipients: &recipients,
            proposed: Some("317".parse().unwrap()),
            former: &former,
            misidentified: false,
            request_type,
            named: &[],
        };
        let sees =
            |viewer: &str, kind| PARTS.map(|part| may_see(&party(viewer), part, referral(kind)));
        let protection = RequestType::Protection;
        let (all, none) = ([true; 4], [false; 4]);
        assert_eq!(sees("spiffe://demo.ecaf.example/school/900001", protection), all);
        assert_eq!(sees("spiffe://demo.ecaf.example/school/900001/person/d1", protection), all);
        assert_eq!(sees("spiffe://demo.ecaf.example/authority/204", protection), all);
        assert_eq!(
            sees("spiffe://demo.ecaf.example/authority/886", protection),
            [true, true, true, false]
        );
        assert_eq!(sees("spiffe://demo.ecaf.example/authority/317", protection), all, "asked");
        assert_eq!(
            sees("spiffe://demo.ecaf.example/authority/310", protection),
            [true, false, true, false],
            "held it before"
        );
        for stranger in [
            "spiffe://demo.ecaf.example/school/900002",
            "spiffe://demo.ecaf.example/authority/309",
            "spiffe://demo.ecaf.example/gateway/one",
            "spiffe://demo.ecaf.example/operator/scheme",
            "spiffe://other.example/school/900001",
            "spiffe://other.example/authority/204",
        ] {
            assert_eq!(sees(stranger, protection), none, "{stranger}");
        }
    }

    #[test]
    fn an_allegation_is_seen_by_named_persons_and_by_no_organisation() {
        let of = |path: &str| party(&format!("spiffe://demo.ecaf.example/{path}"));
        let sender = of("school/900001/person/d1");
        let paths = [
            "school/900001/person/d1",
            "authority/204/person/o1",
            "authority/309/person/o1",
            "authority/310/person/o1",
            "authority/213/person/o1",
            "authority/204",
        ];
        let named = paths.map(of);
        let former = ["310".parse().unwrap()];
        let involved = |misidentified| Involved {
            opening: Opening::Referral,
            sender: &sender,
            holder: "204".parse().unwrap(),
            recipients: &[],
            proposed: Some("309".parse().unwrap()),
            former: &former,
            misidentified,
            request_type: RequestType::Lado,
            named: &named,
        };
        let (all, none) = ([true; 4], [false; 4]);
        for (viewer, expected) in [
            ("school/900001/person/d1", all),
            ("school/900001/person/d2", none),
            ("school/900001", none),
            ("authority/204/person/o1", all),
            ("authority/309/person/o1", all),
            ("authority/310/person/o1", [true, false, true, false]),
            ("authority/204/person/o2", none),
            // Named or not, an organisation alone sees nothing, and a stranger stays one.
            ("authority/204", none),
            ("authority/309", none),
            ("authority/213/person/o1", none),
            ("gateway/one", none),
        ] {
            let seen = PARTS.map(|part| may_see(&of(viewer), part, involved(false)));
            assert_eq!(seen, expected, "{viewer}");
            let author = Organisation::Authority("204".parse().unwrap());
            let saying = |kind| Spoken { kind, author: &author, to: Some("204".parse().unwrap()) };
            let event = may_see_event(&of(viewer), saying(EventKind::Decided), involved(false));
            assert_eq!(event, expected == all, "{viewer}");
            let failed = saying(EventKind::DeliveryFailed);
            assert_eq!(may_see_event(&of(viewer), failed, involved(false)), expected == all);
        }
        let gone = may_see(&of("authority/204/person/o1"), Part::Document, involved(true));
        assert!(!gone, "taken out of use");
        let other_scheme = party("spiffe://other.example/authority/204/person/o1");
        assert!(!may_see(&other_scheme, Part::Timeline, involved(false)));
        assert!(
            !may_see(
                &of("authority/204/person/o1"),
                Part::Timeline,
                Involved { named: &[], ..involved(false) }
            ),
            "officers are whom the directory lists now"
        );
    }

    #[test]
    fn events_are_seen_by_those_whom_they_concern() {
        let sender = party("spiffe://demo.ecaf.example/school/900001");
        let recipients = ["886".parse().unwrap(), "317".parse().unwrap()];
        let former = ["310".parse().unwrap()];
        let referral = |misidentified| Involved {
            opening: Opening::Referral,
            sender: &sender,
            holder: "204".parse().unwrap(),
            recipients: &recipients,
            proposed: Some("309".parse().unwrap()),
            former: &former,
            misidentified,
            request_type: RequestType::Protection,
            named: &[],
        };
        let sees = |viewer: &str, kind, author: &str| {
            let author = party(&format!("spiffe://demo.ecaf.example/{author}")).organisation;
            let viewer = party(&format!("spiffe://demo.ecaf.example/{viewer}"));
            may_see_event(&viewer, Spoken { kind, author: &author, to: None }, referral(false))
        };
        let (decided, opened) = (EventKind::Decided, EventKind::Opened);
        let disagreed = EventKind::DisagreementRaised;
        for everybody in ["school/900001", "authority/204", "authority/309"] {
            assert!(sees(everybody, decided, "authority/204"), "{everybody}");
            assert!(sees(everybody, opened, "authority/886"), "{everybody}");
            assert!(sees(everybody, disagreed, "school/900001"), "{everybody}");
        }
        assert!(sees("authority/886", decided, "authority/204"));
        assert!(sees("authority/886", opened, "authority/886"));
        assert!(!sees("authority/886", opened, "authority/317"), "another copy's");
        assert!(!sees("authority/886", disagreed, "school/900001"));
        assert!(sees("authority/310", decided, "authority/310"));
        assert!(!sees("authority/310", decided, "authority/204"), "held it before");
        for nobody in ["authority/213", "school/900002", "gateway/one"] {
            assert!(!sees(nobody, decided, "authority/204"), "{nobody}");
        }
        let gateway = party("spiffe://demo.ecaf.example/gateway/one").organisation;
        for (to, sees_it) in [("204", false), ("886", true), ("309", false), ("317", false)] {
            let told = |viewer: &str| {
                let viewer = party(&format!("spiffe://demo.ecaf.example/{viewer}"));
                [EventKind::DeliveryDelayed, EventKind::DeliveryFailed].map(|kind| {
                    let said = Spoken { kind, author: &gateway, to: Some(to.parse().unwrap()) };
                    may_see_event(&viewer, said, referral(false))
                })
            };
            for everybody in ["school/900001", "authority/204", "authority/309"] {
                assert_eq!(told(everybody), [true; 2], "{everybody} of the delivery to {to}");
            }
            assert_eq!(told("authority/886"), [sees_it; 2], "of the delivery to {to}");
            for nobody in ["authority/310", "authority/213", "school/900002", "gateway/one"] {
                assert_eq!(told(nobody), [false; 2], "{nobody}");
            }
        }
        let author = Organisation::Authority("204".parse().unwrap());
        for viewer in ["school/900001", "authority/204"] {
            let viewer = party(&format!("spiffe://demo.ecaf.example/{viewer}"));
            let gone = referral(true);
            let sees = |kind| {
                let to = Some("204".parse().unwrap());
                may_see_event(&viewer, Spoken { kind, author: &author, to }, gone)
            };
            assert!(!sees(decided) && !sees(EventKind::DeliveryDelayed));
            assert!(sees(EventKind::Misidentified));
            assert!(!may_see(&viewer, Part::Document, gone));
            assert!(may_see(&viewer, Part::Timeline, gone), "the tombstone");
        }
    }

    #[test]
    fn a_thread_that_an_event_began_has_two_sides_at_most() {
        let school = party("spiffe://demo.ecaf.example/school/900001");
        let person = party("spiffe://demo.ecaf.example/school/900001/person/d1");
        let lado = RequestType::Lado;
        let named = [person.clone(), party("spiffe://demo.ecaf.example/authority/204/person/o1")];
        let sees = |opening, sender: &Party, request_type, viewer: &str| {
            let involved = Involved {
                opening,
                sender,
                holder: "204".parse().unwrap(),
                recipients: &[],
                proposed: None,
                former: &[],
                misidentified: false,
                request_type,
                named: &named,
            };
            let viewer = party(&format!("spiffe://demo.ecaf.example/{viewer}"));
            let any = PARTS.map(|part| may_see(&viewer, part, involved));
            let author = Organisation::Authority("204".parse().unwrap());
            let said = Spoken { kind: EventKind::PupilNotice, author: &author, to: None };
            let event = may_see_event(&viewer, said, involved);
            assert!(any.iter().all(|sees| *sees == event), "all or nothing");
            event
        };
        let usual = RequestType::Protection;
        for (opening, authority) in
            [(Opening::Notice, true), (Opening::Consultation, true), (Opening::HandOver, false)]
        {
            assert!(sees(opening, &school, usual, "school/900001"));
            assert_eq!(sees(opening, &school, usual, "authority/204"), authority, "{opening:?}");
            for stranger in ["school/900002", "authority/309", "gateway/one", "operator/scheme"] {
                assert!(!sees(opening, &school, usual, stranger), "{opening:?}: {stranger}");
            }
            // About an allegation: the person who recorded it and who is listed where it goes, and no
            // organisation.
            assert_eq!(sees(opening, &person, lado, "authority/204/person/o1"), authority);
            assert!(!sees(opening, &person, lado, "authority/204/person/o2"));
            assert!(sees(opening, &person, lado, "school/900001/person/d1"));
            assert!(!sees(opening, &person, lado, "school/900001"), "{opening:?}");
            assert!(!sees(opening, &person, lado, "school/900001/person/d2"), "{opening:?}");
        }
    }
}
