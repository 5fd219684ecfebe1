//! One PostgreSQL database as the source or the target of a copy. Both take the owner's login.

use tokio::sync::Mutex;

use super::connect::{Connector, Demands};
use super::faults::Trouble;
use super::schema::Kind;
use super::session::{Session, Value as Parameter};
use super::settings::Settings;
use crate::store::contract::{Pending, StoreFault};
use crate::store::copy::{Holds, Row, Source, Table, Target, Value};

/// A database that is read, or written, whole, over one connection.
pub struct PostgresCopy {
    session: Mutex<Session>,
    kind: Kind,
}

impl PostgresCopy {
    /// Opens a store to be read. Whoever serves from it can read, and waits with every write until
    /// this is dropped.
    pub async fn source(settings: &Settings, tables: &'static [Table]) -> Result<Self, StoreFault> {
        let kind = kind(tables);
        let session = Connector::new(settings, kind)?.first_primary(Demands::OPERATOR).await?;
        let names: Vec<_> = tables.iter().map(|table| table.name).collect();
        let lock = format!("LOCK TABLE {} IN SHARE MODE", names.join(", "));
        locked(&session, &lock).await.map_err(|trouble| trouble.in_the_end(false))?;
        Ok(Self { session: Mutex::new(session), kind })
    }

    /// Opens a new store, migrated and empty, or one that an earlier copy left unfinished;
    /// [`StoreFault::NotAStore`] where there is anything else, a store in use too.
    pub async fn target(settings: &Settings, tables: &'static [Table]) -> Result<Self, StoreFault> {
        let kind = kind(tables);
        let session = Connector::new(settings, kind)?.first_primary(Demands::MIGRATION).await?;
        mark(&session, kind, tables).await.map_err(|trouble| trouble.in_the_end(true))?;
        Ok(Self { session: Mutex::new(session), kind })
    }
}

fn kind(tables: &'static [Table]) -> Kind {
    if tables == crate::store::copy::GATEWAY { Kind::Gateway } else { Kind::Authority }
}

/// What an unfinished store says that it holds: no other kind, so nobody serves from it.
fn unfinished(kind: Kind) -> String {
    format!("{}, copy unfinished", kind.as_str())
}

/// Holds everybody else's writes back. The transaction stays open, and with it one state of the
/// database, for as long as the session lives.
async fn locked(session: &Session, lock: &str) -> Result<(), Trouble> {
    session.run("SET idle_in_transaction_session_timeout = 0; SET enable_seqscan = on").await?;
    session.run("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    session.run(lock).await
}

/// Marks an empty store as unfinished, in one transaction. Crash before its commit: it is an empty
/// store. After: the next copy finds its mark.
async fn mark(session: &Session, kind: Kind, tables: &[Table]) -> Result<(), Trouble> {
    session.run("SET enable_seqscan = on").await?;
    session.begin().await?;
    let row = session.first("SELECT kind FROM store FOR UPDATE", &[]).await?;
    let row = row.ok_or(StoreFault::Missing)?;
    let found: String = row.try_get(0)?;
    if found != unfinished(kind) {
        if found != kind.as_str() {
            return Err(StoreFault::NotAStore.into());
        }
        for table in tables {
            let sql = format!("SELECT EXISTS (SELECT FROM {})", table.name);
            if session.one(&sql, &[]).await?.try_get(0)? {
                return Err(StoreFault::NotAStore.into());
            }
        }
        session.execute("UPDATE store SET kind = $1", &[&unfinished(kind)]).await?;
    }
    session.commit().await
}

impl Source for PostgresCopy {
    fn rows(&self, table: &'static Table, after: Option<Row>, limit: u32) -> Pending<'_, Vec<Row>> {
        Box::pin(async move {
            let key = ordered_key(table);
            let columns: Vec<_> = table.columns.iter().map(read_as).collect();
            let after = after.unwrap_or_default();
            let marks = (1..).zip(&table.columns[..table.key]);
            let marks: Vec<_> = marks.map(|(n, c)| format!("${n}::{}", of(c.holds))).collect();
            let behind = match after.is_empty() {
                true => String::new(),
                false => format!("WHERE ({key}) > ({})", marks.join(", ")),
            };
            let sql = format!(
                "SELECT {} FROM {} {behind} ORDER BY {key} LIMIT {limit}",
                columns.join(", "),
                table.name
            );
            let values: Vec<Parameter<'_>> = after.iter().map(parameter).collect();
            let session = self.session.lock().await;
            let found = session.query(&sql, &values).await;
            let found = found.map_err(|trouble| trouble.in_the_end(false))?;
            found.iter().map(|row| read(row, table)).collect()
        })
    }

    fn count(&self, table: &'static Table) -> Pending<'_, u64> {
        Box::pin(async move {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            let session = self.session.lock().await;
            let row = session.one(&sql, &[]).await.map_err(|t| t.in_the_end(false))?;
            let count: i64 = row.try_get(0).map_err(|_| StoreFault::Corrupt)?;
            u64::try_from(count).map_err(|_| StoreFault::Corrupt)
        })
    }
}

impl Target for PostgresCopy {
    fn last(&self, table: &'static Table) -> Pending<'_, Option<Row>> {
        Box::pin(async move {
            let order = ordered_key(table).replace(", ", " DESC, ");
            let columns: Vec<_> = table.columns.iter().map(read_as).collect();
            let (columns, name) = (columns.join(", "), table.name);
            let sql = format!("SELECT {columns} FROM {name} ORDER BY {order} DESC LIMIT 1");
            let session = self.session.lock().await;
            let found = session.first(&sql, &[]).await.map_err(|t| t.in_the_end(false))?;
            let row = found.map(|row| read(&row, table)).transpose()?;
            Ok(row.map(|row| row[..table.key].to_vec()))
        })
    }

    fn insert(&self, table: &'static Table, rows: Vec<Row>) -> Pending<'_, ()> {
        Box::pin(async move {
            let session = self.session.lock().await;
            let inserted = insert(&session, table, &rows).await;
            inserted.map_err(|trouble| trouble.in_the_end(true))
        })
    }

    fn finish(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let session = self.session.lock().await;
            finish(&session, self.kind).await.map_err(|trouble| trouble.in_the_end(true))
        })
    }
}

/// One statement, one transaction: a column of all rows is one array.
async fn insert(session: &Session, table: &Table, rows: &[Row]) -> Result<(), Trouble> {
    let mut arrays = Vec::with_capacity(table.columns.len());
    let mut selected = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        let cells = rows.iter().map(|row| &row[index]);
        arrays.push(match column.holds {
            Holds::Integer => Array::integers(cells)?,
            Holds::Text => Array::texts(cells)?,
            Holds::Bytes => Array::bytes(cells)?,
        });
        selected.push(format!("${}::{}[]", index + 1, of(column.holds)));
    }
    let (name, names) = (table.name, table.column_names());
    let sql = format!("INSERT INTO {name} ({names}) SELECT * FROM unnest({})", selected.join(", "));
    let values: Vec<Parameter<'_>> = arrays.iter().map(Array::parameter).collect();
    session.begin().await?;
    session.execute(&sql, &values).await?;
    session.commit().await
}

/// A column of many rows.
enum Array<'a> {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Array<'a> {
    fn integers(cells: impl Iterator<Item = &'a Value>) -> Result<Self, Trouble> {
        let cells = cells.map(|cell| match cell {
            Value::Null => Ok(None),
            Value::Integer(integer) => Ok(Some(*integer)),
            _ => Err(Trouble::from(StoreFault::Corrupt)),
        });
        Ok(Array::Integers(cells.collect::<Result<_, _>>()?))
    }

    fn texts(cells: impl Iterator<Item = &'a Value>) -> Result<Self, Trouble> {
        let cells = cells.map(|cell| match cell {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.as_str())),
            _ => Err(Trouble::from(StoreFault::Corrupt)),
        });
        Ok(Array::Texts(cells.collect::<Result<_, _>>()?))
    }

    fn bytes(cells: impl Iterator<Item = &'a Value>) -> Result<Self, Trouble> {
        let cells = cells.map(|cell| match cell {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes.as_slice())),
            _ => Err(Trouble::from(StoreFault::Corrupt)),
        });
        Ok(Array::Bytes(cells.collect::<Result<_, _>>()?))
    }

    fn parameter(&self) -> Parameter<'_> {
        match self {
            Array::Integers(cells) => cells,
            Array::Texts(cells) => cells,
            Array::Bytes(cells) => cells,
        }
    }
}

