//! Figures over many referrals of a period, as sheets that every form of output is made of.

use serde::Serialize;

use super::exact;
use crate::domain::statistics::{
    Beside, Figure, Form, Lists, MEDIAN_FROM, P90_FROM, Published, Quarter, Record, Row, Table,
    Unit, answers, beside, publish, tables, together,
};
use crate::domain::time::{Date, Timestamp};
use crate::protocol::schema::list;

/// Name and version of the machine form.
pub const FORMAT: &str = "ecaf-report/1.0";

/// Children by ethnicity in a population, to set counts against.
pub type Population = Vec<(String, u64)>;

/// What a report is over.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose referrals they are, and where the figures come from.
    pub of: String,
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Now.
    pub now: Timestamp,
    /// Whether documents were read. An operator reads none.
    pub documents: bool,
    /// Children by ethnicity.
    pub population: Option<Population>,
    /// What could not be counted.
    pub left_out: LeftOut,
}

/// What could not be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its evidence does not verify.
    pub not_proved: u64,
    /// Another authority's: a copy came here because the child is in the area, or a case is open.
    pub copies: u64,
    /// Documents that can no longer be read, so that nothing is known of the children in them.
    pub unreadable: u64,
}

/// A report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: &'static str,
    /// Whose referrals they are.
    pub of: String,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// When it was made.
    pub made_at: String,
    /// Whether it may be published.
    pub public: bool,
    /// How its figures are to be read.
    pub notes: Vec<String>,
    /// What could not be counted; not in what is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// The figures.
    pub sheets: Vec<Sheet>,
}

/// One table with its plot.
#[derive(Debug, Clone, Serialize)]
pub struct Sheet {
    /// Its name for programs.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What is counted, or in what it is measured.
    pub unit: String,
    /// What to know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Heads of the cells.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<SheetRow>,
    /// How it is drawn.
    #[serde(skip)]
    pub plot: Plot,
}

/// How a sheet is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plot {
    /// Not at all.
    None,
    /// A bar for each row, of its parts one after another; the words name the parts.
    Bars(&'static [&'static str]),
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub struct SheetRow {
    /// Its code.
    pub key: String,
    /// For a person.
    pub label: String,
    /// In the order of the columns.
    pub cells: Vec<String>,
    /// The lengths of the parts of its bar; `None` is not shown.
    #[serde(skip)]
    pub bar: Vec<Option<f64>>,
}

/// What a report counts.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Referrals.
    pub records: Vec<Record>,
    /// What happened beside them.
    pub beside: Vec<Beside>,
}

impl Report {
    /// For publication: `quarters` each with what it counts, as of the day on which it was settled.
    pub fn public(scope: &Scope, quarters: &[(Quarter, Counted)]) -> Self {
        let lists = Owned::new();
        let published = |counted: &Counted| {
            let records: Vec<&Record> = counted.records.iter().collect();
            publish(&records, &counted.beside.iter().collect::<Vec<_>>(), lists.borrow())
        };
        let each: Vec<(Quarter, Published)> =
            quarters.iter().map(|(quarter, counted)| (*quarter, published(counted))).collect();
        let parts: Vec<Published> = each.iter().map(|(_, published)| published.clone()).collect();
        let sum = together(&parts);
        let of_table = |table: &crate::domain::statistics::ShownTable| Shown {
            id: table.id,
            title: table.title,
            unit: table.unit,
            total: table.total,
            open: table.open,
            rows: table.rows.iter().map(|(k, l, f)| (k.clone(), l.clone(), Cell::of(*f))).collect(),
        };
        let mut sheets = sheets(sum.tables.iter().map(of_table).collect(), scope, false);
        sheets.push(public_clocks(&sum));
        sheets.extend(public_times(&each));
        let mut report = Self::new(scope, true, sheets);
        report.notes = public_notes();
        report
    }

    /// For the organisation itself: exact, as it stands now.
    pub fn internal(scope: &Scope, counted: &Counted) -> Self {
        let lists = Owned::new();
        let records: Vec<&Record> = counted.records.iter().collect();
        let aside: Vec<&Beside> = counted.beside.iter().collect();
        let exact = |table: Table| Shown {
            id: table.id,
            title: table.title,
            unit: table.unit,
            total: table.form == Form::Total,
            open: table.form == Form::Open,
            rows: table
                .rows
                .into_iter()
                .map(|Row { key, label, count }| (key, label, Cell::exact(count)))
                .collect(),
        };
        let all = tables(&records, lists.borrow(), false).into_iter().chain(beside(&aside, false));
        let mut sheets = sheets(all.map(exact).collect(), scope, true);
        if scope.documents {
            sheets.push(exact::needs(&records, lists.borrow()));
        }
        sheets.push(exact::clock_sheet(&records));
        sheets.push(exact::time_sheet(&records, answers(&aside)));
        let mut report = Self::new(scope, false, sheets);
        report.notes = vec!["Exact figures, small ones included, as it stands now.".into()];
        report.left_out = Some(scope.left_out);
        report
    }

