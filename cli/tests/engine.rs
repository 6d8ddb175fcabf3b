//! The whole pipeline document through the built binary, with real components and a real PostgreSQL: what happens to records
//! on their way, what becomes of those that are refused, and what a run says of itself.

mod support;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::components;
use xtask::postgres::{Durability, PASSWORD, Server, Shutdown, USER};

struct Bench {
    server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let server = Server::start(Durability::Relaxed).unwrap();
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        let bench = Bench { server, folder: tempfile::tempdir().unwrap() };
        bench.src(
            "CREATE TABLE orders (id bigint PRIMARY KEY, email text, amount_cents bigint, note text, at timestamptz NOT NULL);
             INSERT INTO orders SELECT i, 'User' || i || '@Example.com', i * 100, CASE WHEN i % 10 = 0 THEN NULL ELSE i::text END,
                 timestamptz '2024-01-01' + i * interval '1 minute' FROM generate_series(1, 1000) i",
        );
        bench
    }

    fn src(&self, sql: &str) -> String {
        self.server.sql("src", sql).unwrap()
    }

    fn dst(&self, sql: &str) -> String {
        self.server.sql("dst", sql).unwrap()
    }

    fn document(&self, streams: Value, more: Value) -> PathBuf {
        let connection = |database: &str| json!({ "host": self.server.host(), "port": self.server.port(), "user": USER, "password": PASSWORD, "database": database });
        let mut document = json!({
            "version": "1.0",
            "pipeline": "orders",
            "source": { "use": components().join("source-postgres.wasm"), "config": connection("src"), "streams": streams },
            "destination": { "use": components().join("dest-postgres.wasm"), "config": connection("dst"), "write_mode": "append" },
            "state": { "backend": "sqlite", "path": "state/state.db" },
        });
        merge(&mut document, more);
        let path = self.folder.path().join("pipeline.yaml");
        std::fs::write(&path, serde_json::to_string_pretty(&document).unwrap()).unwrap();
        path
    }

    fn rapidbyte(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rapidbyte"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("RAPIDBYTE_HOME", support::home())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The JSON that a command that ends well answers.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.rapidbyte(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn run(&self) -> Value {
        self.json(&["run", "pipeline.yaml"])
    }
}

/// Puts the keys of one mapping over those of another, as deep as both are mappings.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn incremental() -> Value {
    json!([{ "name": "orders", "sync_mode": "incremental", "cursor_field": "id" }])
}

#[test]
fn records_are_transformed_in_the_documents_order_by_the_host_and_by_connectors() {
    let bench = Bench::new();
    bench.document(
        incremental(),
        json!({ "transforms": [
            { "stream": "orders", "operations": [
                { "filter": "amount_cents > 500" },
                { "rename_column": { "from": "note", "to": "remark" } },
                { "add_column": { "name": "amount", "expression": "CAST(amount_cents AS DOUBLE) / 100.0" } },
            ] },
            { "use": components().join("transform-mask.wasm"), "config": { "rules": [{ "columns": ["email"], "action": "redact" }] } },
            { "operations": [
                { "cast_column": { "column": "at", "to": "Date" } },
                { "drop_columns": ["amount_cents"] },
                { "sql": "SELECT id, lower(email) AS email, amount, remark, at FROM input WHERE id <> 7" },
            ] },
        ] }),
    );
    let report = bench.run();
    assert_eq!((&report["records_read"], &report["records_written"]), (&json!(1000), &json!(994)));
    assert_eq!(bench.dst("SELECT count(*), min(id), sum(amount) FROM orders"), "994|6|500478");
    assert_eq!(bench.dst("SELECT count(*) FROM orders WHERE email LIKE '%@%'"), "0", "masked");
    assert_eq!(bench.dst("SELECT pg_typeof(at), count(remark) FROM orders GROUP BY 1"), "date|894");
}

#[test]
fn an_aggregation_of_a_full_refresh_arrives_as_a_whole() {
    let bench = Bench::new();
    bench.document(
        json!([{ "name": "orders", "sync_mode": "full_refresh", "write_mode": "replace" }]),
        json!({ "transforms": [{ "operations": [{ "sql": "SELECT id % 3 AS bucket, count(*) AS orders, sum(amount_cents) AS cents FROM input GROUP BY id % 3" }] }] }),
    );
    bench.run();
    assert_eq!(
        bench.dst("SELECT bucket, orders, cents FROM orders ORDER BY bucket"),
        "0|333|16683300\n1|334|16716700\n2|333|16650000"
    );
}

