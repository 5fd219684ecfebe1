//! What of a count is shown, so that no small one follows from everything that is.
//!
//! - Below [`SMALL`], zero included, a count is withheld; all others are rounded to [`BASE`].
//! - Where one category of a partition is withheld because it is small, one more is withheld: the last
//!   in the order of the table that is not small. Which one that is depends on nothing but which
//!   categories are small. Both look the same.
//! - Totals are not added to a table, and no unit is counted by one attribute in two tables.
//!
//! Then for every count from 1 to 4 there is another world that looks exactly the same: one unit of it
//! belongs to the other withheld category. That holds whatever else is known of the units, for all
//! tables together, for an attacker who knows this method and the exact total. `tests` search that
//! world for random data, and go through all small tables there are.

use super::tables::{Form, Table};

/// Counts below it are not shown.
pub const SMALL: u64 = 5;
/// What is shown is rounded to it.
pub const BASE: u64 = 5;
/// From so many units on, a share may be said to be near one end where the other is too small to show.
const SHARE_FROM: u64 = 100;

/// A count as it is shown; over several quarters the sum of what each shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Figure {
    /// The rounded counts that are shown.
    pub shown: u64,
    /// How many parts of it are shown.
    pub parts: u32,
    /// How many are withheld.
    pub withheld: u32,
}

impl Figure {
    /// A count by itself.
    pub const fn of(count: u64) -> Self {
        match count < SMALL {
            true => Self::WITHHELD,
            false => Self { shown: (count + BASE / 2) / BASE * BASE, parts: 1, withheld: 0 },
        }
    }

    /// One that is not shown.
    pub const WITHHELD: Self = Self { shown: 0, parts: 0, withheld: 1 };

    /// Together with the same figure of another quarter.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            shown: self.shown + other.shown,
            parts: self.parts + other.parts,
            withheld: self.withheld + other.withheld,
        }
    }

    /// The number, if nothing of it is withheld.
    pub const fn whole(self) -> Option<u64> {
        if self.withheld == 0 && self.parts > 0 { Some(self.shown) } else { None }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.parts, self.withheld) {
            (0, _) => f.write_str("c"),
            (_, 0) => write!(f, "{}", self.shown),
            _ => write!(f, "{}+c", self.shown),
        }
    }
}

/// The rows of a table as they are shown, in its order.
pub fn protect(table: &Table) -> Vec<Figure> {
    let mut shown: Vec<Figure> = table.rows.iter().map(|row| Figure::of(row.count)).collect();
    // Of an open list there are always categories without a unit.
    let any_small = table.form == Form::Open || table.rows.iter().any(|row| row.count < SMALL);
    if any_small && matches!(table.form, Form::Partition | Form::Open) {
        let last = table.rows.iter().rposition(|row| row.count >= SMALL);
        if let Some(figure) = last.and_then(|last| shown.get_mut(last)) {
            *figure = Figure::WITHHELD;
        }
    }
    shown
}

/// How large a part is in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// Per cent, of the figures that are shown.
    Percent(u64),
    /// At least 95 per cent: too few were late to show how many.
    NearlyAll,
    /// At most 5 per cent.
    HardlyAny,
    /// Too few units.
    Withheld,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Share::Percent(percent) => write!(f, "{percent} %"),
            Share::NearlyAll => f.write_str("95 % or more"),
            Share::HardlyAny => f.write_str("5 % or less"),
            Share::Withheld => f.write_str("c"),
        }
    }
}

/// The share of `yes` among `yes` and `no`: of what is shown, or of which end it is near.
pub fn share(yes: u64, no: u64) -> Share {
    if yes >= SMALL && no >= SMALL {
        let (yes, no) = (Figure::of(yes).shown, Figure::of(no).shown);
        return Share::Percent((100 * yes + (yes + no) / 2) / (yes + no));
    }
    match yes + no >= SHARE_FROM {
        true if no < SMALL => Share::NearlyAll,
        true => Share::HardlyAny,
        false => Share::Withheld,
    }
}