    fn new(scope: &Scope, public: bool, sheets: Vec<Sheet>) -> Self {
        Self {
            format: FORMAT,
            of: scope.of.clone(),
            from: scope.from.to_string(),
            to: scope.to.to_string(),
            made_at: scope.now.to_string(),
            public,
            notes: Vec::new(),
            left_out: None,
            sheets,
        }
    }
}

/// The code lists of the census.
struct Owned {
    lists: [Vec<(String, String)>; 4],
}

impl Owned {
    fn new() -> Self {
        let codes = |name| list(name).map(|list| list.codes.clone()).unwrap_or_default();
        Self { lists: ["ethnicity", "abuse_category", "factor", "primary_need"].map(codes) }
    }

    fn borrow(&self) -> Lists<'_> {
        let [ethnicity, abuse, factors, needs] = &self.lists;
        Lists { ethnicity, abuse, factors, needs }
    }
}

/// A figure as it is printed, with its number where it has one.
#[derive(Clone)]
struct Cell {
    text: String,
    number: Option<f64>,
    figure: Option<Figure>,
}

impl Cell {
    fn of(figure: Figure) -> Self {
        let number = figure.whole().map(|n| n as f64);
        Self { text: figure.to_string(), number, figure: Some(figure) }
    }

    fn exact(count: u64) -> Self {
        Self { text: count.to_string(), number: Some(count as f64), figure: None }
    }

    /// With another part of the same rows.
    fn and(&self, other: &Self) -> Self {
        match (self.figure, other.figure) {
            (Some(a), Some(b)) => Self::of(a.and(b)),
            _ => {
                let sum = self.number.unwrap_or(0.0) + other.number.unwrap_or(0.0);
                Self { text: format!("{sum}"), number: Some(sum), figure: None }
            }
        }
    }
}

struct Shown {
    id: &'static str,
    title: &'static str,
    unit: Unit,
    total: bool,
    open: bool,
    rows: Vec<(String, String, Cell)>,
}

fn sheets(mut tables: Vec<Shown>, scope: &Scope, internal: bool) -> Vec<Sheet> {
    // Without documents children are those whom decisions name, and nobody's area is known.
    tables.retain(|table| {
        let from_documents = table.unit == Unit::Children && !table.id.starts_with("decisions");
        scope.documents
            || !(from_documents || matches!(table.id, "school_area" | "hand_over_means"))
    });
    let at = |tables: &[Shown], id| tables.iter().position(|table| table.id == id);
    let mut all = Vec::new();
    let pair = (at(&tables, "ethnicity_assessed"), at(&tables, "ethnicity_other"));
    if let (Some(assessed), Some(other)) = pair {
        // The later one first, so that the other keeps its place.
        let other = tables.remove(other);
        let assessed = tables.remove(assessed);
        all.push(ethnicity(&assessed, &other, scope));
    }
    let (totals, tables): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.total);
    let of_total = |table: Shown| {
        let (.., cell) = table.rows.into_iter().next()?;
        let (key, label) = (table.id.into(), table.title.into());
        Some(SheetRow { key, label, bar: vec![cell.number], cells: vec![cell.text] })
    };
    let totals: Vec<SheetRow> = totals.into_iter().filter_map(of_total).collect();
    let mut made = vec![Sheet {
        id: "totals".into(),
        title: "How many".into(),
        unit: "referrals, children, others as named".into(),
        note: None,
        columns: vec!["Number".into()],
        rows: totals,
        plot: Plot::None,
    }];
    for table in tables {
        let note = match (table.open, table.rows.is_empty(), internal) {
            (true, true, false) => Some("No area has a figure that can be shown.".to_owned()),
            (true, false, false) => {
                Some("Areas that are not listed have none, or too few to show.".to_owned())
            }
            _ => None,
        };
        // Of the long lists only what occurs is of use where everything may be shown.
        let rows = table.rows.into_iter();
        let keep = |cell: &Cell| {
            let long =
                matches!(table.id, "factors" | "abuse" | "decisions_assessed" | "decisions_other");
            !long || cell.figure.map_or(cell.number != Some(0.0), |figure| figure.parts > 0)
        };
        let rows: Vec<SheetRow> = rows
            .filter(|(.., cell)| keep(cell))
            .map(|(key, label, cell)| SheetRow {
                key,
                label,
                bar: vec![cell.number],
                cells: vec![cell.text],
            })
            .collect();
        let note = note.or_else(|| {
            let short =
                matches!(table.id, "factors" | "abuse" | "decisions_assessed" | "decisions_other");
            (short && !internal).then(|| "Not listed: none, or too few to show.".to_owned())
        });
        made.push(Sheet {
            id: table.id.into(),
            title: table.title.into(),
            unit: table.unit.as_str().into(),
            note,
            columns: vec!["Number".into()],
            rows,
            plot: Plot::Bars(&["Number"]),
        });
    }
    made.extend(all);
    made
}

