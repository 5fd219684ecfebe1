//! Who may see what of a referral: one pure function, used by every way out.
//!
//! | relation | timeline | document | evidence | other authorities' deliveries |
//! |---|---|---|---|---|
//! | sender (the school) | yes | yes | yes | yes |
//! | holder (accountable authority) | yes | yes | yes | yes |
//! | child in area, case holding | yes | yes | yes | its own only |
//! | any other party | no | no | no | no |
//!
//! LADO referrals are seen only by the person who sent them: an organisation's certificate alone
//! sees not even that there is one. What may not be seen does not exist: the answer is the same as
//! for an id that was never used.

use super::party::{DfeCode, Organisation, Party};
use super::referral::RequestType;

/// What a party has to do with a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The sending school.
    Sender,
    /// The accountable authority.
    Holder,
    /// An authority with a linked or copied delivery.
    Recipient,
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
    /// The verified sender: the school, and the person if one signed.
    pub sender: &'a Party,
    /// The accountable authority.
    pub holder: DfeCode,
    /// Authorities with other deliveries of it.
    pub recipients: &'a [DfeCode],
    /// What was asked for.
    pub request_type: RequestType,
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
        Organisation::Authority(code) if code == referral.holder => Relation::Holder,
        Organisation::Authority(code) if referral.recipients.contains(&code) => Relation::Recipient,
        _ => Relation::Stranger,
    }
}

/// Whether `viewer` may see `part` of a referral.
pub fn may_see(viewer: &Party, part: Part, referral: Involved<'_>) -> bool {
    let relation = relation(viewer, referral);
    if referral.request_type == RequestType::Lado {
        let is_sender = viewer.person.is_some() && viewer.person == referral.sender.person;
        return relation == Relation::Sender && is_sender;
    }
    match (relation, part) {
        (Relation::Sender | Relation::Holder, _) => true,
        (Relation::Recipient, Part::Timeline | Part::Document | Part::Evidence) => true,
        (Relation::Recipient, Part::OthersDeliveries) | (Relation::Stranger, _) => false,
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
        let recipients = [other];
        let referral = |request_type| Involved {
            sender: &sender,
            holder,
            recipients: &recipients,
            request_type,
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
    fn an_allegation_is_seen_by_the_person_who_sent_it_and_by_no_organisation() {
        let sender = party("spiffe://demo.ecaf.example/school/900001/person/d1");
        let involved = Involved {
            sender: &sender,
            holder: "204".parse().unwrap(),
            recipients: &[],
            request_type: RequestType::Lado,
        };
        for (viewer, expected) in [
            ("spiffe://demo.ecaf.example/school/900001/person/d1", true),
            ("spiffe://demo.ecaf.example/school/900001/person/d2", false),
            ("spiffe://demo.ecaf.example/school/900001", false),
            ("spiffe://demo.ecaf.example/authority/204", false),
            ("spiffe://demo.ecaf.example/authority/204/person/d1", false),
        ] {
            for part in PARTS {
                assert_eq!(may_see(&party(viewer), part, involved), expected, "{viewer}");
            }
        }
    }
}
