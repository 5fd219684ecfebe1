//! What a new table changes against the one in use: counts, never postcodes.

use std::iter::Peekable;

use crate::domain::postcode::Postcode;
use crate::domain::routing::district::{Districts, Standing};
use crate::domain::routing::table::{Found, PostcodeTable};
use crate::domain::time::Date;

/// How many postcodes change, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Listed now, not before.
    pub added: u32,
    /// Listed before, unknown from now on.
    pub gone: u32,
    /// In another district (after former codes are mapped to present ones).
    pub other_district: u32,
    /// Of those: with another responsible authority.
    pub other_authority: u32,
    /// Without a place before, with one now.
    pub placed: u32,
    /// With a place before, without one now.
    pub lost_place: u32,
    /// Retired now, live before.
    pub retired: u32,
    /// Live now, retired before.
    pub revived: u32,
    /// Near a boundary now, not before.
    pub near: u32,
    /// Near a boundary before, not now.
    pub not_near: u32,
    /// The same in every respect.
    pub same: u32,
}

/// Compares two tables as of `day`.
pub fn compare(
    before: &PostcodeTable,
    after: &PostcodeTable,
    of: &Districts,
    day: Date,
) -> Summary {
    let mut summary = Summary::default();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    while let Some(pair) = next(&mut before, &mut after) {
        match pair {
            (None, _) => summary.added += 1,
            (_, None) => summary.gone += 1,
            (Some(before), Some(after)) => summary.count(&before, &after, of, day),
        }
    }
    summary
}

type Pair = (Option<Found>, Option<Found>);

/// The next postcode of either, with what each says about it.
fn next(
    before: &mut Peekable<impl Iterator<Item = (Postcode, Found)>>,
    after: &mut Peekable<impl Iterator<Item = (Postcode, Found)>>,
) -> Option<Pair> {
    let first = match (before.peek(), after.peek()) {
        (None, None) => return None,
        (Some((b, _)), Some((a, _))) => *b.min(a),
        (Some((p, _)), None) | (None, Some((p, _))) => *p,
    };
    let before = before.next_if(|(postcode, _)| *postcode == first).map(|(_, found)| found);
    let after = after.next_if(|(postcode, _)| *postcode == first).map(|(_, found)| found);
    Some((before, after))
}

impl Summary {
    fn count(&mut self, before: &Found, after: &Found, of: &Districts, day: Date) {
        let count = |counter: &mut u32, it: bool| *counter += u32::from(it);
        count(&mut self.same, before == after);
        count(&mut self.retired, after.retired && !before.retired);
        count(&mut self.revived, before.retired && !after.retired);
        count(&mut self.near, after.near.is_some() && before.near.is_none());
        count(&mut self.not_near, before.near.is_some() && after.near.is_none());
        match (before.district, after.district) {
            (None, Some(_)) => self.placed += 1,
            (Some(_), None) => self.lost_place += 1,
            (Some(before), Some(after)) if of.current(before) != of.current(after) => {
                self.other_district += 1;
                let standing = |code| match of.standing(code, day) {
                    Standing::Unknown => None,
                    standing => Some(standing),
                };
                count(&mut self.other_authority, standing(before) != standing(after));
            }
            _ => {}
        }
    }
}
