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
