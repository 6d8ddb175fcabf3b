//! What is remembered between runs, through the commands that show and move it. The state is filled through its port, as an
//! engine would; the server is a real PostgreSQL.

mod support;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use rapidbyte_host::core::Frame;
use rapidbyte_host::core::contract::{Cursor, CursorValue, RecordError};
use rapidbyte_host::core::dead_letter::DeadLetters;
use rapidbyte_host::core::ports::{RunCounters, RunStatus, SavedCheckpoint, StateStore, TaskKey};
use rapidbyte_host::state::SqliteStore;
use serde_json::{Value, json};
use support::{Outcome, Project};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

const DOCUMENT: &str = r#"version: "1.0"
pipeline: orders
source:
  use: ./source
  config: {}
  streams:
    - { name: orders, sync_mode: full_refresh }
    - { name: items, sync_mode: full_refresh }
destination:
  use: ./destination
  config: {}
  write_mode: append
"#;

/// A project whose pipeline `orders` has run.
fn project() -> Project {
    let project = Project::new();
    project.write("pipeline.yaml", DOCUMENT);
    let path = project.state();
    tokio::runtime::Runtime::new().unwrap().block_on(fill(&path));
    project
}

async fn fill(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let counters = RunCounters { records_read: 1234, records_written: 1230, bytes_read: 9, bytes_written: 8 };
    for (stream, status, error) in
        [("orders", RunStatus::Succeeded, None), ("items", RunStatus::Failed, Some("the table is gone"))]
    {
        let run = store.begin_run("orders", stream).await.unwrap();
        let key = TaskKey { pipeline: "orders".into(), stream: stream.into(), partition: 0 };
        for (origin, code) in [("destination", "22P02"), ("contract", "rule")] {
            store.add_dead_letters(run, &key, &letters(origin, code)).await.unwrap();
        }
        let checkpoint = SavedCheckpoint {
            id: 1,
            cursor: Some(Cursor { field: "id".into(), value: CursorValue::Lsn(u64::MAX) }),
            complete: true,
            reset: false,
            saved_at: 1_700_000_000,
        };
        store.save_checkpoint(run, &key, &checkpoint, counters).await.unwrap();
        store.finish_run(run, status, counters, error).await.unwrap();
    }
    let other = store.begin_run("others", "s").await.unwrap();
    store.finish_run(other, RunStatus::Stopped, counters, None).await.unwrap();
}

/// Two records, of which the first has one error and the second two.
fn letters(origin: &str, code: &str) -> DeadLetters {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Utf8, true),
    ]);
    let columns: [Arc<dyn arrow_array::Array>; 2] =
        [Arc::new(Int64Array::from(vec![7, 8])), Arc::new(StringArray::from(vec![Some("seven"), None]))];
    let batch = RecordBatch::try_new(Arc::new(schema), columns.into()).unwrap();
    let error =
        |row, code: &str| RecordError { row, code: code.into(), message: format!("row {row} is bad") };
    DeadLetters {
        origin: origin.into(),
        connector: "dest-postgres@1.0.0".into(),
        after: 0,
        frame: Frame::encode(&batch).unwrap().bytes().clone(),
        errors: vec![error(0, code), error(1, code), error(1, "second")],
        occurred_at: 1_700_000_000_123,
    }
}

fn json_of(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.expect(0).json()).unwrap()
}

