//! The destination on the SDK's test host: what is on disk after each kind of end.

use std::path::Path;
use std::sync::Arc;

use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::{Value, json};

use super::*;

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = ids
        .clone()
        .map(|id| (id % 2 == 0).then(|| format!("name {id}")));
    RecordBatch::try_from_iter_with_nullable([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef,
            false,
        ),
        (
            "name",
            Arc::new(StringArray::from_iter(names)) as ArrayRef,
            true,
        ),
    ])
    .unwrap()
}

fn request() -> RunRequest {
    let mut stream = StreamContext::new("Orders/..", batch(0..0).schema());
    let plan = WritePlan {
        mode: WriteMode::Append,
        primary_key: Vec::new(),
        update_columns: Vec::new(),
    };
    stream.write = Some(plan);
    RunRequest::write(stream)
}

fn run(host: &TestHost, path: &Path) -> Result<RunSummary, ConnectorError> {
    block_on(async {
        host.destination::<FolderDestination>(json!({ "path": path }))
            .await?
            .run(request())
            .await
    })
}

fn cursor(id: i64) -> Option<Cursor> {
    Some(Cursor::new("id", CursorValue::Int64(id)))
}

/// The ids in the stream's files, in order of their names.
fn ids(path: &Path) -> Vec<i64> {
    let mut files: Vec<_> = std::fs::read_dir(path.join("%4frders%2f.."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let rows = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    rows.map(|row| {
        serde_json::from_str::<Value>(&row).unwrap()["id"]
            .as_i64()
            .unwrap()
    })
    .collect()
}

#[test]
fn what_a_checkpoint_covers_is_written_with_its_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&batch(0..3));
    host.feed_checkpoint(cursor(2));
    host.feed_batch(&batch(3..5));
    host.feed_end();
    let summary = run(&host, folder.path()).unwrap();
    assert_eq!(summary.write.unwrap().records, 5);
    assert_eq!(host.committed_checkpoints().len(), 2);
    assert_eq!(ids(folder.path()), [0, 1, 2, 3, 4]);

    let again = TestHost::new();
    again.feed_end();
    run(&again, folder.path()).unwrap();
    assert_eq!(again.receipts().len(), 1);
    assert_eq!(again.receipts()[0].id, 2);
}

#[test]
fn what_no_checkpoint_covers_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&batch(0..3));
    host.feed_checkpoint(cursor(2));
    host.feed_batch(&batch(3..5));
    host.feed_failure();
    assert!(run(&host, folder.path()).is_err());
    assert_eq!(ids(folder.path()), [0, 1, 2]);

    // The next run gets the rest again.
    let next = TestHost::new();
    next.set_last_checkpoint_id(1);
    next.feed_batch(&batch(3..5));
    next.feed_end();
    run(&next, folder.path()).unwrap();
    assert_eq!(next.receipts()[0].cursor, cursor(2));
    assert_eq!(ids(folder.path()), [0, 1, 2, 3, 4]);
}

#[test]
fn rows_whose_receipt_is_in_place_get_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&batch(0..3));
    host.feed_checkpoint(cursor(2));
    host.feed_end_of_stopped_source();
    run(&host, folder.path()).unwrap();
    // As if the process had died between the rename of the receipt and that of the rows.
    let rows = folder
        .path()
        .join("%4frders%2f../part-0-00000000000000000001.jsonl");
    std::fs::rename(
        &rows,
        folder.path().join("_receipts/test/%4frders%2f..-0.tmp"),
    )
    .unwrap();
    assert_eq!(ids(folder.path()), [0; 0]);

    let next = TestHost::new();
    next.feed_end_of_stopped_source();
    run(&next, folder.path()).unwrap();
    assert_eq!(ids(folder.path()), [0, 1, 2]);
}

#[test]
fn other_columns_are_refused_where_the_pipeline_does_not_allow_them() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    host.feed_batch(&batch(0..1));
    host.feed_end();
    run(&host, folder.path()).unwrap();

    let ids = Arc::new(Int64Array::from_iter_values(1..3)) as ArrayRef;
    let wider =
        RecordBatch::try_from_iter([("id", ids.clone()), ("name", ids.clone()), ("score", ids)])
            .unwrap();
    let next = |columns: &[usize]| {
        let batch = wider.project(columns).unwrap();
        let mut request = request();
        let stream = request.stream.as_mut().unwrap();
        stream.schema = batch.schema();
        let host = TestHost::new();
        host.set_last_checkpoint_id(1);
        host.feed_batch(&batch);
        host.feed_end();
        block_on(async {
            host.destination::<FolderDestination>(json!({ "path": folder.path() }))
                .await?
                .run(request)
                .await
        })
    };
    // Another type, a column less, a column more: no row of it is written.
    for columns in [&[0, 1][..], &[0], &[0, 2]] {
        let error = next(columns).unwrap_err();
        assert_eq!(error.category, ErrorCategory::Schema, "{error}");
    }
    assert_eq!(self::ids(folder.path()), [0]);
}

#[test]
fn other_write_modes_are_refused() {
    let mut request = request();
    request
        .stream
        .as_mut()
        .unwrap()
        .write
        .as_mut()
        .unwrap()
        .mode = WriteMode::Replace;
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    let run = async {
        host.destination::<FolderDestination>(json!({ "path": folder.path() }))
            .await?
            .run(request)
            .await
    };
    assert_eq!(block_on(run).unwrap_err().category, ErrorCategory::Config);
}
