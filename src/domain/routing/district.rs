//! District -> children's services authority, on a given day.
//!
//! Postcodes are kept with their district, never with their authority, so that a merger or a split
//! of councils changes rows of one small table. Every look-up has a day: a referral made on the eve
//! of a reorganisation and one made a day later can go from the same street to different councils.

use std::collections::HashMap;
use std::fmt;

use super::gss::{Gss, Nation};
use crate::domain::party::DfeCode;
use crate::domain::time::Date;

/// A children's services authority. One council can have had several area codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The code of the Department for Education; follows the council.
    pub code: DfeCode,
    /// Its area code now (or its last).
    pub gss: Gss,
    /// Its name.
    pub name: String,
    /// First day, if known.
    pub from: Option<Date>,
    /// Last day, if it has ended.
    pub to: Option<Date>,
}

/// A district belongs to an authority, from one day to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The district.
    pub district: Gss,
    /// Its name.
    pub name: String,
    /// The authority responsible for children who live there.
    pub authority: DfeCode,
    /// First day; `None`: since before this table.
    pub from: Option<Date>,
    /// Last day, inclusive; `None`: no end known.
    pub to: Option<Date>,
}

/// A reorganisation that is decided but whose codes are not published: it moves nothing, yet from
/// its day on the old authority is no longer an answer that can be given without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The district that moves.
    pub district: Gss,
    /// The name of the authority to come.
    pub to_name: String,
    /// Its first day.
    pub effective: Date,
}

/// What a district table is made of.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Authorities, present and former.
    pub authorities: Vec<Authority>,
    /// Districts.
    pub rows: Vec<Row>,
    /// Abolished district code -> the code that took over its whole area.
    pub successors: Vec<(Gss, Gss)>,
    /// Reorganisations to come.
    pub announced: Vec<Announced>,
}

/// Why a district table is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DistrictError {
    /// A row names an authority that the table does not have.
    UnknownAuthority(Gss),
    /// Two rows of a district hold on the same day.
    Overlap(Gss),
    /// A period ends before it begins.
    Backwards(Gss),
    /// A successor is itself replaced, in a circle or more than four times.
    Circle(Gss),
    /// The same authority twice.
    Twice(DfeCode),
}

/// What a district code means on a given day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// This authority is responsible.
    Authority(DfeCode),
    /// This authority was responsible until a reorganisation; its successor is not known here.
    Reorganised {
        /// The former authority.
        was: DfeCode,
    },
    /// Not in England.
    Outside(Nation),
    /// The table does not know the code, or not on that day.
    Unknown,
}

/// The dated table.
#[derive(Debug, Clone, Default)]
pub struct Districts {
    authorities: HashMap<DfeCode, Authority>,
    by_area: HashMap<Gss, DfeCode>,
    rows: HashMap<Gss, Vec<Row>>,
    successors: HashMap<Gss, Gss>,
    announced: HashMap<Gss, Announced>,
}

impl Districts {
    /// Checks and indexes the parts.
    pub fn new(parts: Parts) -> Result<Self, DistrictError> {
        let mut table = Self::default();
        for authority in parts.authorities {
            table.by_area.insert(authority.gss, authority.code);
            if let Some(twice) = table.authorities.insert(authority.code, authority) {
                return Err(DistrictError::Twice(twice.code));
            }
        }
        for row in parts.rows {
            if !table.authorities.contains_key(&row.authority) {
                return Err(DistrictError::UnknownAuthority(row.district));
            }
            table.rows.entry(row.district).or_default().push(row);
        }
        for (&district, rows) in &mut table.rows {
            rows.sort_by_key(|row| row.from);
            if rows.iter().any(|r| matches!((r.from, r.to), (Some(f), Some(t)) if t < f)) {
                return Err(DistrictError::Backwards(district));
            }
            let apart =
                |pair: &[Row]| matches!((pair[0].to, pair[1].from), (Some(t), Some(f)) if t < f);
            if !rows.windows(2).all(apart) {
                return Err(DistrictError::Overlap(district));
            }
        }
        table.successors = parts.successors.into_iter().collect();
        for &old in table.successors.keys() {
            table.follow(old).ok_or(DistrictError::Circle(old))?;
        }
        table.announced = parts.announced.into_iter().map(|a| (a.district, a)).collect();
        Ok(table)
    }