#[test]
fn mistakes_in_sql_point_into_the_document() {
    let bench = Bench::new();
    let yaml = |operation: &str| {
        let path = bench.document(incremental(), json!({}));
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        document["transforms"] = json!([{ "operations": ["OPERATION"] }]);
        let written = serde_json::to_string_pretty(&document).unwrap().replace("\"OPERATION\"", operation);
        std::fs::write(&path, written).unwrap();
        let output = bench.rapidbyte(&["check", "pipeline.yaml"]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        text(&output)
    };
    let said = yaml(r#"{ "filter": "amount_cent > 5" }"#);
    assert!(said.contains("pipeline.yaml:") && said.contains("amount_cent > 5"), "{said}");
    assert!(said.contains("did you mean `amount_cents`"), "{said}");
    let said = yaml(r#"{ "add_column": { "name": "x", "expression": "amount_cents +" } }"#);
    assert!(said.contains("amount_cents +"), "{said}");
}

#[test]
fn what_the_destination_refuses_becomes_dead_letters_that_can_be_replayed() {
    let bench = Bench::new();
    bench.dst("CREATE TABLE orders (id bigint, email text, amount_cents bigint CHECK (amount_cents % 7 <> 0), note text, at timestamptz)");
    let refused = bench.src("SELECT count(*) FROM orders WHERE amount_cents % 7 = 0");
    bench.document(incremental(), json!({ "destination": { "on_data_error": "dlq", "dlq_table": "dead" } }));
    let report = bench.run();
    assert_eq!(report["streams"][0]["records_dead_lettered"].to_string(), refused);
    assert_eq!(bench.dst("SELECT count(*) FROM orders"), "858");
    // In the destination's table, each once, with what it was and why.
    assert_eq!(
        bench.dst("SELECT count(*), count(DISTINCT record::json->>'id') FROM dead"),
        format!("{refused}|{refused}")
    );
    assert_eq!(bench.dst("SELECT DISTINCT stream, origin, error_code FROM dead"), "orders|destination|23514");
    // In the state as well, where the tool shows them.
    let listed = bench.json(&["dlq", "list", "pipeline.yaml"]);
    assert_eq!(listed["groups"][0]["records"].to_string(), refused);
    let shown = bench.json(&["dlq", "show", "pipeline.yaml", "--limit", "3"]);
    assert_eq!(shown["records"][0]["record"]["id"], json!(7));
    // A second run moves nothing new, and repeats no letter.
    bench.run();
    assert_eq!(bench.dst("SELECT count(*) FROM dead"), refused);
    // Still refused: nothing is lost by trying.
    let replayed = bench.json(&["dlq", "replay", "pipeline.yaml"]);
    assert_eq!(
        (&replayed["records_written"], replayed["records_refused"].to_string()),
        (&json!(0), refused.clone())
    );
    // The cause is mended.
    bench.dst("ALTER TABLE orders DROP CONSTRAINT orders_amount_cents_check");
    let replayed = bench.json(&["dlq", "replay", "pipeline.yaml"]);
    assert_eq!(replayed["records_written"].to_string(), refused);
    assert_eq!(bench.dst("SELECT count(*), count(DISTINCT id) FROM orders"), "1000|1000");
    let listed = bench.json(&["dlq", "list", "pipeline.yaml"]);
    assert_eq!(listed["groups"], json!([]));
    let replayed = bench.json(&["dlq", "replay", "pipeline.yaml"]);
    assert_eq!(replayed["records_written"], json!(0), "nothing twice");
}

#[test]
fn a_dead_letter_destination_of_its_own_gets_them_too() {
    let bench = Bench::new();
    bench.dst("CREATE TABLE orders (id bigint CHECK (id <> 500), email text, amount_cents bigint, note text, at timestamptz)");
    let folder = bench.folder.path().join("dead");
    std::fs::create_dir(&folder).unwrap();
    bench.document(
        incremental(),
        json!({
            "destination": { "on_data_error": "dlq" },
            "errors": { "dead_letter": { "destination": components().join("dest-file.wasm"), "config": { "path": "dead", "format": "jsonl" }, "include_error": true } },
        }),
    );
    bench.run();
    let mut found = String::new();
    for entry in walk(&folder) {
        found += &std::fs::read_to_string(entry).unwrap_or_default();
    }
    assert_eq!(found.matches("\\\"id\\\":500").count(), 1, "{found}");
    assert!(found.contains("23514"), "{found}");
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(walk(&path)),
            path if path.extension().is_some_and(|it| it == "jsonl") => files.push(path),
            _ => {}
        }
    }
    files
}

#[test]
fn a_contract_is_kept() {
    let bench = Bench::new();
    let contract = |on_violation: &str| {
        bench.document(
            incremental(),
            json!({
                "contracts": [{
                    "stream": "orders",
                    "required_columns": [{ "name": "id", "type": "Int64", "nullable": false }],
                    "column_rules": [{ "column": "amount_cents", "check": "value < 99000", "on_violation": on_violation }],
                    "on_violation": "fail",
                }],
            }),
        );
    };
    contract("fail");
    let output = bench.rapidbyte(&["run", "pipeline.yaml"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("value < 99000"), "{}", text(&output));
    contract("drop_row");
    let report = bench.run();
    let violation = &report["streams"][0]["violations"][0];
    assert_eq!((&violation["records"], &violation["samples"][0]), (&json!(11), &json!("99000")));
    assert_eq!(bench.dst("SELECT count(*), max(amount_cents) FROM orders"), "989|98900");
}

#[test]
fn who_is_named_is_told_of_a_broken_contract() {
    use std::io::{Read, Write};
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/hook", listener.local_addr().unwrap().port());
    bench.document(
        incremental(),
        json!({ "contracts": [{
            "stream": "orders",
            "column_rules": [{ "column": "amount_cents", "check": "value < 99000", "on_violation": "warn" }],
            "on_violation": "warn",
            "notify": { "slack_webhook": url },
        }] }),
    );
    let told = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        // Until the body's end, which is where the JSON object ends.
        while !text.ends_with(b"}") {
            let read = peer.read(&mut chunk).unwrap();
            assert_ne!(read, 0);
            text.extend_from_slice(&chunk[..read]);
        }
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8(text).unwrap()
    });
    bench.run();
    let told = told.join().unwrap();
    assert!(told.contains("stream orders: records broke the contract: 11 of `amount_cents`"), "{told}");
}

