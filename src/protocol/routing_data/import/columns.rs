//! Which column of a published directory holds what: names changed over the years, so columns are
//! found by any of their names, and the publication is recognised by the names that it uses.

use csv::StringRecord;

use crate::domain::postcode::Postcode;
use crate::domain::routing::gss::Gss;
use crate::domain::routing::table::{Found, Near, Row};

/// Which publication a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The project's own extract: postcode, lad25cd, status, near_m, near_utla.
    Own,
    /// ONS Postcode Directory.
    Onspd,
    /// National Statistics Postcode Lookup.
    Nspl,
    /// OS Code-Point Open: no header, live postcodes only.
    CodePointOpen,
}

impl Shape {
    /// As written into the table. The project's own extract is one of ONSPD.
    pub const fn name(self) -> &'static str {
        match self {
            Shape::Own | Shape::Onspd => "ONSPD",
            Shape::Nspl => "NSPL",
            Shape::CodePointOpen => "Code-Point Open",
        }
    }

    /// The statements that the Open Government Licence requires for it.
    pub fn attribution(self, year: u16) -> Vec<String> {
        let mut lines = vec![
            format!("Contains OS data © Crown copyright and database right {year}"),
            format!("Contains Royal Mail data © Royal Mail copyright and database right {year}"),
        ];
        if self != Shape::CodePointOpen {
            lines.push(
                "Source: Office for National Statistics licensed under the Open Government \
                 Licence v.3.0"
                    .to_string(),
            );
        }
        lines
    }
}

/// Where the values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) shape: Shape,
    postcode: usize,
    district: usize,
    terminated: Option<usize>,
    status: Option<usize>,
    near: Option<(usize, usize)>,
    grid: Option<(usize, usize)>,
}

/// One row as read.
pub(super) struct Line {
    pub(super) row: Row,
    pub(super) grid: Option<(u32, u32)>,
}

impl Columns {
    /// Code-Point Open: postcode, quality, easting, northing, country, two of the NHS, county,
    /// district, ward.
    pub(super) const CODE_POINT_OPEN: Self = Self {
        shape: Shape::CodePointOpen,
        postcode: 0,
        district: 8,
        terminated: None,
        status: None,
        near: None,
        grid: Some((2, 3)),
    };

    /// By the header line; `None` if a postcode or a district column is missing.
    pub(super) fn of(header: &StringRecord) -> Option<Self> {
        let names: Vec<String> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase())
            .collect();
        let find = |wanted: &[&str]| {
            wanted.iter().find_map(|want| names.iter().position(|name| name == want))
        };
        let dated = |name: &String| {
            let digits = name.strip_prefix("lad").and_then(|rest| rest.strip_suffix("cd"));
            digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|c| c.is_ascii_digit()))
        };
        let nspl = find(&["laua"]);
        let district = find(&["oslaua", "ladcd"]).or(nspl).or(names.iter().position(dated))?;
        let near = find(&["near_m"]).zip(find(&["near_utla"]));
        let shape = match (near, nspl) {
            (Some(_), _) => Shape::Own,
            (None, Some(_)) => Shape::Nspl,
            (None, None) => Shape::Onspd,
        };
        Some(Self {
            shape,
            postcode: find(&["pcds", "pcd7", "pcd8", "pcd", "pcd2", "postcode"])?,
            district,
            terminated: find(&["doterm"]),
            status: find(&["status"]),
            near,
            grid: find(&["oseast1m", "east1m", "easting", "eastings"]).zip(find(&[
                "osnrth1m",
                "north1m",
                "northing",
                "northings",
            ])),
        })
    }

    /// A record of Code-Point Open, which has no header to tell.
    pub(super) fn looks_like_code_point_open(record: &StringRecord) -> bool {
        record.len() == 10 && record.get(0).is_some_and(|p| p.parse::<Postcode>().is_ok())
    }

    /// `None`: no postcode in it, or a code that is none.
    pub(super) fn read(&self, record: &StringRecord) -> Option<Line> {
        let text = |at: usize| record.get(at).map(str::trim).filter(|text| !text.is_empty());
        let postcode = record.get(self.postcode)?.parse().ok()?;
        let district = match text(self.district) {
            // Pseudo codes (E99999999) say that there is no district.
            Some(code) if code.ends_with("99999999") => None,
            Some(code) => Some(code.parse::<Gss>().ok()?),
            None => None,
        };
        let near = self.near.and_then(|(metres, area)| {
            let near =
                Near { metres: text(metres)?.parse().ok()?, area: text(area)?.parse().ok()? };
            (near.metres <= crate::domain::routing::answer::NEAR_METRES).then_some(near)
        });
        let retired = self.terminated.and_then(text).is_some()
            || self.status.and_then(text).is_some_and(|status| status == "T");
        let number = |at: usize| text(at)?.parse::<u32>().ok().filter(|n| *n > 0);
        let grid = self.grid.and_then(|(east, north)| number(east).zip(number(north)));
        Some(Line { row: Row { postcode, found: Found { district, retired, near } }, grid })
    }
}
