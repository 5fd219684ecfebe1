//! What a postcode says about the responsible authority on a given day.

use super::district::{Districts, Standing};
use super::gss::{Gss, Nation};
use super::table::PostcodeTable;
use crate::domain::party::DfeCode;
use crate::domain::postcode::Postcode;
use crate::domain::time::Date;

/// The answer to one postcode. Only [`Answer::One`] and [`Answer::Retired`] are answers that need
/// no person; there is no silent default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One authority.
    One(DfeCode),
    /// Listed under `a`, and postcodes of another authority are so close that the address may lie
    /// there: about 1.2 % of addresses are not where their postcode says (Digital Land, MHCLG).
    NearBoundary {
        /// The authority of the postcode.
        a: DfeCode,
        /// The one that is near.
        b: Neighbour,
        /// Metres from the postcode to the nearest live postcode over there; a hint, no proof.
        metres: u8,
        /// The postcode is no longer in use.
        retired: bool,
    },
    /// The postcode exists, but where it is, or who is responsible there, is not known.
    KnownUnplaced,
    /// No longer in use; families still give such postcodes. Routes, with a warning.
    Retired {
        /// The authority of the place today.
        was: DfeCode,
    },
    /// The authority ended in a reorganisation whose successor is not in the table.
    Reorganised {
        /// The former authority.
        was: DfeCode,
    },
    /// Somewhere outside England.
    NotEngland(Nation),
    /// Has the shape of a postcode, but is not listed.
    Unknown,
    /// Does not have the shape of a postcode.
    NotAPostcode,
}

/// Who is on the other side of a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// An English authority.
    Authority(DfeCode),
    /// Another nation.
    Nation(Nation),
    /// An area whose authority on that day is not known.
    Unsettled,
}

/// How far from a boundary a person is asked. Within 200 m lie 2.0 % of live English postcodes.
pub const NEAR_METRES: u8 = 200;

impl Answer {
    /// The authority, where no person is needed.
    pub const fn certain(&self) -> Option<DfeCode> {
        match self {
            Answer::One(a) | Answer::Retired { was: a } => Some(*a),
            _ => None,
        }
    }

    /// The authority that urgent referrals go to at once.
    pub const fn candidate(&self) -> Option<DfeCode> {
        match self {
            Answer::NearBoundary { a, .. } | Answer::Reorganised { was: a } => Some(*a),
            _ => self.certain(),
        }
    }

    /// Other authorities that it may be.
    pub const fn alternative(&self) -> Option<DfeCode> {
        match self {
            Answer::NearBoundary { b: Neighbour::Authority(b), .. } => Some(*b),
            _ => None,
        }
    }

    /// Whether the postcode is no longer in use.
    pub const fn is_retired(&self) -> bool {
        matches!(self, Answer::Retired { .. } | Answer::NearBoundary { retired: true, .. })
    }

    /// Stable code of the kind of answer.
    pub const fn code(&self) -> &'static str {
        match self {
            Answer::One(_) => "one",
            Answer::NearBoundary { .. } => "near_boundary",
            Answer::KnownUnplaced => "known_unplaced",
            Answer::Retired { .. } => "retired",
            Answer::Reorganised { .. } => "reorganised",
            Answer::NotEngland(_) => "not_england",
            Answer::Unknown => "unknown",
            Answer::NotAPostcode => "not_a_postcode",
        }
    }
}

/// Answers a postcode as typed, for one day; also gives its district, where it has one.
pub fn answer(
    table: &PostcodeTable,
    districts: &Districts,
    day: Date,
    typed: &str,
) -> (Answer, Option<Gss>) {
    let Ok(postcode) = typed.parse::<Postcode>() else { return (Answer::NotAPostcode, None) };
    let Some(found) = table.lookup(postcode) else {
        let nation = Nation::of_area(&postcode.area());
        return (nation.map_or(Answer::Unknown, Answer::NotEngland), None);
    };
    let Some(district) = found.district else { return (Answer::KnownUnplaced, None) };
    let answer = match districts.standing(district, day) {
        Standing::Outside(nation) => Answer::NotEngland(nation),
        Standing::Unknown => Answer::KnownUnplaced,
        Standing::Reorganised { was } => Answer::Reorganised { was },
        Standing::Authority(a) => {
            let near = found.near.filter(|near| near.metres <= NEAR_METRES);
            match near.map(|near| (districts.standing(near.area, day), near.metres)) {
                // Two sides that have become one authority are no boundary any more.
                Some((Standing::Authority(b), _)) if a == b => plain(a, found.retired),
                Some((standing, metres)) => {
                    let b = match standing {
                        Standing::Authority(b) => Neighbour::Authority(b),
                        Standing::Outside(nation) => Neighbour::Nation(nation),
                        Standing::Reorganised { .. } | Standing::Unknown => Neighbour::Unsettled,
                    };
                    Answer::NearBoundary { a, b, metres, retired: found.retired }
                }
                None => plain(a, found.retired),
            }
        }
    };
    (answer, Some(district))
}

