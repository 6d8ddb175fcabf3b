//! By a cursor: nothing twice, nothing lost, from any checkpoint.

use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::harness::{Database, behind, checkpoint_rows, columns, full, incremental};

/// Many records share a cursor; some have none.
const EVENTS: &str = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, note text);
    INSERT INTO t SELECT (n * 7919) % 2003,
        CASE WHEN n % 10 = 0 THEN NULL ELSE timestamptz '2024-01-01 00:00:00+00' + (n / 40) * interval '1 second' END,
        'note ' || n FROM generate_series(1, 2000) n;";

const EVENTS_ORDER: &str = "SELECT id FROM t ORDER BY at NULLS FIRST, id";

fn ids(database: &Database) -> Vec<String> {
    database.query(EVENTS_ORDER).lines().map(str::to_owned).collect()
}

#[test]
fn the_key_breaks_ties_and_nulls_come_first() {
    let database = Database::new(EVENTS);
    let stream = || columns(&["id"], incremental("t", "at", &[]));
    let whole = database.read(checkpoint_rows(130, stream()));
    assert_eq!(whole.rows(), ids(&database));
    assert!(whole.checkpoints().len() >= 2000 / 130);
    for (records, position) in whole.cuts() {
        assert!(matches!(position, CursorValue::Json(_)));
        assert_eq!(database.read(behind(Some(position), stream())).rows(), whole.rows()[records..]);
    }
}

#[test]
fn a_second_run_reads_only_what_is_new() {
    let database = Database::new(EVENTS);
    let stream = || columns(&["id"], incremental("t", "at", &["id"]));
    let first = database.read(stream());
    assert_eq!(first.checkpoints().len(), 1);
    let again = database.read(behind(first.position(), stream()));
    assert!(again.events.is_empty());
    database.run(
        "INSERT INTO t VALUES (5000, NULL, 'new'), (5001, '2024-06-01', 'new'), (5002, '2024-06-01', 'new');
        UPDATE t SET at = '2024-06-02' WHERE id = 7;",
    );
    let second = database.read(behind(first.position(), stream()));
    assert_eq!(second.rows(), ["5000", "5001", "5002", "7"]);
    let third = database.read(behind(second.position(), stream()));
    assert!(third.events.is_empty());
    database.run("INSERT INTO t VALUES (5003, '2024-06-02', 'same instant, later id'), (5004, NULL, 'none')");
    let fourth = database.read(behind(second.position(), stream()));
    assert_eq!(fourth.rows(), ["5004", "5003"]);
}

#[test]
fn without_a_tie_breaker_checkpoints_stand_where_the_cursor_changes() {
    let database = Database::new(
        "CREATE TABLE t (n int NOT NULL, c int NOT NULL);
        INSERT INTO t SELECT n, n / 70 FROM generate_series(1, 1000) n;",
    );
    let stream = || incremental("t", "c", &[]);
    let whole = database.read(checkpoint_rows(50, stream()));
    assert_eq!(whole.summary.records, 1000);
    assert!(whole.cuts().len() > 10, "{:?}", whole.cuts());
    for (records, position) in whole.cuts() {
        let CursorValue::Int64(last) = position else { panic!("{position:?}") };
        let behind_it =
            whole.rows()[records..].iter().filter(|row| row.ends_with(&format!("|{last}"))).count();
        assert_eq!(behind_it, 0, "no record of cursor {last} may follow its checkpoint");
        assert_eq!(database.read(behind(Some(position), stream())).summary.records as usize, 1000 - records);
    }
    assert_eq!(whole.position(), Some(CursorValue::Int64(14)));
}

