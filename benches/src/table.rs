//! The tables that are copied: their columns, content and fingerprint.

use anyhow::Result;
use xtask::postgres::Server;

use crate::contender::Contender;

/// The database that holds sources (`public`) and targets (`target`).
pub const DATABASE: &str = "bench";

pub struct Table {
    pub name: &'static str,
    pub rows: u64,
    /// Name, type and the expression over `i` that fills it.
    pub columns: &'static [(&'static str, &'static str, &'static str)],
}

const WIDE: &[(&str, &str, &str)] = &[
    ("id", "bigint NOT NULL", "i"),
    ("account", "integer NOT NULL", "i % 100000"),
    ("kind", "smallint", "i % 7"),
    ("active", "boolean", "i % 3 = 0"),
    ("score", "double precision", "i * 0.37"),
    ("amount", "numeric(12,2)", "(i % 1000000)::numeric / 100"),
    ("name", "text", "'customer number ' || i"),
    ("email", "varchar(80)", "md5(i::text) || '@example.com'"),
    ("day", "date", "date '2020-01-01' + (i % 2000)::int"),
    ("created", "timestamptz", "timestamptz '2020-01-01 00:00:00Z' + i * interval '1 second'"),
    ("token", "uuid", "md5(i::text)::uuid"),
    ("note", "text", "CASE WHEN i % 5 = 0 THEN NULL ELSE repeat('x', (i % 40)::int) END"),
];

const NARROW: &[(&str, &str, &str)] = &[
    ("id", "bigint NOT NULL", "i"),
    ("value", "integer", "i % 1000"),
    ("at", "timestamp", "timestamp '2024-01-01' + i * interval '1 ms'"),
];

impl Table {
    /// The tables of the bench, with their rows divided by `scale_down`.
    pub fn all(scale_down: u64) -> Vec<Table> {
        vec![Table::wide(scale_down), Table::narrow(5_000_000 / scale_down)]
    }

    pub fn wide(scale_down: u64) -> Table {
        Table { name: "wide", rows: 1_000_000 / scale_down, columns: WIDE }
    }

    pub fn narrow(rows: u64) -> Table {
        Table { name: "narrow", rows, columns: NARROW }
    }

    fn definition(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
        columns.join(", ")
    }

    pub fn create(&self, server: &Server) -> Result<()> {
        server.sql("postgres", &format!("DROP DATABASE IF EXISTS {DATABASE}"))?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let values: Vec<&str> = self.columns.iter().map(|(_, _, value)| *value).collect();
        server.sql(
            DATABASE,
            &format!(
                "CREATE SCHEMA target; CREATE TABLE {name} ({columns}); INSERT INTO {name} SELECT {values} FROM generate_series(1, {rows}) AS i;",
                name = self.name,
                columns = self.definition(),
                values = values.join(", "),
                rows = self.rows
            ),
        )?;
        server.sql(DATABASE, &format!("VACUUM (FREEZE, ANALYZE) {}", self.name))?;
        Ok(())
    }

    /// Leaves what each contender starts from: no target for Rapidbyte and its native twin, which make it as part of their
    /// work; an empty one for `psql`, which cannot.
    pub fn prepare_target(&self, server: &Server, contender: Contender) -> Result<()> {
        server.sql(DATABASE, "DROP SCHEMA target CASCADE; CREATE SCHEMA target")?;
        if contender == Contender::Psql {
            server.sql(DATABASE, &format!("CREATE TABLE target.{} ({})", self.name, self.definition()))?;
        }
        Ok(())
    }

    /// Rows and an order-independent sum over the content of every row.
    pub fn fingerprint(&self, server: &Server, schema: &str) -> Result<String> {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _, _)| *name).collect();
        server.sql(
            DATABASE,
            &format!(
                "SELECT count(*), sum(hashtextextended(row({columns})::text, 0)::numeric) FROM {schema}.{name}",
                columns = columns.join(", "),
                name = self.name
            ),
        )
    }

    pub fn drop_source(&self, server: &Server) -> Result<()> {
        server.sql("postgres", &format!("DROP DATABASE {DATABASE}"))?;
        Ok(())
    }
}
