//! Every type's text and JSON, checked against literal expectations.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::*;
use arrow_buffer::{IntervalDayTime, IntervalMonthDayNano};

use super::*;

/// Text and JSON of every row; a null's text is `∅`.
#[track_caller]
fn check(array: impl Array + 'static, metadata: &[(&str, &str)], expected: &[(&str, &str)]) {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let array: ArrayRef = Arc::new(array);
    let field = Field::new("c", array.data_type().clone(), true).with_metadata(metadata);
    assert!(TextColumn::supports(array.data_type()));
    let column = TextColumn::new(&field, &array).unwrap();
    let found: Vec<(String, String)> = (0..array.len())
        .map(|row| {
            let (mut text, mut json) = (String::new(), String::new());
            if column.is_null(row) {
                text.push('∅');
            } else {
                column.write(row, &mut text);
            }
            column.write_json(row, &mut json);
            serde_json::from_str::<serde_json::Value>(&json)
                .unwrap_or_else(|error| panic!("{json}: {error}"));
            (text, json)
        })
        .collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(text, json)| (text.as_str(), json.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn plain_values() {
    check(NullArray::new(1), &[], &[("∅", "null")]);
    check(BooleanArray::from(vec![Some(true), None]), &[], &[("true", "true"), ("∅", "null")]);
    check(Int8Array::from(vec![-128]), &[], &[("-128", "-128")]);
    check(UInt64Array::from(vec![u64::MAX]), &[], &[("18446744073709551615", "18446744073709551615")]);
    check(StringArray::from(vec!["a\"b", ""]), &[], &[("a\"b", r#""a\"b""#), ("", r#""""#)]);
    check(LargeStringArray::from(vec!["x"]), &[], &[("x", r#""x""#)]);
    check(StringViewArray::from(vec!["x"]), &[], &[("x", r#""x""#)]);
    check(BinaryArray::from(vec![&[0_u8, 255][..]]), &[], &[("\\x00ff", r#""\\x00ff""#)]);
}

#[test]
fn floats() {
    check(
        Float64Array::from(vec![1.0, -0.0, 1e300, 0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        &[],
        &[
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("1e300", "1e300"),
            ("0.1", "0.1"),
            ("NaN", r#""NaN""#),
            ("Infinity", r#""Infinity""#),
            ("-Infinity", r#""-Infinity""#),
        ],
    );
    check(Float32Array::from(vec![0.1]), &[], &[("0.1", "0.1")]);
}

#[test]
fn decimals() {
    let decimal =
        |value: i128, scale| Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).unwrap();
    check(decimal(12_345, 2), &[], &[("123.45", r#""123.45""#)]);
    check(decimal(-5, 3), &[], &[("-0.005", r#""-0.005""#)]);
    check(decimal(-100, 2), &[], &[("-1.00", r#""-1.00""#)]);
    check(decimal(7, 0), &[], &[("7", r#""7""#)]);
    check(decimal(7, -2), &[], &[("700", r#""700""#)]);
    check(decimal(0, -2), &[], &[("0", r#""0""#)]);
}

#[test]
fn dates_and_times() {
    check(
        Date32Array::from(vec![0, i32::MAX, i32::MIN]),
        &[],
        &[("1970-01-01", r#""1970-01-01""#), ("infinity", r#""infinity""#), ("-infinity", r#""-infinity""#)],
    );
    check(Date64Array::from(vec![86_400_000]), &[], &[("1970-01-02", r#""1970-01-02""#)]);
    check(Time32SecondArray::from(vec![61]), &[], &[("00:01:01", r#""00:01:01""#)]);
    check(Time64MicrosecondArray::from(vec![1]), &[], &[("00:00:00.000001", r#""00:00:00.000001""#)]);
    check(
        TimestampMicrosecondArray::from(vec![-1, i64::MAX]).with_timezone("Europe/Berlin"),
        &[],
        &[("1969-12-31T23:59:59.999999Z", r#""1969-12-31T23:59:59.999999Z""#), ("infinity", r#""infinity""#)],
    );
    check(
        TimestampNanosecondArray::from(vec![1]),
        &[],
        &[("1970-01-01T00:00:00.000000001", r#""1970-01-01T00:00:00.000000001""#)],
    );
    check(DurationMillisecondArray::from(vec![-90_500]), &[], &[("PT-1M-30.5S", r#""PT-1M-30.5S""#)]);
    check(IntervalYearMonthArray::from(vec![14]), &[], &[("P1Y2M", r#""P1Y2M""#)]);
    check(
        IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -500)]),
        &[],
        &[("P1DT-0.5S", r#""P1DT-0.5S""#)],
    );
    check(
        IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(-13, 3, 3_661_000_000_000),
            IntervalMonthDayNano::ZERO,
        ]),
        &[],
        &[("P-1Y-1M3DT1H1M1S", r#""P-1Y-1M3DT1H1M1S""#), ("PT0S", r#""PT0S""#)],
    );
}

#[test]
fn extensions() {
    let uuid = FixedSizeBinaryArray::try_from_iter(std::iter::once((0..16).collect::<Vec<u8>>())).unwrap();
    check(
        uuid.clone(),
        &[("ARROW:extension:name", "arrow.uuid")],
        &[("00010203-0405-0607-0809-0a0b0c0d0e0f", r#""00010203-0405-0607-0809-0a0b0c0d0e0f""#)],
    );
    check(uuid, &[], &[("\\x000102030405060708090a0b0c0d0e0f", r#""\\x000102030405060708090a0b0c0d0e0f""#)]);
    check(
        StringArray::from(vec!["{\"a\":\n 1.0}", "no json"]),
        &[("ARROW:extension:name", "arrow.json")],
        &[("{\"a\":\n 1.0}", r#"{"a":1.0}"#), ("no json", r#""no json""#)],
    );
}

#[test]
fn nested_values_are_json() {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None]);
    list.append_value([]);
    list.append_null();
    let list = list.finish();
    check(list.clone(), &[], &[("[1,null]", "[1,null]"), ("[]", "[]"), ("∅", "null")]);
    check(list.slice(1, 2), &[], &[("[]", "[]"), ("∅", "null")]);

    let fields = vec![Field::new("n", DataType::Int32, true), Field::new("é", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec!["x"]))];
    check(
        StructArray::new(fields.into(), columns, None),
        &[],
        &[(r#"{"n":1,"é":"x"}"#, r#"{"n":1,"é":"x"}"#)],
    );

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    check(map.finish(), &[], &[(r#"{"k":1}"#, r#"{"k":1}"#)]);
}

#[test]
fn refuses_what_has_no_text_by_name() {
    let array: DictionaryArray<Int32Type> = vec!["a"].into_iter().collect();
    assert!(!TextColumn::supports(array.data_type()));
    let field = Field::new("kind", array.data_type().clone(), true);
    let array: ArrayRef = Arc::new(array);
    let error = TextColumn::new(&field, &array).err().unwrap();
    assert!(error.to_string().starts_with("column `kind`: type `Dictionary("), "{error}");
}