/// New rows get numbers behind all that were copied, and the mark goes, in one transaction.
async fn finish(session: &Session, kind: Kind) -> Result<(), Trouble> {
    let numbered: &[&str] = match kind {
        Kind::Gateway => &["documents.id", "referrals.ref", "tokens.id", "deliveries.id"],
        Kind::Authority => &["documents.id", "dispatches.entry", "tokens.id"],
    };
    let greatest: Vec<_> = numbered
        .iter()
        .filter_map(|column| column.split_once('.'))
        .map(|(table, column)| format!("(SELECT max({column}) FROM {table})"))
        .collect();
    session.begin().await?;
    let sql = format!("SELECT setval('row_numbers', greatest({}, 1))", greatest.join(", "));
    session.query(&sql, &[]).await?;
    session.execute("UPDATE store SET kind = $1", &[&kind.as_str()]).await?;
    session.commit().await
}

/// The key, in the order of bytes: the order of SQLite, and of every database here.
fn ordered_key(table: &Table) -> String {
    let key = table.columns[..table.key].iter().map(|column| match column.holds {
        Holds::Text => format!("{} COLLATE \"C\"", column.name),
        Holds::Integer | Holds::Bytes => column.name.to_owned(),
    });
    key.collect::<Vec<_>>().join(", ")
}

/// The type of a parameter.
const fn of(holds: Holds) -> &'static str {
    match holds {
        Holds::Integer => "bigint",
        Holds::Text => "text",
        Holds::Bytes => "bytea",
    }
}

/// Numbers of every width are read as the widest.
fn read_as(column: &crate::store::copy::Column) -> String {
    match column.holds {
        Holds::Integer => format!("{}::bigint", column.name),
        Holds::Text | Holds::Bytes => column.name.to_owned(),
    }
}

fn read(row: &tokio_postgres::Row, table: &Table) -> Result<Row, StoreFault> {
    let cells = table.columns.iter().enumerate().map(|(index, column)| match column.holds {
        Holds::Integer => row.try_get(index).map(|cell: Option<i64>| cell.map(Value::Integer)),
        Holds::Text => row.try_get(index).map(|cell: Option<String>| cell.map(Value::Text)),
        Holds::Bytes => row.try_get(index).map(|cell: Option<Vec<u8>>| cell.map(Value::Bytes)),
    });
    cells.map(|cell| Ok(cell.map_err(|_| StoreFault::Corrupt)?.unwrap_or(Value::Null))).collect()
}

fn parameter(value: &Value) -> Parameter<'_> {
    match value {
        Value::Null => &None::<i64>,
        Value::Integer(integer) => integer,
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    }
}