#[test]
fn a_tie_breaker_that_names_no_record_is_cut_only_where_it_changes() {
    let database = Database::new(
        "CREATE TABLE t (n int NOT NULL, at date, region text NOT NULL);
        INSERT INTO t SELECT n, CASE WHEN n % 3 > 0 THEN date '2024-01-01' + n / 100 END, 'r' || n % 4
        FROM generate_series(1, 1000) n;",
    );
    let stream = || incremental("t", "at", &["region"]);
    let whole = database.read(checkpoint_rows(40, stream()));
    assert_eq!(whole.summary.records, 1000);
    assert!(whole.cuts().len() > 10, "{:?}", whole.cuts());
    for (records, position) in whole.cuts() {
        let mut rest =
            [whole.rows()[..records].to_vec(), database.read(behind(Some(position), stream())).rows()]
                .concat();
        let mut all = whole.rows();
        rest.sort();
        all.sort();
        assert_eq!(rest, all);
    }
}

#[test]
fn cursors_that_compare_loosely_are_checkpointed_at_the_end_alone() {
    let database = Database::new(
        "CREATE TABLE t (f float8 NOT NULL, n numeric NOT NULL);
        INSERT INTO t SELECT i / 10, (i / 10)::numeric(10, 2) FROM generate_series(0, 99) i;
        INSERT INTO t VALUES ('-0', '0.000');",
    );
    let floats = database.read(checkpoint_rows(10, incremental("t", "f", &[])));
    assert_eq!(floats.cuts(), [(101, CursorValue::Utf8("9".to_owned()))]);
    let numerics = database.read(checkpoint_rows(10, incremental("t", "n", &[])));
    assert!(numerics.cuts().len() > 5);
    assert_eq!(numerics.cuts()[0].0, 11, "0 and 0.000 are one cursor");
    assert_eq!(numerics.position(), Some(CursorValue::Decimal("9.00".to_owned())));
}

#[test]
fn records_without_a_cursor_are_never_lost_silently() {
    let database = Database::new(
        "CREATE TABLE t (n int, c int); INSERT INTO t VALUES (1, 1), (2, NULL), (3, NULL);
        CREATE VIEW v AS SELECT * FROM t WHERE c IS NOT NULL;",
    );
    let error = database.failure(incremental("t", "c", &[]));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "null_cursor"));
    assert!(error.message.contains("2 records") && error.message.contains("`c`"), "{error}");
    assert_eq!(database.read(incremental("v", "c", &[])).rows(), ["1|1"]);
    assert_eq!(database.read(incremental("t", "c", &["n"])).rows(), ["2|∅", "3|∅", "1|1"]);
    database.run("INSERT INTO t VALUES (NULL, 5)");
    let error = database.failure(incremental("t", "c", &["n"]));
    assert!(error.message.contains("1 records") && error.message.contains("`n`"), "{error}");
}

#[test]
fn cursors_of_every_type_are_typed_and_continue() {
    let database = Database::new("SELECT 1");
    for (column_type, low, high, position) in [
        ("smallint", "-5", "7", CursorValue::Int64(7)),
        ("integer", "-5", "7", CursorValue::Int64(7)),
        ("bigint", "-5", "9223372036854775807", CursorValue::Int64(i64::MAX)),
        ("oid", "5", "4294967295", CursorValue::Int64(4_294_967_295)),
        (
            "numeric",
            "-0.10",
            "12345678901234567890.123456789",
            CursorValue::Decimal("12345678901234567890.123456789".into()),
        ),
        ("real", "-0.1", "0.1", CursorValue::Utf8("0.1".into())),
        ("double precision", "-0.1", "Infinity", CursorValue::Utf8("Infinity".into())),
        ("date", "0044-03-15 BC", "2024-02-29", CursorValue::Utf8("2024-02-29".into())),
        (
            "timestamp",
            "-infinity",
            "2024-02-29 01:02:03.000004",
            CursorValue::TimestampMicros(1_709_168_523_000_004),
        ),
        ("timestamptz", "2024-02-29", "infinity", CursorValue::TimestampMicros(i64::MAX)),
        ("text", "a", "it's \\ \"b\"", CursorValue::Utf8("it's \\ \"b\"".into())),
        ("varchar(30)", "a", "b", CursorValue::Utf8("b".into())),
        ("char(3)", "a", "b", CursorValue::Utf8("b  ".into())),
        (
            "uuid",
            "00000000-0000-0000-0000-000000000001",
            "ffffffff-0000-0000-0000-000000000001",
            CursorValue::Utf8("ffffffff-0000-0000-0000-000000000001".into()),
        ),
    ] {
        let quote = |value: &str| value.replace('\'', "''");
        database.run(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (c {column_type} NOT NULL);
            INSERT INTO t VALUES ('{}'), ('{}');",
            quote(high),
            quote(low)
        ));
        let stream = || incremental("t", "c", &[]);
        let whole = database.read(stream());
        assert_eq!(whole.summary.records, 2, "{column_type}");
        assert_eq!(whole.position(), Some(position.clone()), "{column_type}");
        assert!(database.read(behind(Some(position), stream())).events.is_empty(), "{column_type}");
    }
}

