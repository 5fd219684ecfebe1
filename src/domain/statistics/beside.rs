//! What happens beside referrals: notices to schools, consultations, hand-overs outside of the exchange,
//! deliveries that somebody confirmed by hand. Each is a unit of its own in tables of its own, and never
//! among the referrals.

use super::tables::{Form, Row, Table, Times, Unit, areas, partition};
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An authority told a school about its pupil.
    Notice,
    /// A school asked a front door for advice.
    Consultation,
    /// A school handed something over by telephone, secure e-mail or in person.
    HandOver,
    /// A delivery that did not arrive, and that an operator recorded as handed over.
    ByHand,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Notice, Self::Consultation, Self::HandOver, Self::ByHand];

    const fn unit(self) -> Unit {
        match self {
            Kind::Notice => Unit::Notices,
            Kind::Consultation => Unit::Consultations,
            Kind::HandOver => Unit::HandOvers,
            Kind::ByHand => Unit::Deliveries,
        }
    }

    /// Name and title of the total, and of the table by area.
    const fn titles(self) -> [&'static str; 4] {
        match self {
            Kind::Notice => [
                "notices",
                "Notices to schools about a pupil",
                "notices_authority",
                "Notices, by the authority that gave them",
            ],
            Kind::Consultation => [
                "consultations",
                "Consultations before a referral",
                "consultations_authority",
                "Consultations, by the authority that was asked",
            ],
            Kind::HandOver => [
                "hand_overs",
                "Hand-overs outside of the exchange",
                "hand_overs_authority",
                "Hand-overs, by the authority that was told",
            ],
            Kind::ByHand => [
                "by_hand",
                "Deliveries that were confirmed by hand",
                "by_hand_authority",
                "Deliveries by hand, by the authority that was told",
            ],
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// What it is.
    pub kind: Kind,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The authority that gives the notice, is asked, or was told.
    pub authority: DfeCode,
    /// Of a consultation: until it was answered, in milliseconds.
    pub answered_after: Option<i64>,
    /// Of a hand-over: how, as its document says; `None` where that cannot be read.
    pub means: Option<Means>,
}

/// How something was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Means {
    /// By telephone.
    Phone,
    /// By secure e-mail.
    SecureEmail,
    /// In person.
    InPerson,
}

impl Means {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Phone, Self::SecureEmail, Self::InPerson];

    /// As written in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Means::Phone => "phone",
            Means::SecureEmail => "secure_email",
            Means::InPerson => "in_person",
        }
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|means| means.as_str() == code)
    }
}

/// The tables of what happened beside referrals; of kinds that did not occur none, where exact figures may
/// be shown. Of `settled` ones the means are left out if one document can no longer be read.
pub fn beside(all: &[&Beside], settled: bool) -> Vec<Table> {
    let mut tables = Vec::new();
    for kind in Kind::ALL {
        let those: Vec<&Beside> = all.iter().copied().filter(|one| one.kind == kind).collect();
        if those.is_empty() && !settled {
            continue;
        }
        let [id, title, area_id, area_title] = kind.titles();
        let count = those.len() as u64;
        let rows = vec![Row { key: "all".into(), label: "All".into(), count }];
        let of_kind = |table| Table { unit: kind.unit(), ..table };
        tables.push(Table { id, title, unit: kind.unit(), form: Form::Total, rows });
        let area = areas(area_id, area_title, those.iter().map(|one| one.authority));
        tables.push(of_kind(area));
        let word = |code: &str, label: &str| (code.to_owned(), label.to_owned());
        if kind == Kind::Consultation {
            let answered: Vec<bool> = those.iter().map(|c| c.answered_after.is_some()).collect();
            let rows =
                [(true, word("answered", "Answered")), (false, word("open", "Not answered yet"))];
            let rows = rows.map(|(is, (code, label))| (is, code, label));
            let (id, title) =
                ("consultation_answers", "Consultations, and whether they were answered");
            tables.push(of_kind(partition(id, title, rows, &answered)));
        }
        let readable = those.iter().all(|one| one.means.is_some());
        if kind == Kind::HandOver && (readable || !settled) {
            let means: Vec<Option<Means>> = those.iter().map(|one| one.means).collect();
            let rows = [
                (Means::Phone, word("phone", "By telephone")),
                (Means::SecureEmail, word("secure_email", "By secure e-mail")),
                (Means::InPerson, word("in_person", "In person")),
            ];
            let rows = rows.map(|(means, (code, label))| (Some(means), code, label));
            tables.push(of_kind(partition("hand_over_means", "Hand-overs, by how", rows, &means)));
        }
    }
    tables
}

/// How long consultations took until they were answered.
pub fn answers(all: &[&Beside]) -> Times {
    let mut values: Vec<i64> = all.iter().filter_map(|one| one.answered_after).collect();
    values.sort_unstable();
    Times {
        id: "consultation_answered",
        title: "Consultation answered, from when it was asked",
        values,
    }
}
