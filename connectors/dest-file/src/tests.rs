//! The connector as a host drives it: what the files hold, and that every row is there once wherever the process dies.

mod crash;
mod formats;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::{Value, json};

use crate::DestFile;

fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    RecordBatch::try_new(numbers_schema(), vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

fn stream(name: &str, schema: SchemaRef, mode: WriteMode) -> StreamContext {
    let mut stream = StreamContext::new(name, schema);
    stream.write = Some(WritePlan { mode, primary_key: Vec::new(), update_columns: Vec::new() });
    stream
}

fn config(folder: &Path, rest: Value) -> Value {
    let mut config = json!({ "path": folder.to_str().unwrap(), "format": "jsonl" });
    config.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    config
}

fn run(host: &TestHost, config: Value, request: RunRequest) -> Result<WriteSummary, ConnectorError> {
    block_on(async {
        let mut destination = host.destination::<DestFile>(config).await?;
        Ok(destination.run(request).await?.write.unwrap())
    })
}

/// Writes batches as one complete stream.
fn write(
    folder: &Path,
    rest: Value,
    stream: StreamContext,
    batches: &[RecordBatch],
) -> Result<(), ConnectorError> {
    let host = TestHost::new();
    batches.iter().for_each(|batch| host.feed_batch(batch));
    host.feed_end();
    run(&host, config(folder, rest), RunRequest::write(stream)).map(|_| ())
}

/// Published files, relative to the folder and sorted.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(folder, &mut found);
    let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let mut found: Vec<String> =
        found.iter().map(relative).filter(|path| !path.starts_with("_rapidbyte/")).collect();
    found.sort();
    found
}

/// The numbers in all published JSON Lines files, in the order of the files.
fn published(folder: &Path) -> Vec<i64> {
    let mut numbers = Vec::new();
    for file in files(folder) {
        for line in fs::read_to_string(folder.join(file)).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            numbers.push(record["n"].as_i64().unwrap());
        }
    }
    numbers
}

#[test]
fn append_adds_a_file_per_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&numbers(0..2));
    host.feed_batch(&numbers(2..3));
    let first = host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(2))));
    host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(3))));
    host.feed_batch(&numbers(4..5));
    host.feed_end();
    let request = RunRequest::write(stream("orders", numbers_schema(), WriteMode::Append));
    let summary = run(&host, config(folder.path(), json!({})), request).unwrap();
    assert_eq!((summary.records, summary.checkpoints), (4, 3));
    assert_eq!(host.committed_checkpoints()[0], first);
    assert_eq!(
        files(folder.path()),
        ["orders/part-0-00000000000000000001.jsonl", "orders/part-0-00000000000000000003.jsonl"]
    );
    assert_eq!(published(folder.path()), [0, 1, 2, 4]);
}

#[test]
fn what_no_checkpoint_covers_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&numbers(0..2));
    host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(1))));
    host.feed_batch(&numbers(2..4));
    host.feed_end_of_stopped_source();
    let orders = stream("orders", numbers_schema(), WriteMode::Append);
    run(&host, config(folder.path(), json!({})), RunRequest::write(orders.clone())).unwrap();
    assert_eq!(published(folder.path()), [0, 1]);

    let host = TestHost::new();
    host.set_last_checkpoint_id(1);
    host.feed_batch(&numbers(2..4));
    host.feed_end();
    run(&host, config(folder.path(), json!({})), RunRequest::write(orders)).unwrap();
    assert_eq!(published(folder.path()), [0, 1, 2, 3]);
    let receipt = Receipt { id: 1, cursor: Some(Cursor::new("n", CursorValue::Int64(1))), complete: false };
    assert_eq!(host.receipts(), [receipt]);
    let staging = folder.path().join("_rapidbyte/staging/test/orders-0");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn replace_swaps_one_file_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let orders = stream("orders", numbers_schema(), WriteMode::Replace);
    write(folder.path(), json!({}), orders.clone(), &[numbers(0..3)]).unwrap();
    assert_eq!(files(folder.path()), ["orders.jsonl"]);

    let host = TestHost::new();
    host.set_last_checkpoint_id(1);
    host.feed_batch(&numbers(7..9));
    host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(8))));
    host.feed_failure();
    run(&host, config(folder.path(), json!({})), RunRequest::write(orders.clone())).unwrap_err();
    assert!(host.committed_checkpoints().is_empty());
    assert_eq!(published(folder.path()), [0, 1, 2], "a failed replace leaves the old file");

    write(folder.path(), json!({}), orders.clone(), &[numbers(7..9)]).unwrap();
    assert_eq!(published(folder.path()), [7, 8]);
    write(folder.path(), json!({}), orders, &[]).unwrap();
    assert_eq!(files(folder.path()), ["orders.jsonl"]);
    assert_eq!(published(folder.path()), [0_i64; 0], "an empty stream replaces too");
}

#[test]
fn one_folder_takes_several_pipelines() {
    let folder = tempfile::tempdir().unwrap();
    let mut orders = stream("orders", numbers_schema(), WriteMode::Append);
    write(folder.path(), json!({}), orders.clone(), &[numbers(0..1)]).unwrap();
    orders.pipeline = "another".to_owned();
    write(folder.path(), json!({}), orders.clone(), &[numbers(1..2)]).unwrap();
    orders.partition = Partition { index: 1, count: 2, ..Partition::WHOLE };
    write(folder.path(), json!({}), orders, &[numbers(2..3)]).unwrap();
    assert_eq!(
        files(folder.path()),
        [
            "orders/part-0-00000000000000000001-2.jsonl",
            "orders/part-0-00000000000000000001.jsonl",
            "orders/part-1-00000000000000000001.jsonl"
        ]
    );
    assert_eq!(published(folder.path()), [1, 0, 2]);
}

