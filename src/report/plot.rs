//! Bars as SVG: drawn from the rows of a sheet, without anything from elsewhere. The table below each
//! has the same figures in words.

use std::fmt::Write as _;

use super::statistics::{Plot, Sheet};

/// Parts differ in lightness as well as in colour, for print and for those who see few colours.
const FILLS: [&str; 2] = ["#1d3557", "#e9a15b"];
const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 345.0;
/// Room at the right for the figure.
const RIGHT: f64 = 70.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
/// The longest label that fits beside the bars.
const LABEL: usize = 44;

/// The plot of a sheet; nothing if nothing in it can be drawn.
pub(super) fn svg(sheet: &Sheet) -> String {
    let Plot::Bars(parts) = sheet.plot else { return String::new() };
    let length = |bar: &[Option<f64>]| bar.iter().flatten().sum::<f64>();
    let longest = sheet.rows.iter().map(|row| length(&row.bar)).fold(0.0, f64::max);
    if longest <= 0.0 {
        return String::new();
    }
    let top = if parts.len() > 1 { 34.0 } else { 10.0 };
    let bottom = top + STEP * sheet.rows.len() as f64;
    let (tick, end) = scale(longest);
    let x = |value: f64| LEFT + value / end * (WIDTH - LEFT - RIGHT);
    let id = sheet.id.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg role=\"img\" aria-labelledby=\"t-{id} d-{id}\" viewBox=\"0 0 {WIDTH} {:.0}\" \
         xmlns=\"http://www.w3.org/2000/svg\"><title id=\"t-{id}\">{}</title>\
         <desc id=\"d-{id}\">Bars in {}; the table below has the same figures.</desc>",
        bottom + 44.0,
        escape(&sheet.title),
        escape(&sheet.unit)
    );
    if parts.len() > 1 {
        legend(&mut out, parts);
    }
    let mut value = 0.0;
    while value <= end + tick / 2.0 {
        let at = x(value);
        let _ = write!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"#ccc\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"axis\">{value:.0}</text>",
            bottom + 16.0
        );
        value += tick;
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"axis\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        bottom + 36.0,
        escape(&sheet.unit)
    );
    for (index, row) in sheet.rows.iter().enumerate() {
        let y = top + STEP * index as f64 + (STEP - BAR) / 2.0;
        let text = y + BAR - 5.0;
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escape(&short(if sheet.id == "clocks" { &row.key } else { &row.label }))
        );
        let mut from = 0.0;
        for (part, fill) in row.bar.iter().zip(FILLS) {
            let Some(length) = part.filter(|length| *length > 0.0) else { continue };
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>",
                x(from),
                x(from + length) - x(from)
            );
            from += length;
        }
        let words: Vec<String> =
            row.bar.iter().map(|p| p.map_or("c".to_owned(), |n| format!("{n:.0}"))).collect();
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
            x(from) + 6.0,
            words.join(" + ")
        );
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String, parts: &[&str]) {
    for (index, (part, fill)) in parts.iter().zip(FILLS).enumerate() {
        let x = LEFT + 200.0 * index as f64;
        let _ = write!(
            out,
            "<rect x=\"{x:.1}\" y=\"6\" width=\"14\" height=\"14\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"18\">{}</text>",
            x + 20.0,
            escape(part)
        );
    }
}

/// A round distance of ticks, and the end of the axis.
fn scale(longest: f64) -> (f64, f64) {
    let mut tick = 1.0;
    for factor in [2.0, 2.5, 2.0].iter().cycle().take(30) {
        if longest / tick <= 5.0 {
            break;
        }
        tick *= factor;
    }
    (tick, (longest / tick).ceil() * tick)
}

fn short(label: &str) -> String {
    match label.chars().count() > LABEL {
        true => label.chars().take(LABEL - 1).chain(['\u{2026}']).collect(),
        false => label.to_owned(),
    }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (longest, expected) in
            [(1.0, (1.0, 1.0)), (7.0, (2.0, 8.0)), (37.0, (10.0, 40.0)), (430.0, (100.0, 500.0))]
        {
            assert_eq!(scale(longest), expected, "{longest}");
        }
    }
}