#[test]
fn a_large_stream_is_read_in_partitions_of_one_moment() {
    let bench = Bench::new();
    bench.src("INSERT INTO orders SELECT -i, 'n', i, NULL, now() FROM generate_series(1, 500) i");
    for mode in ["replace", "append", "upsert"] {
        let mut stream = json!([{
            "name": "orders", "sync_mode": "full_refresh", "write_mode": mode, "partition_key": "id", "partitions": 4,
        }]);
        if mode == "upsert" {
            stream[0]["primary_key"] = json!(["id"]);
        }
        bench.dst("DROP TABLE IF EXISTS orders, _rapidbyte_receipts");
        let state = bench.folder.path().join("state");
        let _ = std::fs::remove_dir_all(state);
        bench.document(stream, json!({}));
        let report = bench.run();
        assert_eq!(report["streams"][0]["partitions"], json!(4), "{report}");
        let content =
            "SELECT count(*), count(DISTINCT id), md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM orders t";
        assert_eq!(bench.dst(content), bench.src(content), "{mode}");
    }
}

#[test]
fn changes_of_a_table_are_planned_by_check_and_made_with_the_data() {
    let bench = Bench::new();
    bench.document(incremental(), json!({}));
    bench.run();
    bench.src("ALTER TABLE orders ADD COLUMN country text; INSERT INTO orders VALUES (1001, 'x', 1, 'y', now(), 'pt')");
    let checked = bench.json(&["check", "pipeline.yaml"]);
    let change = &checked["schema_changes"][0];
    assert_eq!((&change["column"], &change["action"]), (&json!("country"), &json!("add")), "{checked}");
    assert_eq!(checked["estimates"][0]["stream"], json!("orders"));
    assert_eq!(
        bench.dst("SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders'"),
        "5",
        "nothing yet"
    );
    let dry = bench.rapidbyte(&["run", "pipeline.yaml", "--dry-run"]);
    assert!(dry.status.success() && text(&dry).contains("country"), "{}", text(&dry));
    bench.run();
    assert_eq!(bench.dst("SELECT country FROM orders WHERE id = 1001"), "pt");
}

