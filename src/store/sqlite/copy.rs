//! One SQLite file as the source or the target of a copy.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::engine::{Engine, Settings};
use super::read::collect;
use super::rows;
use super::schema::{AUTHORITY, GATEWAY, Schema};
use crate::store::contract::{Pending, StoreFault};
use crate::store::copy::{Row, Source, Table, Target, Value};

/// A new file has these in the place of its `application_id` until the copy is finished: nothing but
/// the same copy opens it. "ecgc" and "eccc".
const UNFINISHED: [i32; 2] = [0x6563_6763, 0x6563_6363];

/// A file that is read, or written, whole. Owned for as long as this exists: no process serves from it.
pub struct SqliteCopy {
    engine: Engine,
    finished: i32,
}

impl SqliteCopy {
    /// Opens a gateway's store to be read, or an authority's. Blocking.
    pub fn source(settings: &Settings, tables: &'static [Table]) -> Result<Self, StoreFault> {
        let (schema, _) = schema(tables);
        let engine = Engine::open(settings, schema)?;
        Ok(Self { engine, finished: schema.application_id })
    }

    /// Creates the new store, or opens the one that an earlier copy left unfinished;
    /// [`StoreFault::NotAStore`] where there is anything else, a finished store too. Blocking.
    pub fn target(settings: &Settings, tables: &'static [Table]) -> Result<Self, StoreFault> {
        let (schema, unfinished) = schema(tables);
        let marked = Schema { application_id: unfinished, migrations: schema.migrations };
        let settings = Settings { create: true, ..settings.clone() };
        let engine = Engine::open(&settings, &marked)?;
        Ok(Self { engine, finished: schema.application_id })
    }
}

fn schema(tables: &'static [Table]) -> (&'static Schema, i32) {
    if tables == crate::store::copy::GATEWAY {
        (&GATEWAY, UNFINISHED[0])
    } else {
        (&AUTHORITY, UNFINISHED[1])
    }
}

impl Source for SqliteCopy {
    fn rows(&self, table: &'static Table, after: Option<Row>, limit: u32) -> Pending<'_, Vec<Row>> {
        self.engine.long_read(move |conn| rows_after(conn, table, after, limit))
    }

    fn count(&self, table: &'static Table) -> Pending<'_, u64> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        self.engine.long_read(move |conn| Ok(conn.query_row(&sql, [], |row| rows::count(row, 0))?))
    }
}

impl Target for SqliteCopy {
    fn last(&self, table: &'static Table) -> Pending<'_, Option<Row>> {
        self.engine.long_read(move |conn| {
            let key = table.key_names();
            let order = key.replace(", ", " DESC, ");
            let sql = format!("SELECT {key} FROM {} ORDER BY {order} DESC LIMIT 1", table.name);
            let mut find = conn.prepare(&sql)?;
            let found = collect(find.query([])?, |row| read(row, table.key))?;
            Ok(found.into_iter().next())
        })
    }

    fn insert(&self, table: &'static Table, rows: Vec<Row>) -> Pending<'_, ()> {
        self.engine.write(move |conn| {
            let marks = vec!["?"; table.columns.len()].join(", ");
            let names = table.column_names();
            let sql = format!("INSERT INTO {} ({names}) VALUES ({marks})", table.name);
            let mut insert = conn.prepare_cached(&sql)?;
            for row in &rows {
                insert.execute(params_from_iter(row))?;
            }
            Ok(())
        })
    }

    fn finish(&self) -> Pending<'_, ()> {
        let finished = self.finished;
        self.engine.write(move |conn| Ok(conn.pragma_update(None, "application_id", finished)?))
    }
}

fn rows_after(
    conn: &Connection,
    table: &'static Table,
    after: Option<Row>,
    limit: u32,
) -> Result<Vec<Row>, StoreFault> {
    let (names, key) = (table.column_names(), table.key_names());
    let behind = match &after {
        Some(after) => format!("WHERE ({key}) > ({})", vec!["?"; after.len()].join(", ")),
        None => String::new(),
    };
    let sql = format!("SELECT {names} FROM {} {behind} ORDER BY {key} LIMIT {limit}", table.name);
    let mut find = conn.prepare_cached(&sql)?;
    let found = find.query(params_from_iter(after.unwrap_or_default()))?;
    collect(found, |row| read(row, table.columns.len()))
}

fn read(row: &rusqlite::Row<'_>, columns: usize) -> Result<Row, StoreFault> {
    (0..columns)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(integer) => Value::Integer(integer),
                ValueRef::Text(text) => {
                    let text = std::str::from_utf8(text).map_err(|_| StoreFault::Corrupt)?;
                    Value::Text(text.to_owned())
                }
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                // No column of ours holds one.
                ValueRef::Real(_) => return Err(StoreFault::Corrupt),
            })
        })
        .collect()
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::copy::Holds;

    /// Every table and column of the schema is copied, but what says nothing about referrals.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a schema is many statements")]
    fn no_column_is_forgotten() {
        for tables in [crate::store::copy::GATEWAY, crate::store::copy::AUTHORITY] {
            let conn = Connection::open_in_memory().unwrap();
            for script in schema(tables).0.migrations.iter().copied().flatten() {
                conn.execute_batch(script).unwrap();
            }
            let mut find = conn
                .prepare(
                    "SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_info(m.name) c
                     WHERE m.type = 'table' AND m.name <> 'probe'",
                )
                .unwrap();
            let found: BTreeSet<(String, String, String)> = find
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let listed = tables.iter().flat_map(|table| {
                table.columns.iter().map(|column| {
                    let holds = match column.holds {
                        Holds::Integer => "INTEGER",
                        Holds::Text => "TEXT",
                        Holds::Bytes => "BLOB",
                    };
                    (table.name.to_owned(), column.name.to_owned(), holds.to_owned())
                })
            });
            assert_eq!(found, listed.collect());
        }
    }
}
