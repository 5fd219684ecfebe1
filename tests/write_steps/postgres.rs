//! PostgreSQL below the stores: a superuser's triggers make any statement on any table fail, and the
//! commit with a deferred one.

use super::{Below, Point};
use crate::postgres_support::Server;

/// A database on the tests' server.
pub struct Database {
    pub server: &'static Server,
    pub name: String,
}

/// What the triggers call.
const FUNCTIONS: &str = "CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS \
     $$BEGIN RAISE EXCEPTION 'spoiled'; END$$; \
     CREATE TABLE public.touched (what text); \
     CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
     $$BEGIN INSERT INTO public.touched VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END$$; \
     GRANT USAGE ON SCHEMA public TO public";

impl Database {
    /// Takes everything out that was stored and every trigger of an earlier trial: much faster than another
    /// database for each.
    pub fn empty(&self) {
        self.sql(
            "DROP TABLE IF EXISTS public.touched; \
                  DROP FUNCTION IF EXISTS public.spoil, public.note CASCADE",
        );
        let tables: Vec<_> = self.tables().into_iter().map(|t| format!("ecaf.{t}")).collect();
        self.sql(&format!("TRUNCATE {} RESTART IDENTITY CASCADE", tables.join(", ")));
    }

    fn sql(&self, sql: &str) -> Vec<String> {
        self.server.sql(&self.name, sql)
    }

    fn tables(&self) -> Vec<String> {
        // Without those that hold nothing of referrals: what the store is, and its barriers.
        self.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'ecaf' \
             AND tablename NOT IN ('epoch', 'barriers', 'store') ORDER BY 1",
        )
    }
}

impl Below for Database {
    fn watch(&self) {
        let triggers = self.tables().into_iter().map(|table| {
            format!(
                "; CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON ecaf.{table} \
                 FOR EACH ROW EXECUTE FUNCTION public.note()"
            )
        });
        self.sql(&format!("{FUNCTIONS}{}", triggers.collect::<String>()));
    }

    fn watched(&self) -> Vec<String> {
        self.sql("SELECT DISTINCT what FROM public.touched ORDER BY 1")
    }

    fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let mut commit = vec![FUNCTIONS.to_owned()];
        let mut mend = Vec::new();
        let away = "DROP TABLE public.touched; DROP FUNCTION public.spoil, public.note";
        for table in self.tables() {
            for event in ["INSERT", "UPDATE", "DELETE"] {
                points.push(Point {
                    name: format!("{event} {table}"),
                    arm: vec![format!(
                        "{FUNCTIONS}; CREATE TRIGGER spoil BEFORE {event} ON ecaf.{table} \
                         FOR EACH ROW EXECUTE FUNCTION public.spoil()"
                    )],
                    disarm: vec![format!("DROP TRIGGER spoil ON ecaf.{table}; {away}")],
                });
            }
            commit.push(format!(
                "CREATE CONSTRAINT TRIGGER spoil AFTER INSERT OR UPDATE OR DELETE ON ecaf.{table} \
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.spoil()"
            ));
            mend.push(format!("DROP TRIGGER spoil ON ecaf.{table}"));
        }
        mend.push(away.to_owned());
        let (arm, disarm) = (vec![commit.join("; ")], vec![mend.join("; ")]);
        points.push(Point { name: "COMMIT".into(), arm, disarm });
        points
    }

    fn execute(&self, statements: &[String]) {
        for statement in statements {
            self.sql(statement);
        }
    }

    fn rows(&self) -> Vec<String> {
        let tables = self.tables();
        let all = tables
            .iter()
            .map(|table| format!("SELECT '{table} ' || md5(t::text) FROM ecaf.{table} t"));
        self.sql(&format!("{} ORDER BY 1", all.collect::<Vec<_>>().join(" UNION ALL ")))
    }
}
