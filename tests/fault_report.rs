//! The report on faults as a table that a reader can judge. `tests/faults` runs the suites that inject
//! faults, each of which says in lines of JSON what it did (`fault_lines`), and then this.

use std::collections::BTreeMap;

use serde_json::Value;

/// Rows by suite and by what was checked, in the order in which suites come.
fn table(lines: &str) -> String {
    let mut groups: BTreeMap<(String, String), Vec<[String; 4]>> = BTreeMap::new();
    for line in lines.lines() {
        let row: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not a line: {line}"));
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let cells = [text("fault"), text("at"), row["runs"].to_string(), text("result")];
        groups.entry((text("suite"), text("checked"))).or_default().push(cells);
    }
    let mut out = String::new();
    for ((suite, checked), rows) in groups {
        out.push_str(&format!("\n{suite}\n  checked afterwards: {checked}\n"));
        let width = |column: usize, head: &str| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(head.len())
        };
        let (fault, at) = (width(0, "FAULT"), width(1, "WHERE"));
        out.push_str(&format!("  {:<fault$}  {:<at$}  {:>8}  RESULT\n", "FAULT", "WHERE", "RUNS"));
        for [f, a, runs, result] in &rows {
            out.push_str(&format!("  {f:<fault$}  {a:<at$}  {runs:>8}  {result}\n"));
        }
    }
    out
}

#[test]
fn rows_stand_under_their_suite() {
    let lines = concat!(
        r#"{"at":"accept","checked":"check","fault":"disk full","result":"held","runs":3,"suite":"b"}"#,
        "\n",
        r#"{"at":"any step","checked":"all","fault":"killed","result":"held","runs":10,"suite":"a"}"#,
        "\n",
        r#"{"at":"","checked":"check","fault":"the suite","result":"FAILED","runs":1,"suite":"b"}"#,
        "\n",
    );
    let expected = "
a
  checked afterwards: all
  FAULT   WHERE         RUNS  RESULT
  killed  any step        10  held

b
  checked afterwards: check
  FAULT      WHERE       RUNS  RESULT
  disk full  accept         3  held
  the suite                 1  FAILED
";
    assert_eq!(table(lines), expected);
}

/// Prints the table of the lines that are there.
#[test]
fn print() {
    let Some(path) = std::env::var_os("ECAF_FAULT_REPORT") else { return };
    println!("{}", table(&std::fs::read_to_string(path).unwrap()));
}
