//! What each write mode leaves in the table, by content.

use std::sync::Arc;

use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
use rapidbyte_sdk::prelude::*;

use crate::harness::{Database, cursor, people, people_stream, stream};

#[test]
fn append_adds_rows_and_counts_them() {
    let database = Database::new();
    let (result, host) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&[(1, "ann"), (2, "bob")]));
        host.feed_checkpoint(cursor(2));
        host.feed_batch(&people(&[(3, "cyd")]));
        host.feed_end();
    });
    let summary = result.unwrap().write.unwrap();
    assert_eq!((summary.records, summary.batches, summary.checkpoints, summary.failed), (3, 2, 2, 0));
    assert_eq!(database.rows("raw.people"), ["(1,ann)", "(2,bob)", "(3,cyd)"]);
    let committed: Vec<(u64, bool)> =
        host.committed_checkpoints().iter().map(|checkpoint| (checkpoint.id, checkpoint.complete)).collect();
    assert_eq!(committed, [(1, false), (2, true)]);
    let (again, _) = database.write_behind(2, &people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&[(1, "ann")]));
        host.feed_end();
    });
    again.unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,ann)", "(1,ann)", "(2,bob)", "(3,cyd)"]);
}

#[test]
fn an_empty_stream_still_makes_its_table() {
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert, WriteMode::Merge] {
        let database = Database::new();
        let (result, _) = database.write(&people_stream(mode), |host| {
            host.feed_end();
        });
        assert_eq!(result.unwrap().write.unwrap().records, 0);
        assert_eq!(database.query("SELECT count(*) FROM raw.people"), "0", "{mode}");
        assert_eq!(database.leftovers(), "", "{mode}");
    }
}