const fn plain(a: DfeCode, retired: bool) -> Answer {
    if retired { Answer::Retired { was: a } } else { Answer::One(a) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Digest;
    use crate::domain::routing::district::{Announced, Authority, Parts, Row as DistrictRow};
    use crate::domain::routing::table::{Found, Meta, Near, NearBasis, Row, build};

    fn gss(text: &str) -> Gss {
        text.parse().unwrap()
    }

    fn dfe(text: &str) -> DfeCode {
        text.parse().unwrap()
    }

    fn day() -> Date {
        Date::new(2026, 11, 21).unwrap()
    }

    /// Two authorities, 991 of two districts; a third district is announced to move, and has moved.
    fn districts() -> Districts {
        let authority = |code: &str, area: &str| Authority {
            code: dfe(code),
            gss: gss(area),
            name: format!("Council {code}"),
            from: None,
            to: None,
        };
        let row = |district: &str, code: &str| DistrictRow {
            district: gss(district),
            name: String::new(),
            authority: dfe(code),
            from: None,
            to: None,
        };
        Districts::new(Parts {
            authorities: vec![authority("991", "E10000091"), authority("992", "E09000902")],
            rows: vec![
                row("E07000901", "991"),
                row("E07000903", "991"),
                row("E09000902", "992"),
                row("E07000904", "991"),
            ],
            announced: vec![Announced {
                district: gss("E07000904"),
                to_name: "East Council".to_string(),
                effective: day(),
            }],
            ..Parts::default()
        })
        .unwrap()
    }

    fn table() -> PostcodeTable {
        let row = |typed: &str, district: &str, retired, near: Option<(u8, &str)>| Row {
            postcode: typed.parse().unwrap(),
            found: Found {
                district: (!district.is_empty()).then(|| gss(district)),
                retired,
                near: near.map(|(metres, area)| Near { area: gss(area), metres }),
            },
        };
        let mut rows = vec![
            row("E1 1AA", "E07000901", false, None),
            row("E1 1AB", "E07000901", true, None),
            row("E2 1AA", "E07000901", false, Some((200, "E09000902"))),
            row("E2 1AB", "E07000901", true, Some((1, "E09000902"))),
            row("E2 1AD", "E07000901", false, Some((201, "E09000902"))),
            row("E2 1AE", "E07000901", true, Some((40, "E07000903"))),
            row("E2 1AF", "E07000901", false, Some((40, "W06000015"))),
            row("E2 1AG", "E07000901", false, Some((40, "E07000904"))),
            row("E2 1AH", "E07000901", false, Some((40, "E07000999"))),
            row("E3 1AA", "", false, None),
            row("E4 1AA", "E07000904", false, None),
            row("E5 1AA", "E07000999", false, None),
            row("CF1 1AA", "W06000015", false, None),
        ];
        let meta = Meta {
            source: "Made up".to_string(),
            year: 2026,
            month: 11,
            source_digest: Digest::from_bytes([0; 32]),
            near: NearBasis::Source,
            attribution: vec![],
        };
        PostcodeTable::decode(&build(&meta, &mut rows).unwrap()).unwrap()
    }

    #[test]
    fn each_kind_of_answer() {
        let (table, districts) = (table(), districts());
        let says = |typed: &str| answer(&table, &districts, day(), typed);
        let near = |b, metres, retired| Answer::NearBoundary { a: dfe("991"), b, metres, retired };
        let of_992 = Neighbour::Authority(dfe("992"));
        let one = Answer::One(dfe("991"));
        let placed = Some(gss("E07000901"));
        for (typed, expected, district) in [
            ("E1 1AA", one, placed),
            ("e11aa", one, placed),
            ("E1 1AB", Answer::Retired { was: dfe("991") }, placed),
            ("E2 1AA", near(of_992, 200, false), placed),
            ("E2 1AB", near(of_992, 1, true), placed),
            // Too far to ask anybody.
            ("E2 1AD", one, placed),
            // Another district of the same authority.
            ("E2 1AE", Answer::Retired { was: dfe("991") }, placed),
            ("E2 1AF", near(Neighbour::Nation(Nation::Wales), 40, false), placed),
            ("E2 1AG", near(Neighbour::Unsettled, 40, false), placed),
            ("E2 1AH", near(Neighbour::Unsettled, 40, false), placed),
            ("E3 1AA", Answer::KnownUnplaced, None),
            ("E4 1AA", Answer::Reorganised { was: dfe("991") }, Some(gss("E07000904"))),
            ("E5 1AA", Answer::KnownUnplaced, Some(gss("E07000999"))),
            ("CF1 1AA", Answer::NotEngland(Nation::Wales), Some(gss("W06000015"))),
            ("BT1 1AA", Answer::NotEngland(Nation::NorthernIreland), None),
            ("E9 9ZZ", Answer::Unknown, None),
            ("by the park", Answer::NotAPostcode, None),
        ] {
            assert_eq!(says(typed), (expected, district), "{typed}");
        }
    }

    #[test]
    fn what_may_be_done_with_an_answer() {
        let (a, b) = (dfe("991"), dfe("992"));
        let near = |b, retired| Answer::NearBoundary { a, b, metres: 9, retired };
        // Answer, its code, certain, candidate, alternative, retired.
        for (answer, code, certain, candidate, alternative, retired) in [
            (Answer::One(a), "one", Some(a), Some(a), None, false),
            (Answer::Retired { was: a }, "retired", Some(a), Some(a), None, true),
            (near(Neighbour::Authority(b), false), "near_boundary", None, Some(a), Some(b), false),
            (near(Neighbour::Unsettled, true), "near_boundary", None, Some(a), None, true),
            (Answer::Reorganised { was: a }, "reorganised", None, Some(a), None, false),
            (Answer::KnownUnplaced, "known_unplaced", None, None, None, false),
            (Answer::NotEngland(Nation::Wales), "not_england", None, None, None, false),
            (Answer::Unknown, "unknown", None, None, None, false),
            (Answer::NotAPostcode, "not_a_postcode", None, None, None, false),
        ] {
            assert_eq!(answer.code(), code);
            assert_eq!(answer.certain(), certain, "{code}");
            assert_eq!(answer.candidate(), candidate, "{code}");
            assert_eq!(answer.alternative(), alternative, "{code}");
            assert_eq!(answer.is_retired(), retired, "{code}");
        }
    }
}