fn ethnicity(assessed: &Shown, other: &Shown, scope: &Scope) -> Sheet {
    let mut columns =
        vec!["Assessment or enquiry".to_owned(), "Other or undecided".into(), "Together".into()];
    if scope.population.is_some() {
        columns.extend(["Population".into(), "Rate per 10,000".into()]);
    }
    let rows = assessed.rows.iter().zip(&other.rows).map(|((key, label, yes), (.., no))| {
        let both = yes.and(no);
        let mut cells = vec![yes.text.clone(), no.text.clone(), both.text.clone()];
        if let Some(population) = &scope.population {
            let people = population.iter().find(|(code, _)| code == key).map(|(_, n)| *n);
            let rate = both.number.zip(people.filter(|n| *n > 0));
            let rate = rate.map(|(n, people)| format!("{:.0}", 10_000.0 * n / people as f64));
            cells.push(people.map_or_else(|| "-".into(), |n| n.to_string()));
            cells.push(rate.unwrap_or_else(|| "-".into()));
        }
        let bar = vec![yes.number, no.number];
        SheetRow { key: key.clone(), label: label.clone(), cells, bar }
    });
    Sheet {
        id: "ethnicity".into(),
        title: "Ethnicity (census codes)".into(),
        unit: "children".into(),
        note: scope.population.is_none().then(|| {
            "Counts alone show no disproportion: --population sets them against how many children there are."
                .to_owned()
        }),
        columns,
        rows: rows.collect(),
        plot: Plot::Bars(&["Assessment or enquiry", "Other or undecided"]),
    }
}

pub(super) fn clock_label(
    id: crate::domain::clocks::ClockId,
    who: Option<impl std::fmt::Display>,
) -> String {
    let who = who.map_or_else(|| "school or exchange".into(), |code| format!("authority {code}"));
    format!("{} {}: {who}", id.as_str(), id.name())
}

pub(super) const CLOCKS: &str = "Limits kept, by the authority that had it for longest";

fn public_clocks(published: &Published) -> Sheet {
    let rows = published.clocks.iter().map(|clock| SheetRow {
        key: format!(
            "{} {}",
            clock.id.as_str(),
            clock.authority.map(|a| a.to_string()).unwrap_or_default()
        ),
        label: clock_label(clock.id, clock.authority),
        cells: vec![
            clock.class.as_str().into(),
            clock.in_time.to_string(),
            clock.breached.to_string(),
            clock.share.to_string(),
        ],
        bar: [clock.in_time, clock.breached].map(|f| f.whole().map(|n| n as f64)).to_vec(),
    });
    Sheet {
        id: "clocks".into(),
        title: CLOCKS.into(),
        unit: "limits that were met or passed".into(),
        note: Some(
            "Statutory limits and those of procedures. Not listed: none, or too few to show."
                .into(),
        ),
        columns: ["Class", "In time", "Not", "Share in time"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        plot: Plot::Bars(&["In time", "Not in time"]),
    }
}

fn public_times(each: &[(Quarter, Published)]) -> Vec<Sheet> {
    let sheet = |(quarter, published): &(Quarter, Published)| {
        let rows = published.times.iter().map(|times| {
            let said = |class: Option<crate::domain::statistics::Class>| {
                class.map_or_else(|| "c".to_owned(), |class| class.as_str().to_owned())
            };
            SheetRow {
                key: times.id.into(),
                label: times.title.into(),
                cells: vec![said(times.median), said(times.p90)],
                bar: Vec::new(),
            }
        });
        Sheet {
            id: format!("times {quarter}"),
            title: format!("How long it took from acceptance, {quarter}"),
            unit: "classes of length".into(),
            note: Some(format!(
                "A median over at least {MEDIAN_FROM}, a ninetieth percentile over at least {P90_FROM}."
            )),
            columns: vec!["Median".into(), "Nine of ten within".into()],
            rows: rows.collect(),
            plot: Plot::None,
        }
    };
    each.iter().map(sheet).collect()
}

fn public_notes() -> Vec<String> {
    [
        "c: fewer than five, or withheld so that a figure under five does not follow from others. All other \
         figures are rounded to the nearest five, each by itself.",
        "A child in two referrals is counted in both. Rates and shares are of the figures that are shown.",
        "Each quarter is counted as it stood 70 days after its end and never changes; a longer period shows the \
         sums of its quarters (15+c: 15 in the quarters that show it).",
        "Notices, consultations and hand-overs are counted by themselves, and not among the referrals.",
        "Allegations about adults who work with children, and what was taken out of use, are not counted.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::statistics::share;

    #[test]
    fn exact_sums_are_whole_numbers_and_shown_ones_keep_what_is_withheld() {
        assert_eq!(Cell::exact(3).and(&Cell::exact(4)).text, "7");
        assert_eq!(Cell::of(Figure::of(11)).and(&Cell::of(Figure::of(2))).text, "10+c");
        // The share of what is shown is the one that readers can compute themselves.
        assert_eq!(share(11, 12).to_string(), "50 %");
    }
}