#[test]
fn streams_never_share_a_file_or_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in
        [("../x", WriteMode::Append), ("a/b", WriteMode::Replace), ("_rapidbyte", WriteMode::Append)]
    {
        write(folder.path(), json!({}), stream(name, numbers_schema(), mode), &[numbers(0..1)]).unwrap();
    }
    let part = "part-0-00000000000000000001.jsonl";
    assert_eq!(
        files(folder.path()),
        [format!("%2e.%2fx/{part}"), format!("%5frapidbyte/{part}"), "a%2fb.jsonl".into()]
    );

    write(folder.path(), json!({}), stream("Orders", numbers_schema(), WriteMode::Replace), &[numbers(0..1)])
        .unwrap();
    for (name, mode) in [("orders", WriteMode::Replace), ("orders.JSONL", WriteMode::Append)] {
        let error = write(folder.path(), json!({}), stream(name, numbers_schema(), mode), &[]).unwrap_err();
        assert_eq!(error.code, "name_taken");
        assert!(error.message.contains("`Orders`") && error.message.contains(name), "{}", error.message);
        let dry = RunRequest { dry_run: true, ..RunRequest::write(stream(name, numbers_schema(), mode)) };
        assert_eq!(
            run(&TestHost::new(), config(folder.path(), json!({})), dry).unwrap_err().code,
            "name_taken"
        );
    }
}

#[test]
fn a_dry_run_changes_nothing_and_finds_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let dry = |stream: StreamContext| {
        let request = RunRequest { dry_run: true, ..RunRequest::write(stream) };
        run(&TestHost::new(), config(folder.path(), json!({})), request)
    };
    dry(stream("orders", numbers_schema(), WriteMode::Replace)).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let error = dry(stream("orders", numbers_schema(), WriteMode::Upsert)).unwrap_err();
    assert!(error.category == ErrorCategory::Config && error.message.contains("upsert"), "{}", error.message);
    let mut partitioned = stream("orders", numbers_schema(), WriteMode::Replace);
    partitioned.partition = Partition { index: 0, count: 2, ..Partition::WHOLE };
    assert_eq!(dry(partitioned).unwrap_err().category, ErrorCategory::Config);
    let mut incremental = stream("orders", numbers_schema(), WriteMode::Replace);
    incremental.sync_mode = SyncMode::Incremental;
    assert_eq!(dry(incremental).unwrap_err().category, ErrorCategory::Config);
    let twice = Field::new("n", DataType::Int64, false);
    let twice = Arc::new(Schema::new(vec![twice.clone(), twice]));
    assert_eq!(dry(stream("orders", twice, WriteMode::Append)).unwrap_err().code, "duplicate_column");
    let empty = Arc::new(Schema::empty());
    assert_eq!(dry(stream("orders", empty, WriteMode::Append)).unwrap_err().code, "no_columns");
}

#[test]
fn bad_configurations_are_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for (config, field) in [
        (json!({}), "path"),
        (json!({ "path": "" }), "path"),
        (json!({ "path": path, "format": "xlsx" }), "format"),
        (json!({ "path": path, "format": "csv", "compression": "snappy" }), "compression"),
        (json!({ "path": path, "compression": "zstd" }), "compression"),
        (json!({ "path": path, "delimiter": ";" }), "delimiter"),
        (json!({ "path": path, "format": "csv", "delimiter": "\"" }), "delimiter"),
    ] {
        let open =
            |config| block_on(async { TestHost::new().destination::<DestFile>(config).await.err().unwrap() });
        let error = open(config.clone());
        assert_eq!(error.category, ErrorCategory::Config);
        assert!(error.message.contains(&format!("`{field}`")), "{config}: {}", error.message);
    }
}

#[test]
fn validate_tries_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let validate = |path: &Path| {
        let config = config(path, json!({}));
        block_on(async { TestHost::new().destination::<DestFile>(config).await.unwrap().validate().await })
    };
    assert_eq!(validate(folder.path()).unwrap().status, ValidationStatus::Success);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the trial leaves nothing");
    assert_eq!(validate(&folder.path().join("nowhere")).unwrap_err().code, "file_not_found");
    fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(validate(&folder.path().join("file")).unwrap_err().category, ErrorCategory::Config);
}

#[test]
fn a_receipt_that_is_not_ours_stops_the_run() {
    for (change, part) in [
        (("{", "["), "is damaged"),
        (("\"version\": 1", "\"version\": 9"), "version 9"),
        (("\"stream\": \"orders\"", "\"stream\": \"other\""), "is of stream `other`"),
        (("\"to\": \"orders/", "\"to\": \"../orders/"), "leads out of the folder"),
        (("\"type\": \"int64\"", "\"type\": \"float\""), "unknown type"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let host = TestHost::new();
        host.feed_batch(&numbers(0..2));
        host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(1))));
        host.feed_end_of_stopped_source();
        let orders = stream("orders", numbers_schema(), WriteMode::Append);
        run(&host, config(folder.path(), json!({})), RunRequest::write(orders.clone())).unwrap();
        let path = folder.path().join("_rapidbyte/receipts/test/orders-0.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(change.0), "{text}");
        fs::write(&path, text.replacen(change.0, change.1, 1)).unwrap();
        let error = write(folder.path(), json!({}), orders, &[]).unwrap_err();
        assert!(error.code == "bad_receipt" && error.message.contains(part), "{}", error.message);
    }
}