    /// Who is responsible for `code` on `day`. Takes district codes, abolished district codes and
    /// the area codes of the authorities themselves (counties).
    pub fn standing(&self, code: Gss, day: Date) -> Standing {
        if let Some(nation) = code.nation() {
            return Standing::Outside(nation);
        }
        let Some(code) = self.follow(code) else { return Standing::Unknown };
        let Some(rows) = self.rows.get(&code) else { return self.area_standing(code, day) };
        let holds = |row: &&Row| {
            row.from.is_none_or(|from| from <= day) && row.to.is_none_or(|to| day <= to)
        };
        match rows.iter().find(holds) {
            Some(row) if self.moved(code, day) => Standing::Reorganised { was: row.authority },
            Some(row) => self.if_it_existed(row.authority, day),
            None => match rows.last() {
                Some(last) if last.to.is_some_and(|to| to < day) => {
                    Standing::Reorganised { was: last.authority }
                }
                _ => Standing::Unknown,
            },
        }
    }

    /// An authority, present or former.
    pub fn authority(&self, code: DfeCode) -> Option<&Authority> {
        self.authorities.get(&code)
    }

    /// Whether `code` is an authority on `day`.
    pub fn is_authority(&self, code: DfeCode, day: Date) -> bool {
        matches!(self.if_it_existed(code, day), Standing::Authority(_))
    }

    /// Its name, or its code if it is not listed.
    pub fn name(&self, code: DfeCode) -> String {
        self.authority(code).map_or_else(|| code.to_string(), |a| a.name.clone())
    }

    /// The code that stands for an abolished district code today; the same code if none does.
    pub fn current(&self, code: Gss) -> Gss {
        self.follow(code).unwrap_or(code)
    }

    /// The reorganisation that is announced for a district.
    pub fn announced(&self, code: Gss) -> Option<&Announced> {
        self.announced.get(&self.current(code))
    }

    /// How many districts there are, and how many authorities on `day`.
    pub fn counts(&self, day: Date) -> (usize, usize) {
        let authorities = self.authorities.keys().filter(|code| self.is_authority(**code, day));
        (self.rows.len(), authorities.count())
    }

    /// Whether an English district or authority with this code is known at all.
    pub fn knows(&self, code: Gss) -> bool {
        let code = self.current(code);
        self.rows.contains_key(&code) || self.by_area.contains_key(&code)
    }

    fn area_standing(&self, code: Gss, day: Date) -> Standing {
        let Some(&authority) = self.by_area.get(&code) else { return Standing::Unknown };
        let split = self.rows.values().flatten().any(|row| {
            row.authority == authority
                && (self.moved(row.district, day) || row.to.is_some_and(|to| to < day))
        });
        if split {
            Standing::Reorganised { was: authority }
        } else {
            self.if_it_existed(authority, day)
        }
    }

    fn if_it_existed(&self, code: DfeCode, day: Date) -> Standing {
        match self.authorities.get(&code) {
            Some(a) if a.to.is_some_and(|to| to < day) => Standing::Reorganised { was: code },
            Some(a) if a.from.is_none_or(|from| from <= day) => Standing::Authority(code),
            _ => Standing::Unknown,
        }
    }

    fn moved(&self, district: Gss, day: Date) -> bool {
        self.announced.get(&district).is_some_and(|a| a.effective <= day)
    }

    fn follow(&self, code: Gss) -> Option<Gss> {
        let mut code = code;
        for _ in 0..5 {
            match self.successors.get(&code) {
                Some(&next) => code = next,
                None => return Some(code),
            }
        }
        None
    }
}

impl fmt::Display for DistrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DistrictError::UnknownAuthority(c) => {
                write!(f, "district {c}: its authority is not listed")
            }
            DistrictError::Overlap(c) => write!(f, "district {c}: two authorities on the same day"),
            DistrictError::Backwards(c) => write!(f, "district {c}: ends before it begins"),
            DistrictError::Circle(c) => write!(f, "district {c}: successors go round in a circle"),
            DistrictError::Twice(c) => write!(f, "authority {c}: listed twice"),
        }
    }
}

impl std::error::Error for DistrictError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn gss(text: &str) -> Gss {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn dfe(text: &str) -> DfeCode {
        text.parse().unwrap()
    }

    fn authority(code: &str, area: &str, from: Option<&str>, to: Option<&str>) -> Authority {
        Authority {
            code: dfe(code),
            gss: gss(area),
            name: format!("Council {code}"),
            from: from.map(day),
            to: to.map(day),
        }
    }

