//! Several tables changed by one statement: one message there, one plan, one answer back. What a
//! referral costs the server beside its rows is paid per statement.

use tokio_postgres::Row;

use super::faults::Trouble;
use super::rows::get;

/// What one statement does to one table: SQL with `@` where its parameters stand, and their types.
pub(super) struct Part {
    pub sql: &'static str,
    pub types: &'static [&'static str],
}

/// For the last statement of a transaction that ends with [`super::session::Session::commit`].
pub(super) const NOTHING: Part = Part { sql: "SELECT 1", types: &[] };

/// For a statement that is a transaction by itself ([`super::session::Session::whole`]): whether its
/// commit waits for replicas, and as many row numbers, drawn ahead, as are asked for.
pub(super) const DRAW_AHEAD: Part = Part {
    sql: "SELECT current_setting('synchronous_standby_names') <> '',
                 ARRAY (SELECT nextval('row_numbers') FROM generate_series(1, @))",
    types: &["bigint"],
};

/// One statement that does all of it and ends with the rows of `answer`. Its parameters are those of
/// the parts in their order. No part sees what another one does.
pub(super) fn together(parts: &[&Part], answer: &Part) -> String {
    let mut last = 0;
    let mut filled = |part: &Part| {
        let marks: Vec<_> = part
            .types
            .iter()
            .map(|of| {
                last += 1;
                format!("${last}::{of}")
            })
            .collect();
        part.sql.replace('@', &marks.join(", "))
    };
    let parts: Vec<_> =
        (0..).zip(parts).map(|(n, part)| format!("part_{n} AS ({})", filled(part))).collect();
    format!("WITH {} {}", parts.join(", "), filled(answer))
}

/// Row numbers out of an array.
pub(super) fn numbers(row: &Row, column: usize) -> Result<Vec<i64>, Trouble> {
    Ok(get(row, column)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through() {
        let one =
            Part { sql: "INSERT INTO a SELECT * FROM unnest(@)", types: &["text[]", "int[]"] };
        let two = Part { sql: "DELETE FROM b WHERE c = @", types: &["bigint"] };
        assert_eq!(
            together(&[&one, &two], &NOTHING),
            "WITH part_0 AS (INSERT INTO a SELECT * FROM unnest($1::text[], $2::int[])), \
             part_1 AS (DELETE FROM b WHERE c = $3::bigint) SELECT 1"
        );
        assert!(together(&[&one], &DRAW_AHEAD).ends_with("generate_series(1, $3::bigint))"));
    }
}
