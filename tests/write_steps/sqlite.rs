//! SQLite below the stores: any statement on any table, and the commit, can be made to fail by a second
//! connection that leaves triggers behind.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::{Below, Point};

/// The file of a store.
pub struct File(pub PathBuf);

impl File {
    fn connect(&self) -> Connection {
        Connection::open(Path::new(&self.0)).unwrap()
    }

    fn tables(&self) -> Vec<String> {
        let conn = self.connect();
        let mut find = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap();
        let names = find.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }
}

impl Below for File {
    fn watch(&self) {
        let mut statements = vec!["CREATE TABLE touched (what TEXT)".to_owned()];
        for table in self.tables() {
            for event in ["INSERT", "UPDATE", "DELETE"] {
                statements.push(format!(
                    "CREATE TRIGGER note_{table}_{event} AFTER {event} ON {table} \
                     BEGIN INSERT INTO touched VALUES ('{event} {table}'); END"
                ));
            }
        }
        self.execute(&statements);
    }

    fn watched(&self) -> Vec<String> {
        let conn = self.connect();
        let mut find = conn.prepare("SELECT DISTINCT what FROM touched").unwrap();
        let names = find.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    fn points(&self) -> Vec<Point> {
        let mut tables = self.tables();
        tables.retain(|table| table != "touched");
        let mut points = Vec::new();
        for table in &tables {
            for event in ["INSERT", "UPDATE", "DELETE"] {
                points.push(Point {
                    name: format!("{event} {table}"),
                    arm: vec![format!(
                        "CREATE TRIGGER spoil BEFORE {event} ON {table} \
                         BEGIN SELECT RAISE(ABORT, 'spoiled'); END"
                    )],
                    disarm: vec!["DROP TRIGGER spoil".into()],
                });
            }
        }
        // A debt that is looked at when the transaction commits, and never paid.
        let mut arm = vec![
            "CREATE TABLE paid (id INTEGER PRIMARY KEY)".to_owned(),
            "CREATE TABLE owed (id INTEGER REFERENCES paid (id) DEFERRABLE INITIALLY DEFERRED)"
                .to_owned(),
        ];
        let mut disarm = Vec::new();
        for table in &tables {
            for event in ["INSERT", "UPDATE", "DELETE"] {
                arm.push(format!(
                    "CREATE TRIGGER spoil_{table}_{event} AFTER {event} ON {table} \
                     BEGIN INSERT INTO owed VALUES (1); END"
                ));
                disarm.push(format!("DROP TRIGGER spoil_{table}_{event}"));
            }
        }
        disarm.extend(["DROP TABLE owed".to_owned(), "DROP TABLE paid".to_owned()]);
        points.push(Point { name: "COMMIT".into(), arm, disarm });
        points
    }

    fn execute(&self, statements: &[String]) {
        let conn = self.connect();
        for statement in statements {
            conn.execute(statement, []).unwrap();
        }
    }

    fn rows(&self) -> Vec<String> {
        let conn = self.connect();
        let mut all = Vec::new();
        for table in self.tables() {
            let mut find = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = find.column_count();
            let mut rows = find.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|column| match row.get_ref(column).unwrap() {
                    ValueRef::Null => "-".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        ecaf::protocol::hash::sha256(bytes).to_string()
                    }
                });
                all.push(format!("{table} {}", values.collect::<Vec<_>>().join(" ")));
            }
        }
        all.sort();
        all
    }
}