    fn row(district: &str, code: &str, from: Option<&str>, to: Option<&str>) -> Row {
        Row {
            district: gss(district),
            name: String::new(),
            authority: dfe(code),
            from: from.map(day),
            to: to.map(day),
        }
    }

    /// A made-up county of two districts that splits on 1 April 2027, as a change of rows only.
    fn split() -> Parts {
        Parts {
            authorities: vec![
                authority("991", "E10000091", None, Some("2027-03-31")),
                authority("992", "E06000092", Some("2027-04-01"), None),
                authority("993", "E06000093", Some("2027-04-01"), None),
            ],
            rows: vec![
                row("E07000901", "991", None, Some("2027-03-31")),
                row("E07000901", "992", Some("2027-04-01"), None),
                row("E07000902", "991", None, Some("2027-03-31")),
                row("E07000902", "993", Some("2027-04-01"), None),
            ],
            successors: vec![(gss("E07000900"), gss("E07000902"))],
            announced: vec![],
        }
    }

    #[test]
    fn the_same_street_before_and_after_a_reorganisation() {
        let table = Districts::new(split()).unwrap();
        let on = |code: &str, at: &str| table.standing(gss(code), day(at));
        assert_eq!(on("E07000901", "2027-03-31"), Standing::Authority(dfe("991")));
        assert_eq!(on("E07000901", "2027-04-01"), Standing::Authority(dfe("992")));
        assert_eq!(on("E07000900", "2027-04-01"), Standing::Authority(dfe("993")), "successor");
        assert_eq!(on("E10000091", "2027-03-31"), Standing::Authority(dfe("991")));
        assert_eq!(on("E10000091", "2027-04-01"), Standing::Reorganised { was: dfe("991") });
        assert_eq!(on("E07000999", "2027-04-01"), Standing::Unknown);
        assert_eq!(on("W06000005", "2027-04-01"), Standing::Outside(Nation::Wales));
        assert!(table.is_authority(dfe("993"), day("2027-04-01")));
        assert!(!table.is_authority(dfe("993"), day("2027-03-31")));
    }

    #[test]
    fn an_announced_split_without_codes_ends_certainty_on_its_day() {
        let mut parts = split();
        parts.rows = vec![row("E07000901", "991", None, None)];
        parts.authorities[0].to = None;
        parts.announced = vec![Announced {
            district: gss("E07000901"),
            to_name: "East Council".to_string(),
            effective: day("2027-04-01"),
        }];
        let table = Districts::new(parts).unwrap();
        let on = |code: &str, at: &str| table.standing(gss(code), day(at));
        assert_eq!(on("E07000901", "2027-03-31"), Standing::Authority(dfe("991")));
        assert_eq!(on("E07000901", "2027-04-01"), Standing::Reorganised { was: dfe("991") });
        assert_eq!(on("E10000091", "2027-04-01"), Standing::Reorganised { was: dfe("991") });
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let mut overlap = split();
        overlap.rows[0].to = Some(day("2027-04-01"));
        assert_eq!(Districts::new(overlap).err(), Some(DistrictError::Overlap(gss("E07000901"))));

        let mut unknown = split();
        unknown.rows[0].authority = dfe("999");
        let refused = Some(DistrictError::UnknownAuthority(gss("E07000901")));
        assert_eq!(Districts::new(unknown).err(), refused);

        let mut circle = split();
        circle.successors.push((gss("E07000902"), gss("E07000900")));
        assert!(matches!(Districts::new(circle).err(), Some(DistrictError::Circle(_))));

        let mut backwards = split();
        backwards.rows[1].to = Some(day("2026-01-01"));
        assert!(matches!(Districts::new(backwards).err(), Some(DistrictError::Backwards(_))));
    }

    #[test]
    fn a_day_before_a_table_begins_or_in_a_gap_is_not_known() {
        let mut parts = split();
        parts.rows = vec![
            row("E07000901", "991", Some("2020-01-01"), Some("2021-01-01")),
            row("E07000901", "992", Some("2027-04-01"), Some("2030-01-01")),
        ];
        let table = Districts::new(parts).unwrap();
        let on = |at: &str| table.standing(gss("E07000901"), day(at));
        assert_eq!(on("2019-12-31"), Standing::Unknown);
        assert_eq!(on("2020-01-01"), Standing::Authority(dfe("991")));
        assert_eq!(on("2024-01-01"), Standing::Unknown, "between two");
        assert_eq!(on("2030-01-01"), Standing::Authority(dfe("992")));
        assert_eq!(on("2030-01-02"), Standing::Reorganised { was: dfe("992") });
    }

