//! Values across casts and arithmetic: exact, or an error that names the column; never NULL, wrapped or saturated.

use std::sync::Arc;

use arrow_array::{
    Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use rapidbyte_core::ErrorCategory;

use crate::support::*;

async fn cast_of(values: impl Array + 'static, to: &str) -> Result<Vec<String>, String> {
    match run(&[column("it", values)], &[cast("it", to)]).await {
        Ok(batches) => Ok(rows(&batches)),
        Err(error) => {
            assert_eq!(error.category, ErrorCategory::Data, "{error:?}");
            assert!(error.message.contains("`it`"), "names the column: {error}");
            Err(error.code)
        }
    }
}

fn failed() -> Result<Vec<String>, String> {
    Err("cast_failed".to_owned())
}

fn good(values: &[&str]) -> Result<Vec<String>, String> {
    Ok(values.iter().map(|it| (*it).to_owned()).collect())
}

fn texts(values: &[&str]) -> StringArray {
    StringArray::from(values.to_vec())
}

#[tokio::test]
async fn texts_become_what_they_say_or_fail() {
    assert_eq!(
        cast_of(texts(&["1", "-9223372036854775808"]), "BIGINT").await,
        good(&["1", "-9223372036854775808"])
    );
    assert_eq!(cast_of(texts(&["9223372036854775808"]), "BIGINT").await, failed());
    assert_eq!(cast_of(texts(&["1.5"]), "Int64").await, failed());
    assert_eq!(cast_of(texts(&[""]), "Int64").await, failed());
    assert_eq!(cast_of(texts(&["1e3", "-0.5"]), "Double").await, good(&["1000.0", "-0.5"]));
    assert_eq!(cast_of(texts(&["12.30", "-0.01"]), "DECIMAL(5,2)").await, good(&["12.30", "-0.01"]));
    assert_eq!(cast_of(texts(&["12345.67"]), "DECIMAL(5,2)").await, failed());
    assert_eq!(cast_of(texts(&["twelve"]), "DECIMAL(5,2)").await, failed());
    assert_eq!(
        cast_of(texts(&["true", "f", "no", "1"]), "Boolean").await,
        good(&["true", "false", "false", "true"])
    );
    assert_eq!(cast_of(texts(&["perhaps"]), "Boolean").await, failed());
    assert_eq!(cast_of(texts(&["2024-02-29"]), "Date").await, good(&["2024-02-29"]));
    assert_eq!(cast_of(texts(&["2023-02-29"]), "Date").await, failed());
    assert_eq!(
        cast_of(texts(&["2024-02-29T12:00:00Z", "2024-02-29 12:00:00.000001"]), "Timestamp").await,
        good(&["2024-02-29T12:00:00", "2024-02-29T12:00:00.000001"])
    );
    assert_eq!(
        cast_of(texts(&["2024-02-29T12:00:00+02:00"]), "TIMESTAMPTZ").await,
        good(&["2024-02-29T10:00:00Z"])
    );
    assert_eq!(cast_of(texts(&["yesterday"]), "Timestamp").await, failed());
}

#[tokio::test]
async fn numbers_fit_or_fail() {
    assert_eq!(cast_of(Int64Array::from(vec![i64::from(i32::MAX)]), "Int32").await, good(&["2147483647"]));
    assert_eq!(cast_of(Int64Array::from(vec![i64::from(i32::MAX) + 1]), "Int32").await, failed());
    assert_eq!(cast_of(Int64Array::from(vec![-1]), "UInt8").await, failed());
    assert_eq!(cast_of(UInt64Array::from(vec![u64::MAX]), "Int64").await, failed());
    assert_eq!(cast_of(Float64Array::from(vec![f64::NAN]), "Int64").await, failed());
    assert_eq!(cast_of(Float64Array::from(vec![1e300]), "Int64").await, failed());
    assert_eq!(cast_of(Float64Array::from(vec![1e300]), "Float32").await, failed());
    assert_eq!(cast_of(Float64Array::from(vec![f64::INFINITY, 1.5]), "Float32").await, good(&["inf", "1.5"]));
    assert_eq!(cast_of(Float32Array::from(vec![1e10]), "Float16").await, failed());
    assert_eq!(cast_of(Int32Array::from(vec![100_000]), "Float16").await, failed());
    assert_eq!(cast_of(Int64Array::from(vec![12]), "DECIMAL(5,2)").await, good(&["12.00"]));
    assert_eq!(cast_of(Int64Array::from(vec![1234]), "DECIMAL(5,2)").await, failed());
    assert_eq!(cast_of(Float64Array::from(vec![0.1 + 0.2]), "DECIMAL(5,2)").await, good(&["0.30"]));
    assert_eq!(cast_of(Float64Array::from(vec![f64::NAN]), "DECIMAL(5,2)").await, failed());
    let decimals =
        || Decimal128Array::from(vec![Some(123_456), None]).with_precision_and_scale(10, 3).unwrap();
    assert_eq!(cast_of(decimals(), "DECIMAL(10,2)").await, good(&["123.46", "·"]));
    assert_eq!(cast_of(decimals(), "DECIMAL(4,2)").await, failed());
    assert_eq!(cast_of(decimals(), "Utf8").await, good(&["123.456", "·"]));
    assert_eq!(cast_of(Int64Array::from(vec![Some(7), None]), "TEXT").await, good(&["7", "·"]));
}

#[tokio::test]
async fn integers_are_seconds_unless_the_type_says_a_unit() {
    let moment = 1_700_000_000;
    let expected = good(&["2023-11-14T22:13:20", "·"]);
    let of = |value: i64| Int64Array::from(vec![Some(value), None]);
    assert_eq!(cast_of(of(moment), "Timestamp").await, expected);
    assert_eq!(cast_of(Int32Array::from(vec![Some(moment as i32), None]), "Timestamp").await, expected);
    assert_eq!(cast_of(of(moment * 1000), "Timestamp(ms)").await, expected);
    assert_eq!(cast_of(of(moment * 1_000_000), "Timestamp(us)").await, expected);
    assert_eq!(cast_of(of(moment), "TIMESTAMPTZ").await, good(&["2023-11-14T22:13:20Z", "·"]));
    assert_eq!(cast_of(of(i64::MAX / 1000), "Timestamp").await, failed());
}

#[tokio::test]
async fn zones_keep_the_moment() {
    let values =
        TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None]).with_timezone("UTC");
    assert_eq!(cast_of(values.clone(), "Timestamp").await, good(&["2023-11-14T22:13:20.000001", "·"]));
    assert_eq!(cast_of(values.clone(), "Timestamp(s)").await, good(&["2023-11-14T22:13:20", "·"]));
    assert_eq!(
        cast_of(values.clone(), "Timestamp(us, Europe/Berlin)").await,
        good(&["2023-11-14T23:13:20.000001+01:00", "·"])
    );
    assert_eq!(cast_of(values, "Date").await, good(&["2023-11-14", "·"]));
}

