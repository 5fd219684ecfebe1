//! A readable document as blocks, and its two forms: plain text and one self-contained HTML page.

use std::fmt::Write;

/// One block of a section.
#[derive(Clone, PartialEq, Eq)]
pub enum Block {
    /// Running text; line breaks of the writer are kept.
    Text(String),
    /// What the sender wrote, set off from our own words; who says so stands above it.
    Quote {
        /// How the sender knows, and whom it concerns.
        by: String,
        /// Their words.
        text: String,
    },
    /// Name and value, one a line.
    Fields(Vec<(String, String)>),
    /// A table with a head.
    Table {
        /// Column heads.
        head: Vec<String>,
        /// Rows as long as the head.
        rows: Vec<Vec<String>>,
    },
}

/// A part of the document under one heading.
#[derive(Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// A document for reading.
#[derive(Clone, PartialEq, Eq)]
pub struct Readable {
    /// The title line.
    pub title: String,
    /// Where these bytes come from and what proves it; given by the caller.
    pub provenance: String,
    /// What must be seen before anything else (danger to workers, withheld addresses).
    pub warnings: Vec<String>,
    /// The parts, in reading order.
    pub sections: Vec<Section>,
}

const WIDTH: usize = 96;

impl Readable {
    /// As plain text, at most 96 columns wide, without control characters.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        wrapped(&mut out, "", &clean(&self.title));
        line(&mut out, &"=".repeat(width(&self.title).min(WIDTH)));
        wrapped(&mut out, "", &clean(&self.provenance));
        for warning in &self.warnings {
            line(&mut out, "");
            wrapped(&mut out, "!! ", &clean(warning));
        }
        for section in &self.sections {
            line(&mut out, "");
            wrapped(&mut out, "", &clean(&section.heading));
            line(&mut out, &"-".repeat(width(&section.heading).min(WIDTH)));
            for (at, block) in section.blocks.iter().enumerate() {
                if at > 0 {
                    line(&mut out, "");
                }
                block_text(&mut out, block);
            }
        }
        out
    }

    /// As one HTML page without scripts, links or anything from elsewhere; everything escaped.
    pub fn to_html(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en-GB\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n\
             <p class=\"from\">{}</p>\n",
            escape(&self.title),
            escape(&self.title),
            escape(&self.provenance)
        );
        for warning in &self.warnings {
            let _ = writeln!(out, "<p class=\"warning\">{}</p>", escape(warning));
        }
        for section in &self.sections {
            let _ = writeln!(out, "<section>\n<h2>{}</h2>", escape(&section.heading));
            section.blocks.iter().for_each(|block| block_html(&mut out, block));
            out.push_str("</section>\n");
        }
        out.push_str("</body>\n</html>\n");
        out
    }
}

const STYLE: &str = "\
body{font:16px/1.45 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#111}\
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem;\
border-bottom:2px solid #1d3557;padding-bottom:.15rem}.from{color:#444;margin:0 0 1rem}\
.warning{border:2px solid #b00020;background:#fdecee;padding:.5rem .8rem;margin:.5rem 0;font-weight:600}\
table{border-collapse:collapse;width:100%;font-size:.93rem;margin:.5rem 0 .9rem}th,td{text-align:left;vertical-align:top;\
border:1px solid #bbb;padding:.25rem .5rem}thead th{background:#eef2f7}\
table.fields th{width:30%;background:#f7f7f7;font-weight:600}.text{white-space:pre-wrap;margin:.3rem 0}\
blockquote{margin:.4rem 0 .8rem;padding:.3rem .9rem;border-left:4px solid #1d3557;background:#f6f8fb}\
blockquote .by{color:#444;font-size:.88rem;margin:0}blockquote .text{font-size:1.05rem}\
@page{size:A4;margin:15mm}td.text{overflow-wrap:anywhere}\
@media print{body{margin:0;max-width:none;padding:0;font-size:10.5pt}h2{break-after:avoid}tr,blockquote{break-inside:avoid}\
thead{display:table-header-group}}";

