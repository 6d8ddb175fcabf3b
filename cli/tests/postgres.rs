//! Postgres to Postgres through the built binary and real components: what arrives is what was there, by content and
//! by column type.

mod support;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::components;
use xtask::postgres::{Durability, PASSWORD, Server, USER};

/// A server with a `src` and a `dst` database, and a folder for pipelines and state.
struct Pair {
    server: Server,
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let server = Server::start(Durability::Relaxed).unwrap();
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        Pair { server, folder: tempfile::tempdir().unwrap() }
    }

    fn src(&self, sql: &str) -> String {
        self.server.sql("src", sql).unwrap()
    }

    fn dst(&self, sql: &str) -> String {
        self.server.sql("dst", sql).unwrap()
    }

    fn connection(&self, database: &str) -> Value {
        json!({ "host": self.server.host(), "port": self.server.port(), "user": USER, "password": PASSWORD, "database": database })
    }

    fn document(&self, streams: Value, write_mode: &str) -> Value {
        json!({
            "version": "1.0",
            "pipeline": "copy",
            "source": { "use": components().join("source-postgres.wasm"), "config": self.connection("src"), "streams": streams },
            "destination": { "use": components().join("dest-postgres.wasm"), "config": self.connection("dst"), "write_mode": write_mode },
            "state": { "backend": "sqlite", "path": "state/state.db" },
        })
    }

    fn write(&self, document: &Value) -> PathBuf {
        let path = self.folder.path().join("pipeline.yaml");
        std::fs::write(&path, serde_json::to_string_pretty(document).unwrap()).unwrap();
        path
    }

    fn try_run(&self, document: &Value) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rapidbyte"))
            .args(["run", "--format", "json"])
            .arg(self.write(document))
            .env("RAPIDBYTE_HOME", support::home())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn run(&self, document: &Value) -> Value {
        let output = self.try_run(document);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn full(&self, tables: &[&str]) -> Value {
        let streams: Vec<Value> =
            tables.iter().map(|table| json!({ "name": table, "sync_mode": "full_refresh" })).collect();
        self.run(&self.document(streams.into(), "append"))
    }

    /// Same rows, each as often, compared as text; same columns with the same types and nullability.
    fn assert_same(&self, table: &str) {
        let content = format!(
            "SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), '-') FROM {table} t"
        );
        assert_eq!(self.dst(&content), self.src(&content), "content of {table}");
        let columns = format!(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        );
        assert_eq!(self.dst(&columns), self.src(&columns), "columns of {table}");
    }
}

