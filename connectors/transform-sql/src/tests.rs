//! The connector as a host drives it: a query in, schemas and selected batches out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{EmittedEvent, TestHost, block_on};
use serde_json::json;

use crate::TransformSql;

fn people() -> RecordBatch {
    let uuid = HashMap::from([("ARROW:extension:name".to_owned(), "arrow.json".to_owned())]);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("Email", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(10, 2), true),
        Field::new("score", DataType::Float64, true),
        Field::new("paid", DataType::Boolean, true),
        Field::new("born", DataType::Date32, true),
        Field::new("seen", utc, true),
        Field::new("doc", DataType::Utf8, true).with_metadata(uuid),
        Field::new("big", DataType::UInt64, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("Ané@X.org"), None, Some("")])),
        Arc::new(
            Decimal128Array::from(vec![Some(1050), None, Some(-5)]).with_precision_and_scale(10, 2).unwrap(),
        ),
        Arc::new(Float64Array::from(vec![Some(0.5), None, Some(-1.5)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Date32Array::from(vec![Some(0), None, Some(19_000)])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1), None, Some(1_700_000_000_000_000)])
                .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from(vec![Some("{}"), None, Some("[1]")])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(7)])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn discover(query: &str) -> Result<CatalogStream, ConnectorError> {
    block_on(async {
        let host = TestHost::new();
        let mut sql = host.transform::<TransformSql>(json!({ "query": query })).await?;
        let stream = StreamContext::new("people", people().schema());
        let mut catalog = sql.run(RunRequest::discover_stream(stream)).await?.catalog.unwrap();
        Ok(catalog.streams.remove(0))
    })
}

/// Everything that a run hands over; what comes out has the schema that discovery announced.
fn run(
    query: &str,
    stream: impl FnOnce(StreamContext) -> StreamContext,
) -> (TestHost, Result<RunSummary, ConnectorError>) {
    let announced = discover(query).unwrap().schema;
    let (host, result) = block_on(async {
        let host = TestHost::new();
        host.feed_batch(&people());
        host.feed_end();
        let mut sql = host.transform::<TransformSql>(json!({ "query": query })).await.unwrap();
        let result =
            sql.run(RunRequest::transform(stream(StreamContext::new("people", people().schema())))).await;
        (host, result)
    });
    assert!(host.emitted_batches().iter().all(|it| it.schema() == announced));
    (host, result)
}

fn select(query: &str) -> Vec<RecordBatch> {
    let (host, result) = run(query, |it| it);
    result.unwrap_or_else(|error| panic!("{query}: {error}"));
    host.emitted_batches()
}