#[test]
fn dead_letters_are_listed_shown_and_forgotten() {
    let project = project();
    let dlq = |verb: &'static str, more: &'static [&'static str]| {
        project.rapidbyte(["dlq", verb, "pipeline.yaml"].iter().chain(more)).run()
    };
    let listed = json_of(dlq("list", &["--format", "json"]));
    assert_eq!(
        listed["groups"].as_array().unwrap().len(),
        8,
        "two streams, two origins, two codes: {listed}"
    );
    let rule = &listed["groups"][0];
    assert_eq!(
        (&rule["origin"], &rule["code"], &rule["records"]),
        (&json!("contract"), &json!("rule"), &json!(2))
    );
    assert_eq!(rule["first_at"], "2023-11-14T22:13:20.123Z");
    assert!(dlq("list", &[]).expect(0).stdout.starts_with("stream  origin       code"));

    let shown = json_of(dlq("show", &["--stream", "items", "--origin", "contract", "--format", "json"]));
    let records = shown["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["record"], json!({ "id": 7, "amount": "seven" }));
    assert_eq!(records[1]["record"], json!({ "id": 8, "amount": null }));
    assert_eq!(records[1]["errors"].as_array().unwrap().len(), 2);
    assert_eq!(records[0]["errors"], json!([{ "code": "rule", "message": "row 0 is bad" }]));
    assert_eq!(records[0]["occurred_at"], "2023-11-14T22:13:20.123Z");
    let second = json_of(dlq("show", &["--code", "second", "--format", "json"]));
    assert_eq!(second["records"].as_array().unwrap().len(), 4, "only the records that have it");
    let limited = dlq("show", &["--limit", "3"]).expect(0);
    assert_eq!(limited.stdout.lines().count(), 4, "a heading and three: {}", limited.stdout);
    assert!(limited.stdout.contains("22P02: row 1 is bad; second: row 1 is bad"), "{}", limited.stdout);
    assert!(limited.stdout.contains(r#"{"id":7,"amount":"seven"}"#), "{}", limited.stdout);

    assert!(dlq("forget", &["--stream", "items"]).expect(0).stderr.contains("2 batches"));
    let listed = json_of(dlq("list", &["--format", "json"]));
    assert!(listed["groups"].as_array().unwrap().iter().all(|group| group["stream"] == "orders"));
    dlq("forget", &["--all"]).expect(0);
    assert_eq!(dlq("list", &[]).expect(0).stdout, "orders has no dead letters\n");
    assert_eq!(dlq("show", &[]).expect(0).stdout, "there are no such dead letters\n");
    dlq("forget", &[]).expect(2);
}

#[test]
fn history_is_filtered() {
    let project = project();
    let runs = |more: &[&str]| {
        let all = ["state", "runs", "pipeline.yaml", "--format", "json"];
        let found = json_of(project.rapidbyte(all.iter().chain(more)).run());
        let runs = found["runs"].as_array().unwrap().clone();
        runs.iter().map(|run| run["stream"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(runs(&[]), ["items", "orders"]);
    assert_eq!(runs(&["--all"]), ["s", "items", "orders"]);
    assert_eq!(runs(&["--pipeline", "others"]), ["s"]);
    assert_eq!(runs(&["--status", "failed"]), ["items"]);
    assert_eq!(runs(&["--stream", "orders"]), ["orders"]);
    assert_eq!(runs(&["--all", "--limit", "1"]), ["s"]);
    let shown = project.rapidbyte(["state", "runs", "pipeline.yaml"]).run().expect(0).stdout;
    assert!(shown.contains("the table is gone") && shown.contains("1,234"), "{shown}");
    project.rapidbyte(["state", "runs", "pipeline.yaml", "--status", "odd"]).run().expect(2);
}

#[test]
fn looking_makes_no_state() {
    let project = Project::new();
    project.write("pipeline.yaml", DOCUMENT);
    for command in [["state", "runs"], ["dlq", "list"], ["dlq", "show"]] {
        project.rapidbyte(command.into_iter().chain(["pipeline.yaml"])).run().expect(0);
    }
    assert!(!project.state().exists());
}

#[test]
fn a_state_is_exported_and_imported() {
    let from = project();
    let command = |project: &Project, words: &[&str]| project.rapidbyte(words.iter().copied()).run();
    let exported = command(&from, &["state", "export", "pipeline.yaml"]).expect(0);
    assert!(exported.stderr.contains("3 runs, 2 checkpoints"), "{}", exported.stderr);
    let lines: Vec<Value> = exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["rapidbyte_state"]["version"], 1);
    assert!(exported.stdout.contains(r#""type":"lsn","value":"18446744073709551615""#));
    assert_eq!(lines.last().unwrap()["end"]["dead_letters"], 4);

    let written =
        command(&from, &["state", "export", "pipeline.yaml", "--output", "state.jsonl", "--format", "json"]);
    assert_eq!(json_of(written)["moved"]["runs"], 3);
    let document = std::fs::read_to_string(from.path("state.jsonl")).unwrap();
    assert_eq!(document.split_once('\n').unwrap().1, exported.stdout.split_once('\n').unwrap().1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(from.path("state.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "its owner's only");
    }

    let to = Project::new();
    to.write("pipeline.yaml", DOCUMENT);
    to.write("state.jsonl", &document);
    let cut = to.write("cut.jsonl", document.rsplit_once("{\"end\"").unwrap().0);
    let refused = to.rapidbyte(["state", "import", "pipeline.yaml"]).run();
    refused.expect(2);
    let refused = to.rapidbyte(["state", "import", "pipeline.yaml", cut.to_str().unwrap()]).run().expect(4);
    assert!(refused.stderr.contains("cut off"), "{}", refused.stderr);
    command(&to, &["state", "import", "pipeline.yaml", "state.jsonl"]).expect(0);
    let show = |project: &Project| {
        json_of(command(project, &["state", "show", "pipeline.yaml", "--format", "json"]))
    };
    assert_eq!(
        (&show(&to)["positions"], &show(&to)["runs"]),
        (&show(&from)["positions"], &show(&from)["runs"])
    );
    let refused = command(&to, &["state", "import", "pipeline.yaml", "state.jsonl"]).expect(2);
    assert!(
        refused.stderr.contains("is not empty") && refused.stderr.contains("--overwrite"),
        "{}",
        refused.stderr
    );
    to.rapidbyte(["state", "import", "pipeline.yaml", "-", "--overwrite"]).stdin(&document).run().expect(0);
}

#[test]
fn a_state_moves_to_a_server_and_back() {
    let server = Server::start_with(Durability::Relaxed, &[("shared_buffers", "16MB")]).unwrap();
    let url = format!(
        "postgresql://{USER}:{}@{}:{}/postgres?sslmode=disable",
        PASSWORD.replace(' ', "%20"),
        server.host(),
        server.port()
    );
    let project = project();
    let migrate = |more: &[&str]| {
        let command = ["state", "migrate", "pipeline.yaml"];
        project.rapidbyte(command.iter().chain(more)).env("STATE_DATABASE_URL", &url).run()
    };
    let moved = migrate(&["--to", "env:STATE_DATABASE_URL"]).expect(0);
    assert!(moved.stderr.contains("3 runs") && !moved.text().contains(PASSWORD), "{}", moved.stderr);
    let rows =
        server.sql("postgres", "SELECT cursor_type, cursor_value FROM rapidbyte.sync_cursors").unwrap();
    assert_eq!(rows, "lsn|18446744073709551615\nlsn|18446744073709551615");

    // A document that names the server finds everything there, and moves it back.
    project.write(
        "server.yaml",
        format!("{DOCUMENT}state: {{ backend: postgres, connection: \"${{STATE_DATABASE_URL}}\" }}\n"),
    );
    let on_server = |words: &[&str]| project.rapidbyte(words.iter()).env("STATE_DATABASE_URL", &url).run();
    let show = |file: &str| json_of(on_server(&["state", "show", file, "--format", "json"]));
    let (here, there) = (show("pipeline.yaml"), show("server.yaml"));
    assert_eq!((&here["positions"], &here["runs"]), (&there["positions"], &there["runs"]));
    let location = there["location"].as_str().unwrap();
    assert!(
        location.starts_with(&format!("postgresql://{USER}@")) && !location.contains(PASSWORD),
        "{location}"
    );
    let letters =
        json_of(on_server(&["dlq", "show", "server.yaml", "--stream", "items", "--format", "json"]));
    assert_eq!(letters["records"][0]["record"], json!({ "id": 7, "amount": "seven" }));
    on_server(&["state", "migrate", "server.yaml", "--to", "back.db"]).expect(0);
    let exported = on_server(&["state", "export", "server.yaml"]).expect(0).stdout;
    project.write("back.yaml", format!("{DOCUMENT}state: {{ backend: sqlite, path: back.db }}\n"));
    let back = on_server(&["state", "export", "back.yaml"]).expect(0).stdout;
    assert_eq!(back.split_once('\n').unwrap().1, exported.split_once('\n').unwrap().1);
    let wrong = project
        .rapidbyte(["state", "show", "server.yaml"])
        .env("STATE_DATABASE_URL", url.replace("correct%20horse", "open%20sesame"))
        .run()
        .expect(4);
    assert!(wrong.stderr.contains("check user and password"), "{}", wrong.stderr);
    assert!(!wrong.text().contains("sesame"), "{}", wrong.text());

    let refused = migrate(&["--to", &url]).expect(2);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    let text = refused.text();
    assert!(!text.contains(PASSWORD) && !text.contains("correct%20horse"), "{text}");
    migrate(&["--to", "env:STATE_DATABASE_URL", "--overwrite"]).expect(0);
    let missing = migrate(&["--to", "env:NOWHERE"]).expect(2);
    assert!(missing.stderr.contains("no variable `NOWHERE`"), "{}", missing.stderr);
    let same = migrate(&["--to", project.state().to_str().unwrap()]).expect(2);
    assert!(same.stderr.contains("to itself"), "{}", same.stderr);
}