#[test]
fn the_cache_answers_questions_about_what_was_synced() {
    let bench = Bench::new();
    bench.document(incremental(), json!({ "cache": { "enabled": true, "path": "cache" } }));
    bench.run();
    bench.src("INSERT INTO orders VALUES (1001, 'x', 1, 'y', now())");
    bench.run();
    let ask = |sql: &str, format: &str| {
        let output = bench.rapidbyte(&["query", sql, "--cache", "cache", "--format", format]);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("SELECT count(*) AS n, max(id) AS newest FROM orders", "csv"), "n,newest\n1001,1001\n");
    let answer: Value =
        serde_json::from_str(&ask("SELECT id, email FROM orders WHERE id = 5", "json")).unwrap();
    assert_eq!(answer, json!([{ "id": 5, "email": "User5@Example.com" }]));
    assert!(ask("SELECT 1 AS one", "table").contains("one"));
    let refused = bench.rapidbyte(&["query", "DROP TABLE orders", "--cache", "cache"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    let nothing = bench.rapidbyte(&["query", "SELECT 1", "--cache", "elsewhere"]);
    assert!(text(&nothing).contains("nothing to ask"), "{}", text(&nothing));
}

#[test]
fn partitions_fill_one_cache() {
    let bench = Bench::new();
    // Readings that replace each other, and whose partitions all come to the cache at once.
    bench.document(
        json!([{
            "name": "orders", "sync_mode": "full_refresh", "write_mode": "replace", "partition_key": "id", "partitions": 4,
        }]),
        json!({ "cache": { "enabled": true, "path": "cache" } }),
    );
    for _ in 0..8 {
        bench.run();
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(id) AS total FROM orders";
        let counted = bench.rapidbyte(&["query", sql, "--cache", "cache", "--format", "csv"]);
        assert_eq!(text(&counted), "n,ids,total\n1000,1000,500500\n");
    }
    let reset = bench.json(&["state", "reset", "pipeline.yaml", "--stream", "orders"]);
    assert_eq!(reset["reset"], json!(["orders"]), "a stream, not its partitions");
}

#[test]
fn questions_are_asked_at_a_terminal() {
    let bench = Bench::new();
    bench.document(incremental(), json!({ "cache": { "enabled": true, "path": "cache" } }));
    bench.run();
    let home = bench.folder.path().join("home");
    // A terminal of its own, into which somebody types, each line when what the one before it asked for is there.
    let session = |lines: &[(&str, &str)]| {
        let command = format!("{} query --interactive --cache cache --color never", support::RAPIDBYTE);
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(bench.folder.path())
            .env("RAPIDBYTE_HOME", &home)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let mut wait_for = |text: &str| {
            let mut shown = Vec::new();
            let mut byte = [0];
            while !shown.ends_with(text.as_bytes()) {
                let read = screen.read(&mut byte).unwrap();
                assert!(read > 0, "it ended before it showed `{text}`: {}", String::from_utf8_lossy(&shown));
                shown.extend(byte);
            }
        };
        wait_for("sql> ");
        for (line, answer) in lines {
            keys.write_all(format!("{line}\r").as_bytes()).unwrap();
            wait_for(answer);
            wait_for(if answer.is_empty() { "  -> " } else { "sql> " });
        }
        keys.write_all(b"\\q\r").unwrap();
        assert!(script.wait().unwrap().success());
    };
    session(&[
        ("\\tables", "1,000"),
        ("\\d orders", "amount_cents"),
        ("SELECT max(id) * 1000 + 7", ""),
        ("AS answer FROM orders;", "1000007"),
        ("SELECT nonsense;", "error: "),
        ("\\x", "is no command"),
    ]);
    // The arrow up brings back what was typed in an earlier session: the last, the one before that, and so on.
    session(&[("\u{1b}[A\u{1b}[A\u{1b}[A", "1000007")]);
}

#[test]
fn a_server_that_comes_back_is_waited_for() {
    let mut bench = Bench::new();
    bench.src(
        "INSERT INTO orders SELECT i, repeat('x', 200), i, NULL, now() FROM generate_series(1001, 60000) i",
    );
    bench.document(
        incremental(),
        json!({
            "resources": { "checkpoint_interval_rows": 1000 },
            "errors": { "retry": { "max_attempts": 20, "backoff": "fixed", "initial_delay": "200ms", "max_delay": "200ms" } },
        }),
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_rapidbyte"))
        .args(["run", "pipeline.yaml"])
        .current_dir(bench.folder.path())
        .env("RAPIDBYTE_HOME", support::home())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Until something is committed, which is seen at the destination.
    loop {
        let some = bench.server.sql("dst", "SELECT count(*) FROM orders").is_ok_and(|count| count != "0");
        if some || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    bench.server.restart(Shutdown::Immediate).unwrap();
    assert!(child.wait().unwrap().success(), "it was not waited for");
    assert_eq!(bench.dst("SELECT count(*), count(DISTINCT id) FROM orders"), "60000|60000");
}

#[test]
fn too_many_refused_records_open_the_breaker() {
    let bench = Bench::new();
    bench.dst("CREATE TABLE orders (id bigint CHECK (id % 2 = 0), email text, amount_cents bigint, note text, at timestamptz)");
    bench.document(
        incremental(),
        json!({
            "destination": { "on_data_error": "skip" },
            "errors": { "circuit_breaker": { "error_threshold": 50, "cooldown": "1h" } },
        }),
    );
    for _ in 0..2 {
        let output = bench.rapidbyte(&["run", "pipeline.yaml"]);
        assert!(!output.status.success());
        assert!(text(&output).contains("circuit breaker is open"), "{}", text(&output));
    }
}