#[test]
fn upsert_keeps_the_last_row_of_each_key() {
    let database = Database::new();
    let (result, _) = database.write(&people_stream(WriteMode::Upsert), |host| {
        host.feed_batch(&people(&[(1, "first"), (2, "bob"), (1, "second")]));
        host.feed_batch(&people(&[(3, "cyd"), (1, "third")]));
        host.feed_checkpoint(cursor(1));
        host.feed_batch(&people(&[(2, "bert"), (4, "dan")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,third)", "(2,bert)", "(3,cyd)", "(4,dan)"]);
    assert_eq!(
        database.query("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'raw.people'::regclass AND contype = 'p'"),
        "PRIMARY KEY (id)"
    );
}

#[test]
fn upsert_of_keys_alone_inserts_what_is_new() {
    let database = Database::new();
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let ids = |ids: Vec<i64>| {
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(ids)) as ArrayRef]).unwrap()
    };
    let (result, _) = database.write(&stream("ids", schema.clone(), WriteMode::Upsert), |host| {
        host.feed_batch(&ids(vec![1, 2, 1]));
        host.feed_checkpoint(None);
        host.feed_batch(&ids(vec![2, 3]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.ids"), ["(1)", "(2)", "(3)"]);
}

#[test]
fn a_compound_key_is_a_key_in_any_order() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.people (name text, id int8, UNIQUE (name, id))");
    let mut stream = people_stream(WriteMode::Upsert);
    stream.write.as_mut().unwrap().primary_key = vec!["id".into(), "name".into()];
    let (result, _) = database.write(&stream, |host| {
        host.feed_batch(&people(&[(1, "a"), (1, "b"), (1, "a")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(a,1)", "(b,1)"]);
    assert_eq!(database.query("SELECT count(*) FROM pg_index WHERE indrelid = 'raw.people'::regclass"), "1");
}

/// `id`, `name` and `note`.
fn noted(rows: &[(i64, &str, &str)]) -> RecordBatch {
    let fields =
        [("id", DataType::Int64, false), ("name", DataType::Utf8, true), ("note", DataType::Utf8, true)]
            .map(|(name, data_type, nullable)| Field::new(name, data_type, nullable));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()
}

#[test]
fn merge_changes_only_the_chosen_columns_wherever_checkpoints_fall() {
    let rows = [(1, "a", "x"), (2, "b", "y"), (1, "c", "z"), (1, "d", "w"), (3, "e", "v")];
    for checkpoint_behind in 0..=rows.len() {
        let database = Database::new();
        database
            .run("CREATE SCHEMA raw; CREATE TABLE raw.people (id int8 PRIMARY KEY, name text, note text)");
        database.run("INSERT INTO raw.people VALUES (2, 'old', 'kept')");
        let mut stream = stream("people", noted(&[]).schema(), WriteMode::Merge);
        stream.write.as_mut().unwrap().update_columns = vec!["name".into()];
        let (result, _) = database.write(&stream, |host| {
            host.feed_batch(&noted(&rows[..checkpoint_behind]));
            host.feed_checkpoint(None);
            host.feed_batch(&noted(&rows[checkpoint_behind..]));
            host.feed_end();
        });
        result.unwrap();
        assert_eq!(database.rows("raw.people"), ["(1,d,x)", "(2,b,kept)", "(3,e,v)"], "{checkpoint_behind}");
    }
}

#[test]
fn merge_without_chosen_columns_is_an_upsert() {
    let database = Database::new();
    let (result, _) = database.write(&people_stream(WriteMode::Merge), |host| {
        host.feed_batch(&people(&[(1, "a"), (1, "b")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,b)"]);
}

#[test]
fn a_null_key_is_refused_by_name() {
    let database = Database::new();
    let fields = vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)];
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a", "b"]))];
    let (result, _) = database.write(&stream("people", schema.clone(), WriteMode::Upsert), |host| {
        host.feed_batch(&people(&[(7, "x")]));
        host.feed_batch(&RecordBatch::try_new(schema.clone(), columns.clone()).unwrap());
        host.feed_end();
    });
    let error = result.unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "null_not_allowed"));
    assert!(error.message.contains("column `id` in row 3"), "{}", error.message);
    assert_eq!(database.rows("raw.people"), [""; 0]);
}

#[test]
fn rows_behind_the_last_checkpoint_of_a_stopped_source_are_left_out() {
    for mode in [WriteMode::Append, WriteMode::Upsert] {
        let database = Database::new();
        let (result, _) = database.write(&people_stream(mode), |host| {
            host.feed_batch(&people(&[(1, "a")]));
            host.feed_checkpoint(cursor(1));
            host.feed_batch(&people(&[(2, "b")]));
            host.feed_end_of_stopped_source();
        });
        result.unwrap();
        assert_eq!(database.rows("raw.people"), ["(1,a)"], "{mode}");
    }
}

#[test]
fn a_source_that_dies_leaves_only_what_was_committed() {
    let database = Database::new();
    let (result, _) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&[(1, "a")]));
        host.feed_checkpoint(cursor(1));
        host.feed_batch(&people(&[(2, "b")]));
        host.feed_failure();
    });
    result.unwrap_err();
    assert_eq!(database.rows("raw.people"), ["(1,a)"]);
}

#[test]
fn a_stream_of_another_schema_has_its_schema_in_the_tables_name() {
    let database = Database::new();
    let (result, _) =
        database.write(&stream("Sales.Order Items", people(&[]).schema(), WriteMode::Append), |host| {
            host.feed_batch(&people(&[(1, "a")]));
            host.feed_end();
        });
    result.unwrap();
    assert_eq!(database.rows("raw.\"Sales__Order Items\""), ["(1,a)"]);
}

#[test]
fn large_batches_pass_in_many_messages() {
    let database = Database::new();
    let text = "x".repeat(1_000);
    let rows: Vec<(i64, &str)> = (0..3_000).map(|id| (id, text.as_str())).collect();
    let huge = "y".repeat(5_000_000);
    let (result, _) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&rows));
        host.feed_batch(&people(&[(3_000, &huge), (3_001, "")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(
        database.query("SELECT count(*), sum(id), sum(length(name)), max(length(name)) FROM raw.people"),
        "3002|4504501|8000000|5000000"
    );
}
