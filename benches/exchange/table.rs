//! Figures as a table for people (Markdown, aligned) and as JSON for programs.

use serde::Serialize;

use super::floor::Floor;

/// One kind of load against one server: medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub id: &'static str,
    pub what: &'static str,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub server_cpu_us: f64,
    /// The same as a multiple of the crypto floor of the same seconds; none where it was not measured.
    pub of_floor: Option<f64>,
    /// Most memory of the gateway in this load, in MB; none for nginx.
    pub memory_mb: Option<f64>,
    /// What others took of the machine meanwhile.
    pub others: f64,
    pub failed: usize,
}

/// One figure that is no load.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    pub id: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
}

/// Everything that one run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub date: String,
    pub machine: String,
    pub nginx: Option<String>,
    pub body_bytes: usize,
    pub rounds: usize,
    pub seconds: f64,
    pub floor_us: f64,
    pub loads: Vec<Row>,
    pub facts: Vec<Fact>,
}

impl Report {
    /// Adds what the rows say about each other.
    pub fn compare(&mut self, floor: Floor) {
        self.floor_us = floor.total();
        let parts = format!(
            "crypto floor alone: digest of the body {:.1} + verification {:.1} + two signatures of {:.1}",
            floor.hash, floor.verify, floor.sign
        );
        self.fact("floor", parts, floor.total(), "us");
        let row = |id| self.loads.iter().find(|row: &&Row| row.id == id);
        let mut found = Vec::new();
        if let Some(kept) = row("h1") {
            let beside = kept.of_floor.unwrap_or(0.0);
            let what = "server CPU of a referral / crypto floor measured beside it";
            found.push(("cpu/floor", what, beside, "x"));
            if let Some(nginx) = row("nginx-h1") {
                let share = 100.0 * kept.per_second / nginx.per_second;
                found.push(("h1/nginx", "keep-alive: of nginx's static answers", share, "%"));
            }
        }
        if let Some((fresh, nginx)) = row("fresh").zip(row("nginx-fresh")) {
            let share = fresh.per_second / nginx.per_second;
            found.push(("fresh/nginx", "new connection each: of nginx's", share, "x"));
        }
        if let Some((hands, nginx)) = row("hands").zip(row("nginx-hands")) {
            let share = hands.per_second / nginx.per_second;
            found.push((
                "hands/nginx",
                "a handshake for each small question: of nginx's",
                share,
                "x",
            ));
        }
        for (id, what, value, unit) in found {
            self.fact(id, what, value, unit);
        }
    }

    /// Adds a figure.
    pub fn fact(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) {
        self.facts.push(Fact { id, what: what.into(), value, unit });
    }

    /// The tables, in Markdown.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}; {}.\nBody {} bytes; median of {} rounds of {:.0} s{}.\n\n",
            self.date,
            self.machine,
            self.body_bytes,
            self.rounds,
            self.seconds,
            self.nginx.as_ref().map_or(String::new(), |v| format!("; {v}")),
        );
        let head = [
            "load",
            "per second",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "server CPU us",
            "/ floor",
            "memory MB",
            "others",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.loads {
            lines.push([
                row.what.to_owned(),
                format!("{:.0}", row.per_second),
                format!("{:.2}", row.p50_ms),
                format!("{:.2}", row.p99_ms),
                format!("{:.2}", row.p999_ms),
                format!("{:.0}", row.server_cpu_us),
                row.of_floor.map_or_else(|| "-".to_owned(), |x| format!("{x:.2}")),
                row.memory_mb.map_or_else(|| "-".to_owned(), |mb| format!("{mb:.0}")),
                format!("{:.0} %", row.others * 100.0),
            ]);
        }
        text.push_str(&aligned(&lines));
        text.push('\n');
        let mut lines = vec![["figure".to_owned(), "value".to_owned()]];
        for fact in &self.facts {
            let digits = if fact.value < 10.0 { 2 } else { 0 };
            lines.push([fact.what.clone(), format!("{:.digits$} {}", fact.value, fact.unit)]);
        }
        text.push_str(&aligned(&lines));
        text
    }
}

/// A Markdown table that reads well as it is: first column left, others right.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            text.push_str(&match column {
                0 => format!("| {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
        }
        text.push('\n');
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width - 1);
                text.push_str(&match column {
                    0 => format!("| {dashes}- |"),
                    _ => format!(" {dashes}: |"),
                });
            }
            text.push('\n');
        }
    }
    text
}