#[test]
fn pgbench_at_scale_ten_arrives_exactly() {
    let pair = Pair::new();
    let status = pair
        .server
        .program("pgbench")
        .args(["--initialize", "--quiet", "--scale", "10", "src"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let tables = ["pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"];
    let report = pair.full(&tables);
    for table in tables {
        pair.assert_same(table);
    }
    assert_eq!(report["streams"][0]["records_written"], 1_000_000);
}

#[test]
fn a_column_of_every_type_arrives_as_it_was() {
    let pair = Pair::new();
    let setup = include_str!("every_type.sql");
    pair.src(setup);
    pair.full(&["every_type"]);
    pair.assert_same("every_type");
    // Again, through the staging table of the other modes.
    pair.dst("DROP TABLE every_type; DROP TABLE _rapidbyte_receipts");
    let stream = json!([{ "name": "every_type", "sync_mode": "full_refresh", "write_mode": "upsert", "primary_key": ["id"] }]);
    pair.run(&pair.document(stream, "append"));
    pair.assert_same("every_type");
    let stream = json!([{ "name": "every_type", "sync_mode": "full_refresh" }]);
    pair.run(&pair.document(stream, "replace"));
    pair.assert_same("every_type");
}

#[test]
fn two_hundred_columns_no_rows_no_key_and_odd_names() {
    let pair = Pair::new();
    let columns: Vec<String> = (0..200)
        .map(|i| {
            format!("c{i} {}", ["int", "text", "numeric(20,4)", "timestamptz", "boolean", "jsonb"][i % 6])
        })
        .collect();
    let values: Vec<&str> = (0..200)
        .map(|i| {
            [
                "i",
                "'text ' || i",
                "i / 7.0",
                "now() + i * interval '1 s'",
                "i % 2 = 0",
                "jsonb_build_object('i', i)",
            ][i % 6]
        })
        .collect();
    pair.src(&format!(
        "CREATE TABLE broad ({}); INSERT INTO broad SELECT {} FROM generate_series(1, 500) i",
        columns.join(", "),
        values.join(", ")
    ));
    pair.src("CREATE TABLE nothing (id int PRIMARY KEY, note text NOT NULL)");
    pair.src("CREATE TABLE keyless (a int, b text); INSERT INTO keyless SELECT i % 3, 'same' FROM generate_series(1, 900) i");
    pair.src(
        "CREATE TABLE \"Select From\" (\"Order\" int, \"group by\" text, \"a\"\"quote\" int, \"ünïcode\" text);
         INSERT INTO \"Select From\" SELECT i, 'x' || i, i, 'ü' FROM generate_series(1, 100) i",
    );
    pair.full(&["broad", "nothing", "keyless", "Select From"]);
    for table in ["broad", "nothing", "keyless", "\"Select From\""] {
        pair.assert_same(table);
    }
}

#[test]
fn large_values_stay_within_max_memory() {
    let pair = Pair::new();
    // 1,000 rows of 1 to 8 MB that compress in the server's storage but not on the wire.
    pair.src(
        "CREATE TABLE large (id int PRIMARY KEY, value text);
         INSERT INTO large SELECT i, repeat(md5(i::text), 32768 * (1 + i % 8)) FROM generate_series(1, 1000) i",
    );
    let mut document = pair.document(json!([{ "name": "large", "sync_mode": "full_refresh" }]), "append");
    document["resources"] = json!({ "max_memory": "256mb" });
    let report = pair.run(&document);
    let content =
        "SELECT count(*), sum(length(value)), md5(string_agg(md5(value), '' ORDER BY id)) FROM large";
    assert_eq!(pair.dst(content), pair.src(content));
    let peak = report["memory_peak_bytes"].as_u64().unwrap();
    assert!(peak <= 256 * 1024 * 1024, "the process used {peak} bytes");
}

#[test]
fn a_record_above_the_limit_is_refused_by_name() {
    let pair = Pair::new();
    pair.src(
        "CREATE TABLE large (id int PRIMARY KEY, small text, value text);
         INSERT INTO large SELECT i, 'x', repeat('y', CASE WHEN i = 7 THEN 3000000 ELSE 10 END) FROM generate_series(1, 10) i",
    );
    let mut document = pair.document(json!([{ "name": "large", "sync_mode": "full_refresh" }]), "append");
    document["resources"] = json!({ "max_batch_bytes": "2mb" });
    let output = pair.try_run(&document);
    assert!(!output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &report["streams"][0]["error"];
    assert_eq!(error["code"], "record_too_large", "{report}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`large`") && message.contains("`value`"), "{message}");
    assert_eq!(
        pair.dst("SELECT count(*) FROM pg_tables WHERE tablename = 'large' AND schemaname = 'public'"),
        "1"
    );
    assert_eq!(pair.dst("SELECT count(*) FROM large"), "0", "nothing of the failed transaction is left");
}

#[test]
fn a_second_incremental_run_moves_only_what_is_new() {
    let pair = Pair::new();
    pair.src("CREATE TABLE e (id bigint PRIMARY KEY, v text); INSERT INTO e SELECT i, 'v' || i FROM generate_series(1, 1000) i");
    let document =
        pair.document(json!([{ "name": "e", "sync_mode": "incremental", "cursor_field": "id" }]), "append");
    assert_eq!(pair.run(&document)["streams"][0]["records_written"], 1000);
    assert_eq!(pair.run(&document)["streams"][0]["records_written"], 0);
    pair.src("INSERT INTO e SELECT i, 'v' || i FROM generate_series(1001, 1010) i");
    assert_eq!(pair.run(&document)["streams"][0]["records_written"], 10);
    pair.assert_same("e");
}

#[test]
fn a_null_cursor_is_neither_lost_nor_repeated() {
    let pair = Pair::new();
    pair.src(
        "CREATE TABLE e (id int PRIMARY KEY, at timestamptz);
         INSERT INTO e SELECT i, CASE WHEN i % 10 = 0 THEN NULL ELSE timestamptz '2024-01-01' + i * interval '1 s' END FROM generate_series(1, 500) i",
    );
    let document =
        pair.document(json!([{ "name": "e", "sync_mode": "incremental", "cursor_field": "at" }]), "append");
    pair.run(&document);
    pair.assert_same("e");
    pair.src("INSERT INTO e VALUES (1000, NULL), (1001, 'infinity'), (1002, '2030-01-01')");
    pair.run(&document);
    pair.assert_same("e");
}

#[test]
fn replace_keeps_the_old_rows_until_the_swap_and_after_a_failure() {
    let pair = Pair::new();
    pair.src("CREATE TABLE r (id int, v numeric(4,2)); INSERT INTO r SELECT i, i / 10.0 FROM generate_series(1, 500) i");
    let document = pair.document(json!([{ "name": "r", "sync_mode": "full_refresh" }]), "replace");
    pair.run(&document);
    pair.assert_same("r");
    pair.dst("GRANT SELECT ON r TO PUBLIC; CREATE VIEW over_r AS SELECT count(*) AS n FROM r");
    // The refused record comes last, when all others were sent.
    pair.src("DELETE FROM r WHERE id > 400; ALTER TABLE r ADD COLUMN w text; INSERT INTO r VALUES (501, 1, repeat('x', 3000000))");
    pair.dst("ALTER TABLE r ADD COLUMN w text");
    let mut failing = document.clone();
    failing["resources"] = json!({ "max_batch_bytes": "1mb" });
    assert!(!pair.try_run(&failing).status.success());
    assert_eq!(pair.dst("SELECT count(*) FROM r"), "500");
    pair.src("DELETE FROM r WHERE id = 501");
    pair.run(&document);
    pair.assert_same("r");
    assert_eq!(pair.dst("SELECT n FROM over_r"), "400", "a view over the table sees the new rows");
}

#[test]
fn merge_updates_only_the_chosen_columns() {
    let pair = Pair::new();
    pair.src("CREATE TABLE m (id int PRIMARY KEY, a text, b text); INSERT INTO m SELECT i, 'a1', 'b1' FROM generate_series(1, 100) i");
    let stream = json!([{ "name": "m", "sync_mode": "full_refresh", "write_mode": "merge", "primary_key": ["id"], "update_columns": ["a"] }]);
    let document = pair.document(stream, "append");
    pair.run(&document);
    pair.assert_same("m");
    pair.src("UPDATE m SET a = 'a2', b = 'b2' WHERE id <= 50; INSERT INTO m VALUES (101, 'new', 'new')");
    pair.run(&document);
    assert_eq!(
        pair.dst("SELECT a, b, count(*) FROM m GROUP BY 1, 2 ORDER BY 1, 2"),
        "a1|b1|50\na2|b1|50\nnew|new|1"
    );
}