#[test]
fn a_cursor_in_the_future_reads_nothing() {
    let database = Database::new(EVENTS);
    let future = behind(Some(CursorValue::TimestampMicros(i64::MAX)), incremental("t", "at", &[]));
    let read = database.read(future);
    // Records without a cursor have never been read.
    assert_eq!(read.summary.records, 200);
    let database = Database::new("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);");
    let future = behind(Some(CursorValue::Int64(3)), incremental("t", "id", &[]));
    assert!(database.read(future).events.is_empty());
}

#[test]
fn projection_does_not_need_the_cursor() {
    let database = Database::new(EVENTS);
    let stream = || columns(&["note"], incremental("t", "at", &[]));
    let first = database.read(checkpoint_rows(500, stream()));
    assert_eq!(first.batches()[0].num_columns(), 1);
    let (records, position) = first.cuts().remove(1);
    assert_eq!(database.read(behind(Some(position), stream())).rows(), first.rows()[records..]);
}

#[test]
fn decimals_are_cursors_too() {
    let database = Database::new(
        "CREATE TABLE t (c numeric(20, 5) NOT NULL); INSERT INTO t VALUES (1.5), (-3), (99999.00001);",
    )
    .with_config(json!({ "numeric": "decimal" }));
    let read = database.read(incremental("t", "c", &[]));
    assert_eq!(read.rows(), ["-3.00000", "1.50000", "99999.00001"]);
    assert_eq!(read.position(), Some(CursorValue::Decimal("99999.00001".to_owned())));
    assert!(database.read(behind(read.position(), incremental("t", "c", &[]))).events.is_empty());
}

#[test]
fn max_records_among_equal_cursors_leaves_no_checkpoint() {
    let database =
        Database::new("CREATE TABLE t (c int NOT NULL); INSERT INTO t SELECT 1 FROM generate_series(1, 10);");
    let request = RunRequest { max_records: Some(4), ..RunRequest::read(incremental("t", "c", &[])) };
    let read = database.try_read(request).unwrap();
    assert_eq!((read.summary.records, read.checkpoints().len()), (4, 0));
    let database = Database::new(EVENTS);
    let request = RunRequest { max_records: Some(250), ..RunRequest::read(incremental("t", "at", &[])) };
    let read = database.try_read(request).unwrap();
    assert_eq!((read.summary.records, read.checkpoints().len()), (250, 1), "200 of them have no cursor");
    let rest = database.read(behind(read.position(), incremental("t", "at", &[])));
    assert_eq!(rest.summary.records, 1750);
}

#[test]
fn a_position_of_something_else_is_refused() {
    let database = Database::new(EVENTS);
    let key = CursorValue::Json(r#"{"v":1,"key":[["id","5"]]}"#.to_owned());
    let error = database.failure(behind(Some(key), incremental("t", "at", &[])));
    assert_eq!(error.code, "position_mismatch");
    assert!(error.message.contains("state reset"), "{error}");
    let error = database.failure(behind(Some(CursorValue::Int64(5)), full("t")));
    assert_eq!(error.code, "position_mismatch");
}
