//! PostgreSQL → PostgreSQL through both connectors: the copy has the same columns and the same content.

use dest_postgres::DestPostgres;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{PipeBounds, block_on, pipe};
use serde_json::json;
use source_postgres::SourcePostgres;

use crate::harness::Database;
use crate::types::table_of_every_type;

/// Copies streams of `source` into the schema `copied` of another database, and answers that database.
fn copy(source: &Database, streams: &[&str], mode: WriteMode) -> Database {
    let target = Database::new("SELECT 1");
    for name in streams {
        copy_stream(source, &target, name, mode).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    target
}

fn copy_stream(
    source: &Database,
    target: &Database,
    name: &str,
    mode: WriteMode,
) -> Result<WriteSummary, ConnectorError> {
    let catalog = source.discover();
    let found = catalog.streams.into_iter().find(|stream| stream.name == name).unwrap();
    let read = StreamContext::new(name, found.schema.clone());
    let plan = WritePlan { mode, primary_key: found.primary_key, update_columns: Vec::new() };
    let write = StreamContext { write: Some(plan), ..read.clone() };
    let (upstream, downstream) = pipe(PipeBounds::default());
    let config = source.source_config();
    let reading = std::thread::spawn(move || {
        block_on(async {
            let mut source = upstream.source::<SourcePostgres>(config).await?;
            source.run(RunRequest::read(read)).await
        })
    });
    let config = json!({ "host": "127.0.0.1", "port": target.server.port(), "user": "postgres",
        "database": target.name, "schema": "copied", "sslmode": "disable" });
    let written = block_on(async {
        let mut destination = downstream.destination::<DestPostgres>(config).await?;
        destination.run(RunRequest::write(write)).await
    });
    let read = reading.join().unwrap().unwrap().read.unwrap();
    let written = written?.write.unwrap();
    assert_eq!((read.records, 0), (written.records, written.failed));
    Ok(written)
}

const COLUMNS: &str = "SELECT a.attname, format_type(b.oid, b.typmod), a.attnotnull FROM pg_attribute a
    CROSS JOIN LATERAL (SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END AS oid,
        CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod FROM pg_type t WHERE t.oid = a.atttypid) b
    WHERE a.attrelid = '{}'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

fn assert_same(source: &Database, target: &Database, table: &str) {
    let columns = |database: &Database, relation: &str| {
        database.query(&format!("SET search_path = public, copied; {}", COLUMNS.replace("{}", relation)))
    };
    let quoted = format!("\"{table}\"");
    assert_eq!(
        columns(target, &format!("copied.{quoted}")),
        columns(source, &format!("public.{quoted}")),
        "{table}"
    );
    let content = |database: &Database, relation: &str| {
        database.query(&format!(
            "SET lc_monetary = 'C'; SET extra_float_digits = 3; SELECT x::text FROM {relation} x ORDER BY 1"
        ))
    };
    let (left, right) =
        (content(target, &format!("copied.{quoted}")), content(source, &format!("public.{quoted}")));
    let difference = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert_eq!(difference, None, "{table}");
    assert_eq!(left.lines().count(), right.lines().count(), "{table}");
}

#[test]
fn every_type_arrives_as_it_left() {
    let source = table_of_every_type();
    // A composite type is the destination's to have.
    source.run("ALTER TABLE t DROP COLUMN c87");
    let dropped = source.query(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND atttypid = 'pair'::regtype",
    );
    assert_eq!(dropped, "0", "the composite column is the one dropped");
    let target = copy(&source, &["t"], WriteMode::Append);
    assert_ne!(target.query("SELECT count(*) FROM copied.t"), "0");
    assert_same(&source, &target, "t");
}

#[test]
fn tables_of_every_shape_arrive_in_every_mode() {
    let wide =
        (0..200).map(|index| format!("c{index} {}", ["int", "text", "numeric(9,2)", "jsonb"][index % 4]));
    let wide = wide.collect::<Vec<_>>().join(", ");
    let source = Database::new(&format!(
        "CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
        INSERT INTO accounts SELECT n, n % 10, -n, 'filler' FROM generate_series(1, 20000) n;
        CREATE TABLE wide (id int PRIMARY KEY, {wide});
        INSERT INTO wide (id, c0, c1, c2, c3) SELECT n, n, 'x' || n, n / 3.0, jsonb_build_object('n', n) FROM generate_series(1, 200) n;
        CREATE TABLE empty (id int PRIMARY KEY, note text NOT NULL);
        CREATE TABLE \"Select\" (\"Order\" int PRIMARY KEY, \"from\"\"x\" text); INSERT INTO \"Select\" VALUES (1, 'a\\b');
        CREATE TABLE large (id int PRIMARY KEY, v text);
        INSERT INTO large SELECT n, repeat(md5(n::text), 100000) FROM generate_series(1, 5) n;",
    ));
    let tables = ["accounts", "wide", "empty", "Select", "large"];
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert, WriteMode::Merge] {
        let target = copy(&source, &tables, mode);
        for table in tables {
            assert_same(&source, &target, table);
        }
    }
}

#[test]
fn a_table_without_a_key_arrives() {
    let source = Database::new(
        "CREATE TABLE t (n int, v float8); INSERT INTO t SELECT n % 7, random() FROM generate_series(1, 1000) n;",
    );
    let target = copy(&source, &["t"], WriteMode::Replace);
    assert_same(&source, &target, "t");
}
