//! The forms of a report: aligned text, CSV, one HTML page.

use std::fmt::Write as _;

use super::moment::moment;
use super::plot::{escape, svg};
use super::statistics::{Report, Sheet};
use crate::domain::time::Timestamp;

/// The widest column of labels in text.
const WIDEST: usize = 90;

const STYLE: &str = "\
@page{size:A4;margin:16mm}\
body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}\
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .2rem}\
.from{color:#444;margin:0 0 1rem}.unit{color:#444;margin:0 0 .4rem}.note{color:#444;font-size:.93rem;margin:.3rem 0}\
.mark{border:3px solid #b00020;background:#fdecee;padding:.5rem .8rem;font-weight:700}\
ul{padding-left:1.2rem}li{margin:.2rem 0}\
svg{display:block;width:100%;height:auto;margin:.4rem 0 .6rem}svg text{font:13px system-ui,sans-serif;fill:#111}\
svg text.axis{fill:#444;font-size:12px}\
table{border-collapse:collapse;width:100%;font-size:.93rem;margin:.3rem 0 .6rem}\
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
th,td{padding:.25rem .6rem;border-bottom:1px solid #ccc;vertical-align:top;text-align:left}\
thead th{border-bottom:2px solid #1d3557}td,thead th+th{text-align:right;font-variant-numeric:tabular-nums}\
tbody th{font-weight:400}\
@media print{body{margin:0;max-width:none;padding:0;font-size:10.5pt}section{break-inside:avoid}h2{break-after:avoid}\
thead{display:table-header-group}tr{break-inside:avoid}}";

impl Report {
    fn title(&self) -> String {
        format!("Safeguarding referrals, {} to {}", self.from, self.to)
    }

    fn source(&self) -> String {
        let made = self.made_at.parse::<Timestamp>();
        let made = made.map_or_else(|_| self.made_at.clone(), moment);
        format!("{}. Made {made}.", self.of)
    }

    /// Aligned tables for people.
    pub fn to_text(&self) -> String {
        let title = self.title();
        let mut out =
            format!("{title}\n{}\n{}\n", "=".repeat(title.chars().count()), self.source());
        if !self.public {
            out.push_str("INTERNAL, NOT FOR PUBLICATION\n");
        }
        for note in self.all_notes() {
            let _ = writeln!(out, "- {note}");
        }
        for sheet in &self.sheets {
            let _ = write!(out, "\n{} ({})\n", sheet.title, sheet.unit);
            table(&mut out, sheet);
            if let Some(note) = &sheet.note {
                let _ = writeln!(out, "  {note}");
            }
        }
        out
    }

    /// One line for each cell: sheet, unit, key, label, column, value. `c` is what is not shown.
    pub fn to_csv(&self) -> String {
        let mark = if self.public { "public" } else { "internal, not for publication" };
        let mut out = String::from("use,from,to,sheet,unit,key,label,column,value\r\n");
        for sheet in &self.sheets {
            for row in &sheet.rows {
                for (column, cell) in sheet.columns.iter().zip(&row.cells) {
                    let fields = [
                        mark,
                        &self.from,
                        &self.to,
                        &sheet.id,
                        &sheet.unit,
                        &row.key,
                        &row.label,
                        column,
                        cell,
                    ];
                    out.push_str(&fields.map(csv_field).join(","));
                    out.push_str("\r\n");
                }
            }
        }
        out
    }

    /// One page that needs nothing else: plots, each with its table.
    pub fn to_html(&self) -> String {
        let title = escape(&self.title());
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en-GB\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
             <p class=\"from\">{}</p>\n",
            escape(&self.source())
        );
        if !self.public {
            out.push_str("<p class=\"mark\">Internal, not for publication</p>\n");
        }
        out.push_str("<ul>\n");
        for note in self.all_notes() {
            let _ = writeln!(out, "<li>{}</li>", escape(&note));
        }
        out.push_str("</ul>\n");
        for sheet in &self.sheets {
            let _ = write!(
                out,
                "<section>\n<h2>{}</h2>\n<p class=\"unit\">Counted in {}</p>\n{}",
                escape(&sheet.title),
                escape(&sheet.unit),
                svg(sheet)
            );
            html_table(&mut out, sheet);
            if let Some(note) = &sheet.note {
                let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(note));
            }
            out.push_str("</section>\n");
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }

    fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let mut add = |count: u64, words: &str| {
            if count > 0 {
                notes.push(format!("{words}: {count}."));
            }
        };
        if let Some(left) = self.left_out {
            add(left.not_proved, "Not counted, evidence does not verify");
            add(left.copies, "Not counted, another authority's that came here as a copy");
            add(left.unreadable, "Counted without its children, document erased");
        }
        notes
    }
}

fn table(out: &mut String, sheet: &Sheet) {
    if sheet.rows.is_empty() {
        out.push_str(if sheet.note.is_some() { "" } else { "  None.\n" });
        return;
    }
    let width = |text: &str| text.chars().count();
    let labels = sheet.rows.iter().map(|row| width(&row.label)).max().unwrap_or(0).min(WIDEST);
    let widths: Vec<usize> = sheet
        .columns
        .iter()
        .enumerate()
        .map(|(at, head)| {
            let cells = sheet.rows.iter().filter_map(|row| row.cells.get(at));
            cells.map(|cell| width(cell)).chain([width(head)]).max().unwrap_or(0)
        })
        .collect();
    let line = |out: &mut String, label: &str, cells: &[String]| {
        let _ = write!(out, "  {label:labels$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    };
    line(out, "", &sheet.columns);
    for row in &sheet.rows {
        line(out, &row.label, &row.cells);
    }
}

fn html_table(out: &mut String, sheet: &Sheet) {
    if sheet.rows.is_empty() {
        out.push_str(if sheet.note.is_some() { "" } else { "<p>None.</p>\n" });
        return;
    }
    let title = escape(&sheet.title);
    let _ = write!(out, "<table><caption>{title}</caption><thead><tr><th scope=\"col\"></th>");
    for column in &sheet.columns {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(column));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in &sheet.rows {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&row.label));
        for cell in &row.cells {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

/// A field of RFC 4180, with what a spreadsheet would take for a formula made harmless.
pub(super) fn csv_field(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@']) && text.len() > 1 {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::csv_field;

    #[test]
    fn fields_are_quoted_and_formulas_are_texts() {
        assert_eq!(csv_field("a,b"), "\"a,b\"");
        assert_eq!(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(csv_field("=1+1"), "'=1+1");
        assert_eq!(csv_field("-"), "-");
    }
}