    #[test]
    fn an_authority_stands_while_it_exists() {
        let mut parts = split();
        parts.rows = vec![row("E07000901", "991", None, None), row("E07000902", "992", None, None)];
        let table = Districts::new(parts).unwrap();
        let on = |code: &str, at: &str| table.standing(gss(code), day(at));
        assert_eq!(on("E07000901", "2027-04-01"), Standing::Reorganised { was: dfe("991") });
        assert_eq!(on("E07000902", "2027-03-31"), Standing::Unknown, "it is not there yet");
        assert_eq!(on("E10000091", "2027-03-31"), Standing::Authority(dfe("991")));
        assert!(table.is_authority(dfe("991"), day("2027-03-31")));
        assert!(!table.is_authority(dfe("991"), day("2027-04-01")));
        assert!(!table.is_authority(dfe("999"), day("2027-04-01")));
    }

    #[test]
    fn an_area_code_is_certain_until_a_district_leaves_it() {
        let mut parts = split();
        parts.authorities[0].to = None;
        let table = Districts::new(parts).unwrap();
        let on = |at: &str| table.standing(gss("E10000091"), day(at));
        for before in ["2020-01-01", "2027-03-30", "2027-03-31"] {
            assert_eq!(on(before), Standing::Authority(dfe("991")), "{before}");
        }
        for after in ["2027-04-01", "2030-01-01"] {
            assert_eq!(on(after), Standing::Reorganised { was: dfe("991") }, "{after}");
        }
        let other = table.standing(gss("E06000092"), day("2030-01-01"));
        assert_eq!(other, Standing::Authority(dfe("992")), "another's districts do not matter");
    }

    #[test]
    fn names_counts_and_successors() {
        let mut parts = split();
        parts.successors.push((gss("E07000899"), gss("E07000900")));
        parts.announced = vec![Announced {
            district: gss("E07000902"),
            to_name: "West Council".to_string(),
            effective: day("2028-04-01"),
        }];
        let table = Districts::new(parts).unwrap();
        assert_eq!(table.counts(day("2027-03-31")), (2, 1));
        assert_eq!(table.counts(day("2027-04-01")), (2, 2));
        assert_eq!(table.name(dfe("991")), "Council 991");
        assert_eq!(table.name(dfe("999")), "999");
        assert_eq!(table.authority(dfe("992")).map(|a| a.gss), Some(gss("E06000092")));
        assert_eq!(table.current(gss("E07000899")), gss("E07000902"), "over two steps");
        assert_eq!(table.current(gss("E07000777")), gss("E07000777"));
        for (code, known) in
            [("E07000901", true), ("E07000900", true), ("E10000091", true), ("E07000777", false)]
        {
            assert_eq!(table.knows(gss(code)), known, "{code}");
        }
        let to_come = |code| table.announced(gss(code)).map(|a| a.to_name.as_str());
        assert_eq!(to_come("E07000899"), Some("West Council"));
        assert_eq!(to_come("E07000901"), None);
    }

    #[test]
    fn rows_that_touch_are_no_overlap_and_one_day_is_a_period() {
        let mut one_day = split();
        one_day.rows[1].to = one_day.rows[1].from;
        assert!(Districts::new(one_day).is_ok());
        let mut same_day = split();
        same_day.rows[0].to = same_day.rows[1].from;
        assert!(matches!(Districts::new(same_day).err(), Some(DistrictError::Overlap(_))));
        let mut twice = split();
        twice.authorities.push(twice.authorities[0].clone());
        assert_eq!(Districts::new(twice).err(), Some(DistrictError::Twice(dfe("991"))));
        let mut chain = split();
        let code = |n: u32| gss(&format!("E0700080{n}"));
        chain.successors = (0..4).map(|n| (code(n), code(n + 1))).collect();
        assert!(Districts::new(chain.clone()).is_ok(), "four steps");
        chain.successors.push((code(4), code(5)));
        assert_eq!(Districts::new(chain).err(), Some(DistrictError::Circle(code(0))));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        let area = gss("E07000901");
        for (error, said) in [
            (
                DistrictError::UnknownAuthority(area),
                "district E07000901: its authority is not listed",
            ),
            (DistrictError::Overlap(area), "district E07000901: two authorities on the same day"),
            (DistrictError::Backwards(area), "district E07000901: ends before it begins"),
            (DistrictError::Circle(area), "district E07000901: successors go round in a circle"),
            (DistrictError::Twice(dfe("991")), "authority 991: listed twice"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }
}