async fn computed(values: impl Array + 'static, expression: &str) -> Result<String, String> {
    match run(&[column("it", values)], &[add("x", expression), drop_columns(&["it"])]).await {
        Ok(batches) => Ok(rows(&batches).join(" ")),
        Err(error) => {
            assert_eq!(error.category, ErrorCategory::Data, "{error:?}");
            assert!(error.message.contains("`x`"), "names the column: {error}");
            Err(error.code)
        }
    }
}

#[tokio::test]
async fn arithmetic_is_exact_or_fails() {
    let overflow = || Err("arithmetic_overflow".to_owned());
    let of = |it: i64| Int64Array::from(vec![it]);
    assert_eq!(computed(of(i64::MAX), "it + 1").await, overflow());
    assert_eq!(computed(of(i64::MIN), "it - 1").await, overflow());
    assert_eq!(computed(of(i64::MAX), "CASE WHEN it > 0 THEN it * 2 ELSE 0 END").await, overflow());
    assert_eq!(computed(of(7), "it / 0").await, Err("division_by_zero".to_owned()));
    assert_eq!(computed(of(7), "it / 2").await, Ok("3".to_owned()));
    assert_eq!(computed(of(i64::MAX), "CAST(it AS INT)").await, failed().map(|_| String::new()));
    assert_eq!(computed(texts(&["x"]), "CAST(it AS BIGINT)").await, failed().map(|_| String::new()));
    assert_eq!(computed(texts(&["x", "2"]), "TRY_CAST(it AS BIGINT)").await, Ok("· 2".to_owned()));
    assert_eq!(computed(texts(&["99.5", "1"]), "CAST(it AS DOUBLE) > 10").await, Ok("true false".to_owned()));
    let cents = Decimal128Array::from(vec![110]).with_precision_and_scale(18, 2).unwrap();
    assert_eq!(computed(cents, "it * 1.1").await, Ok("1.210".to_owned()));
}

#[tokio::test]
async fn types_in_expressions_are_the_documents_types() {
    for (expression, expected) in [
        ("CAST(it AS TIMESTAMP)", "Timestamp(µs)"),
        ("CAST(it AS TIMESTAMPTZ)", "Timestamp(µs, \"UTC\")"),
        ("CAST(it AS TIMESTAMP(3))", "Timestamp(ms)"),
        ("CAST(it AS TEXT)", "Utf8"),
        ("CAST(it AS VARCHAR)", "Utf8"),
        ("it::date", "Date32"),
        ("CAST(it AS DECIMAL(20, 4))", "Decimal128(20, 4)"),
        ("upper(it)", "Utf8"),
        ("it || 'x'", "Utf8"),
    ] {
        let schema = Arc::new(Schema::new(vec![Field::new("it", DataType::Utf8, true)]));
        let planned =
            plan(&schema, &[add("x", expression)]).unwrap_or_else(|it| panic!("{expression}: {it:?}"));
        assert_eq!(planned.schema().field(1).data_type().to_string(), expected, "{expression}");
    }
}

/// Batches cut anywhere give the same rows: no operation looks beyond a row.
#[tokio::test]
async fn it_does_not_matter_how_rows_are_cut_into_batches() {
    let operations = [
        add("twice", "amount * 2"),
        cast("id", "Int32"),
        filter("ratio IS NULL OR ratio < 40"),
        sql(
            "SELECT id, upper(email) AS email, twice, created + INTERVAL '1 day' AS next FROM input WHERE id % 7 <> 0",
        ),
    ];
    let whole = orders_from(1, 100);
    let expected = shown(std::slice::from_ref(&whole), &operations).await;
    assert!(expected.len() > 50, "{}", expected.len());
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = seed | 1;
    for _ in 0..50 {
        let mut cut = Vec::<RecordBatch>::new();
        let mut at = 0;
        while at < whole.num_rows() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let rows = ((random >> 33) as usize % 9).min(whole.num_rows() - at);
            cut.push(whole.slice(at, rows));
            at += rows;
        }
        assert_eq!(shown(&cut, &operations).await, expected, "seed {seed}");
    }
}