fn block_html(out: &mut String, block: &Block) {
    let _ = match block {
        Block::Text(text) => writeln!(out, "<p class=\"text\">{}</p>", escape(text)),
        Block::Quote { by, text } => writeln!(
            out,
            "<blockquote><p class=\"by\">{}</p><p class=\"text\">{}</p></blockquote>",
            escape(by),
            escape(text)
        ),
        Block::Fields(fields) => {
            out.push_str("<table class=\"fields\"><tbody>\n");
            for (name, value) in fields {
                let (name, value) = (escape(name), escape(value));
                let _ = writeln!(
                    out,
                    "<tr><th scope=\"row\">{name}</th><td class=\"text\">{value}</td></tr>"
                );
            }
            writeln!(out, "</tbody></table>")
        }
        Block::Table { head, rows } => {
            out.push_str("<table><thead><tr>");
            for name in head {
                let _ = write!(out, "<th scope=\"col\">{}</th>", escape(name));
            }
            out.push_str("</tr></thead><tbody>\n");
            for row in rows {
                out.push_str("<tr>");
                for cell in row {
                    let _ = write!(out, "<td class=\"text\">{}</td>", escape(cell));
                }
                out.push_str("</tr>\n");
            }
            writeln!(out, "</tbody></table>")
        }
    };
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Without what could steer a terminal, hide text or turn its direction.
fn clean(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.replace("\r\n", "\n").replace('\t', " ").chars().filter(|&c| !hidden(c)).collect()
}

fn block_text(out: &mut String, block: &Block) {
    match block {
        Block::Text(text) => wrapped(out, "", &clean(text)),
        Block::Quote { by, text } => {
            wrapped(out, "", &format!("[{}]", clean(by)));
            wrapped(out, "  | ", &clean(text));
        }
        Block::Fields(fields) => {
            let column = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(34);
            for (name, value) in fields {
                let mut first = true;
                let lines = wrap(&clean(value), WIDTH.saturating_sub(column + 2));
                for value in lines.iter() {
                    let name = if first { clean(name) } else { String::new() };
                    line(out, &format!("{}  {value}", padded(&name, column)));
                    first = false;
                }
            }
        }
        // A table is too wide for a line as soon as it says something: one entry under another.
        Block::Table { head, rows } => {
            let column = head.iter().map(|name| width(name)).max().unwrap_or(0).min(34);
            for (at, row) in rows.iter().enumerate() {
                if at > 0 {
                    line(out, "");
                }
                for (index, (name, value)) in head.iter().zip(row).enumerate() {
                    if value.is_empty() {
                        continue;
                    }
                    let bullet = if index == 0 { "* " } else { "  " };
                    for (n, value) in wrap(&clean(value), WIDTH - column - 4).iter().enumerate() {
                        let (bullet, name) =
                            if n == 0 { (bullet, name.as_str()) } else { ("  ", "") };
                        line(out, &format!("{bullet}{}  {value}", padded(name, column)));
                    }
                }
            }
        }
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(clean(text).trim_end());
    out.push('\n');
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, column: usize) -> String {
    format!("{text}{}", " ".repeat(column.saturating_sub(width(text))))
}

fn wrapped(out: &mut String, prefix: &str, text: &str) {
    for text in wrap(text, WIDTH - prefix.len()) {
        line(out, &format!("{prefix}{text}"));
    }
}

/// Lines of at most `columns` characters, broken at blanks; a longer word stands alone.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut current = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if !current.is_empty() && width(&current) + 1 + width(word) > columns {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> Readable {
        labelled(text, text)
    }

    fn labelled(label: &str, text: &str) -> Readable {
        Readable {
            title: text.into(),
            provenance: text.into(),
            warnings: vec![text.into()],
            sections: vec![Section {
                heading: text.into(),
                blocks: vec![
                    Block::Text(text.into()),
                    Block::Quote { by: text.into(), text: text.into() },
                    Block::Fields(vec![(label.into(), text.into())]),
                    Block::Table { head: vec![label.into()], rows: vec![vec![text.into()]] },
                ],
            }],
        }
    }

    #[test]
    fn nothing_in_a_document_is_markup() {
        let html = sample("<script>alert('x')</script> & \"q\"").to_html();
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;").count(), 12);
    }

    #[test]
    fn nothing_in_a_document_steers_a_terminal_or_turns_its_direction() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{7}d\u{200b}e";
        for out in [sample(hostile).to_text(), sample(hostile).to_html()] {
            assert!(out.contains("a[2Jbcde"));
            assert!(!out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
        }
    }

    #[test]
    fn text_is_wrapped_and_keeps_the_writers_lines() {
        let text = labelled("What happened", &format!("{}\nsecond", "word ".repeat(40))).to_text();
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        assert!(text.contains("  | second"));
    }
}