/// The values of one expression over the three people, as text.
fn values(expression: &str) -> Vec<String> {
    let batches = select(&format!("SELECT {expression} AS it FROM input"));
    let text = |batch: &RecordBatch| {
        let text = crate::expression::cast(batch.column(0), &DataType::Utf8, false).unwrap();
        text.as_string::<i32>().iter().map(|it| it.unwrap_or("·").to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

fn type_of(expression: &str) -> DataType {
    discover(&format!("SELECT {expression} AS it FROM input")).unwrap().schema.field(0).data_type().clone()
}

#[test]
fn a_query_selects_computes_and_filters() {
    let batches = select(
        "SELECT ID, lower(email) AS email, p.amount * 2 AS twice FROM Input AS p WHERE amount > 0 OR id = 2;",
    );
    assert_eq!(batches.len(), 1);
    let batch = &batches[0];
    let names: Vec<_> = batch.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(names, ["id", "email", "twice"]);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ané@x.org"), None]);
    assert!(!batch.schema().field(0).is_nullable());
}

#[test]
fn columns_that_are_not_computed_stay_what_they_are() {
    let all = select("SELECT * FROM input");
    assert_eq!(all, [people()]);
    let schema = discover("SELECT doc AS document, doc || '' AS text FROM input").unwrap().schema;
    assert_eq!(
        schema.field(0).metadata().get("ARROW:extension:name").map(String::as_str),
        Some("arrow.json")
    );
    assert!(schema.field(1).metadata().is_empty());
}

#[test]
fn order_of_records_and_checkpoints_is_kept() {
    block_on(async {
        let host = TestHost::new();
        host.feed_batch(&people());
        host.feed_checkpoint(Some(Cursor::new("id", CursorValue::Int64(3))));
        host.feed_batch(&people().slice(0, 1));
        host.feed_end();
        let mut sql = host
            .transform::<TransformSql>(json!({ "query": "SELECT id FROM input WHERE id > 1" }))
            .await
            .unwrap();
        sql.run(RunRequest::transform(StreamContext::new("people", people().schema()))).await.unwrap();
        let emitted = host.emitted();
        let kinds: Vec<bool> = emitted.iter().map(|it| matches!(it, EmittedEvent::Batch(_))).collect();
        assert_eq!(kinds, [true, false, false], "a batch without rows is left out, its checkpoint is not");
    });
}

#[test]
fn values_are_what_sql_says() {
    for (expression, expected) in [
        ("id + 1", ["2", "3", "4"]),
        ("-id * 2 - 1", ["-3", "-5", "-7"]),
        ("7 / id", ["7", "3", "2"]),
        ("7 % id", ["0", "1", "1"]),
        ("amount * 1.1", ["11.550", "·", "-0.055"]),
        ("amount + id", ["11.50", "·", "2.95"]),
        ("score * 2", ["1.0", "·", "-3.0"]),
        ("score + amount", ["11.0", "·", "-1.55"]),
        ("big > 8", ["true", "·", "false"]),
        ("amount >= 10.5 AND score < 1", ["true", "·", "false"]),
        ("paid OR id = 2", ["true", "true", "false"]),
        ("NOT paid", ["false", "·", "true"]),
        ("paid IS NULL", ["false", "true", "false"]),
        ("paid IS NOT TRUE", ["false", "true", "true"]),
        ("email IS DISTINCT FROM ''", ["true", "true", "false"]),
        ("id BETWEEN 2 AND 3", ["false", "true", "true"]),
        ("id NOT IN (1, 3)", ["false", "true", "false"]),
        ("amount IN (10.50, NULL)", ["true", "·", "·"]),
        ("email LIKE '%@X%'", ["true", "·", "false"]),
        ("email NOT ILIKE 'ANÉ%'", ["false", "·", "true"]),
        ("born = '1970-01-01'", ["true", "·", "false"]),
        ("seen > DATE '2023-01-01'", ["false", "·", "true"]),
        ("seen < TIMESTAMPTZ '1970-01-01T00:00:01Z'", ["true", "·", "false"]),
        ("CASE WHEN id > 1 THEN 6 / (id - 1) ELSE 0 END", ["0", "6", "3"]),
        ("CASE id WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", ["one", "two", "·"]),
        ("coalesce(email, doc, 'none')", ["Ané@X.org", "none", ""]),
        ("nullif(email, '')", ["Ané@X.org", "·", "·"]),
        ("email || '!'", ["Ané@X.org!", "·", "!"]),
        ("concat(email, '!')", ["Ané@X.org!", "!", "!"]),
        ("length(email)", ["9", "·", "0"]),
        ("upper(substr(email, 2, 2))", ["NÉ", "·", ""]),
        ("substring(email FROM -1 FOR 3)", ["A", "·", ""]),
        ("left(email, 3) || right(email, -6)", ["Anéorg", "·", ""]),
        ("replace(email, 'X', 'y')", ["Ané@y.org", "·", ""]),
        ("trim(BOTH 'Ag' FROM email)", ["né@X.or", "·", ""]),
        ("trim('  x ')", ["x", "x", "x"]),
        ("starts_with(doc, '[')", ["false", "·", "true"]),
        ("abs(-id)", ["1", "2", "3"]),
        ("floor(score)", ["0.0", "·", "-2.0"]),
        ("CAST(amount AS TEXT)", ["10.50", "·", "-0.05"]),
        ("seen::text", ["1970-01-01T00:00:00.000001Z", "·", "2023-11-14T22:13:20Z"]),
        ("CAST('2024-02-29T12:00:00+02:00' AS TIMESTAMPTZ)", ["2024-02-29T10:00:00Z"; 3]),
        ("TRY_CAST(email AS BIGINT) IS NULL", ["true"; 3]),
        ("1.5", ["1.5"; 3]),
        ("1e2", ["100.0"; 3]),
        ("CAST(NULL AS TEXT)", ["·"; 3]),
    ] {
        assert_eq!(values(expression), expected, "{expression}");
    }
}

#[test]
fn results_have_the_types_that_hold_them() {
    for (expression, expected) in [
        ("id + 1", DataType::Int64),
        ("id + 0.5", DataType::Decimal128(21, 1)),
        ("score + 1", DataType::Float64),
        ("id > 1", DataType::Boolean),
        ("CASE WHEN paid THEN 1 ELSE 0.5 END", DataType::Decimal128(20, 1)),
        ("CAST(id AS DECIMAL(20,4))", DataType::Decimal128(20, 4)),
        ("CAST(seen AS TIMESTAMPTZ)", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("length(email)", DataType::Int64),
    ] {
        assert_eq!(type_of(expression), expected, "{expression}");
    }
}

#[test]
fn a_query_that_no_stream_can_make_right_is_refused_with_its_field() {
    let long = vec!["id = 1"; 200].join(" OR ");
    for (query, says) in [
        ("", "Expected"),
        ("SELECT id", "`input`"),
        ("SELEC id FROM input", "Expected"),
        ("SELECT id FROM input; SELECT 1", "Expected"),
        ("DROP TABLE input", "only `SELECT"),
        ("SELECT id FROM people", "no table `people`"),
        ("SELECT a.id FROM input a JOIN input b ON true", "joined"),
        ("SELECT id FROM (SELECT id FROM input) t", "`input`"),
        ("SELECT id FROM input UNION SELECT id FROM input", "plain"),
        ("SELECT count(id) AS n FROM input GROUP BY paid", "`GROUP BY`"),
        ("SELECT DISTINCT id FROM input", "`DISTINCT`"),
        ("SELECT id FROM input ORDER BY id", "`ORDER BY`"),
        ("SELECT id FROM input LIMIT 1", "`LIMIT`"),
        ("SELECT lower(email) FROM input", "AS name"),
        ("SELECT id AS a, email AS a FROM input", "two columns `a`"),
        (&format!("SELECT id FROM input WHERE {long}"), "operators"),
    ] {
        let error = block_on(async {
            TestHost::new().transform::<TransformSql>(json!({ "query": query })).await.err().expect("refused")
        });
        assert_eq!(error.category, ErrorCategory::Config, "{query}: {error}");
        assert!(error.message.contains("`query`") && error.message.contains(says), "{query}: {error}");
    }
}

#[test]
fn a_query_that_this_stream_does_not_fit_says_why() {
    for (query, says) in [
        ("SELECT mail FROM input", "no column `mail`; the columns are `id`"),
        ("SELECT \"EMAIL\" FROM input", "no column `EMAIL`"),
        ("SELECT id AS doc, * FROM input", "two columns `doc`"),
        ("SELECT id FROM input WHERE id", "neither true nor false"),
        ("SELECT id FROM input WHERE email > 1", "cannot be compared"),
        ("SELECT id FROM input WHERE born > '1970-13-01'", "1970-13-01"),
        ("SELECT email + 1 AS x FROM input", "no number"),
        ("SELECT lower(id) AS x FROM input", "CAST"),
        ("SELECT lower(email, doc) AS x FROM input", "arguments"),
        ("SELECT nope(id) AS x FROM input", "no function `nope`; there are lower"),
        ("SELECT sum(id) AS x FROM input", "no function `sum`"),
        ("SELECT row_number() OVER () AS x FROM input", "one by one"),
        ("SELECT CASE WHEN paid THEN 1 ELSE 'a' END AS x FROM input", "do not go together"),
        ("SELECT CAST(id AS POINT) AS x FROM input", "no type `POINT`"),
        ("SELECT CAST(paid AS DATE) AS x FROM input", "cannot be cast"),
        ("SELECT CAST('x' AS INT) AS x FROM input", "'x'"),
        ("SELECT NULL AS x FROM input", "CAST(NULL AS TEXT)"),
        ("SELECT id IN (SELECT 1) AS x FROM input", "not possible"),
    ] {
        let error = discover(query).err().unwrap_or_else(|| panic!("{query} was planned"));
        assert_eq!(error.category, ErrorCategory::Config, "{query}: {error}");
        assert!(error.message.contains("`people`") && error.message.contains(says), "{query}: {error}");
    }
}

#[test]
fn only_the_record_that_has_no_value_is_refused() {
    for (query, code) in [
        ("SELECT id, 6 / (id - 2) AS x FROM input", "division_by_zero"),
        ("SELECT id, 9223372036854775805 + id AS x FROM input", "arithmetic_overflow"),
        ("SELECT id, CAST(email AS BIGINT) AS x FROM input WHERE id = 3", "cast_failed"),
        ("SELECT id, CAST(big AS BIGINT) AS x FROM input", "cast_failed"),
    ] {
        let (host, result) = run(query, |it| it);
        result.unwrap();
        let refused = host.dead_letters();
        assert_eq!(refused.len(), 1, "{query}");
        let (record, errors) = &refused[0];
        assert_eq!((record.num_rows(), record.schema()), (1, people().schema()));
        assert_eq!((errors[0].row, errors[0].code.as_str()), (0, code), "{query}");
        assert!(errors[0].message.contains("`x`"), "{query}: {}", errors[0].message);
        let bad = record.column(0).as_primitive::<Int64Type>().value(0);
        let good: Vec<i64> = host
            .emitted_batches()
            .iter()
            .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        let expected: Vec<i64> = (1..=3).filter(|it| *it != bad && !query.contains("WHERE")).collect();
        assert_eq!(good, expected, "{query}");
    }
}

#[test]
fn under_the_policy_fail_the_run_ends_with_the_hosts_error() {
    block_on(async {
        let host = TestHost::new();
        host.feed_batch(&people());
        host.feed_end();
        host.refuse_dead_letters(ConnectorError::data("refused_by_policy", "no"));
        let mut sql = host
            .transform::<TransformSql>(json!({ "query": "SELECT 1 / (id - 1) AS x FROM input" }))
            .await
            .unwrap();
        let error = sql
            .run(RunRequest::transform(StreamContext::new("people", people().schema())))
            .await
            .unwrap_err();
        assert_eq!(error.code, "refused_by_policy");
    });
}

#[test]
fn results_larger_than_a_frame_are_cut() {
    let wide = format!("SELECT id, concat('{}', email) AS x FROM input", "x".repeat(20_000));
    let (host, result) = run(&wide, |mut it| {
        it.limits.max_batch_bytes = 65_536;
        it
    });
    result.unwrap();
    assert!(host.emitted_batches().len() > 1);
    let ids: Vec<i64> = host
        .emitted_batches()
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn as_many_operators_as_are_allowed_can_be_run() {
    assert_eq!(values(&vec!["id"; 300].join(" + ")), ["300", "600", "900"]);
    assert_eq!(values(&vec!["id <> 2"; 150].join(" AND ")), ["true", "false", "true"]);
    let deep = discover(&format!("SELECT id{} AS x FROM input", "::int".repeat(60))).unwrap_err();
    assert!(deep.message.contains("deep"), "{deep}");
    let list: Vec<String> = (10..3000).map(|it| it.to_string()).collect();
    assert_eq!(values(&format!("id IN ({}, 2)", list.join(", "))), ["false", "true", "false"]);
}

#[test]
fn validation_counts_the_results() {
    let report = block_on(async {
        let config = serde_json::from_value(json!({ "query": "SELECT id, 1 AS one FROM input" })).unwrap();
        TransformSql::validate(&config).await.unwrap()
    });
    assert_eq!(report.message, "2 results");
}
