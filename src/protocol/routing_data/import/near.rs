//! Hints: which English postcodes lie close to a live postcode of another authority.
//!
//! Measured from point to point, not to the boundary line: a reason to ask, no proof either way.

use std::collections::HashMap;

use crate::domain::party::DfeCode;
use crate::domain::routing::answer::NEAR_METRES;
use crate::domain::routing::district::{Districts, Standing};
use crate::domain::routing::gss::Gss;
use crate::domain::routing::table::{Near, PostcodeTable, Row};
use crate::domain::time::Date;

/// One side of a boundary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Authority(DfeCode),
    Elsewhere(Gss),
}

#[derive(Clone, Copy)]
struct Point {
    east: u32,
    north: u32,
    side: Side,
    area: Gss,
}

/// Cells are as wide as the distance that counts, so that nine of them hold all that is near.
const CELL: u32 = NEAR_METRES as u32;

/// Measures every row that has a grid reference.
pub(super) fn measure(rows: &mut [Row], grid: &[Option<(u32, u32)>], of: &Districts, day: Date) {
    let mut sides: HashMap<Gss, Side> = HashMap::new();
    let mut points: Vec<Option<Point>> = Vec::with_capacity(rows.len());
    for (row, grid) in rows.iter().zip(grid) {
        points.push(row.found.district.zip(*grid).map(|(area, (east, north))| {
            let side = *sides.entry(area).or_insert_with(|| match of.standing(area, day) {
                Standing::Authority(code) | Standing::Reorganised { was: code } => {
                    Side::Authority(code)
                }
                Standing::Outside(_) | Standing::Unknown => Side::Elsewhere(area),
            });
            Point { east, north, side, area }
        }));
    }
    let mut cells: HashMap<(u32, u32), Vec<Point>> = HashMap::new();
    for (row, point) in rows.iter().zip(&points) {
        if let (false, Some(point)) = (row.found.retired, point) {
            cells.entry((point.east / CELL, point.north / CELL)).or_default().push(*point);
        }
    }
    for (row, point) in rows.iter_mut().zip(&points) {
        let english = row.found.district.is_some_and(|district| district.nation().is_none());
        row.found.near = point.filter(|_| english).and_then(|point| nearest(&cells, &point));
    }
}

fn nearest(cells: &HashMap<(u32, u32), Vec<Point>>, from: &Point) -> Option<Near> {
    let (x, y) = (from.east / CELL, from.north / CELL);
    let around = |n: u32| n.saturating_sub(1)..=n + 1;
    let others = around(x)
        .flat_map(|x| around(y).filter_map(move |y| cells.get(&(x, y))))
        .flatten()
        .filter(|point| point.side != from.side);
    let squared = |point: &Point| {
        let east = u64::from(from.east.abs_diff(point.east));
        let north = u64::from(from.north.abs_diff(point.north));
        east * east + north * north
    };
    let (distance, area) = others.map(|p| (squared(p), p.area)).min()?;
    let metres = (distance as f64).sqrt().round();
    (metres <= f64::from(NEAR_METRES)).then_some(Near { area, metres: metres as u8 })
}

/// Takes the hints of the table in use for postcodes that have not moved since.
pub(super) fn carry_over(rows: &mut [Row], in_use: &PostcodeTable) {
    for row in rows {
        let known = in_use.lookup(row.postcode);
        let unmoved = known.filter(|known| known.district == row.found.district);
        row.found.near = unmoved.and_then(|known| known.near);
    }
}
