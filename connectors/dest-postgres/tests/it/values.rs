//! Values of every Arrow type in the table, and those PostgreSQL cannot hold refused by column and row.

use std::sync::Arc;

use rapidbyte_postgres::types::{Codec, ColumnType, Form};
use rapidbyte_sdk::arrow::array::builder::{FixedSizeBinaryBuilder, StringViewBuilder};
use rapidbyte_sdk::arrow::array::types::{IntervalDayTime, IntervalMonthDayNano};
use rapidbyte_sdk::arrow::array::*;
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
use rapidbyte_sdk::prelude::*;

use crate::harness::{Database, column, stream};

#[test]
fn every_arrow_type_arrives_as_what_it_means() {
    let database = Database::new();
    let mut fixed = FixedSizeBinaryBuilder::new(3);
    fixed.append_value([1, 2, 255]).unwrap();
    let mut views = StringViewBuilder::new();
    views.append_value("a string view of some length");
    let interval = IntervalMonthDayNano { months: 14, days: -3, nanoseconds: 1_500_000_000 };
    let decimal = Decimal128Array::from(vec![-123_456]).with_precision_and_scale(10, 3).unwrap();
    let shifted = Decimal128Array::from(vec![12]).with_precision_and_scale(4, -2).unwrap();
    let zoned = TimestampMillisecondArray::from(vec![1_700_000_000_123]).with_timezone("Europe/Berlin");
    let cases: Vec<(ArrayRef, &str, &str)> = vec![
        (Arc::new(BooleanArray::from(vec![true])), "boolean", "t"),
        (Arc::new(Int8Array::from(vec![-8])), "smallint", "-8"),
        (Arc::new(Int16Array::from(vec![i16::MIN])), "smallint", "-32768"),
        (Arc::new(Int32Array::from(vec![i32::MIN])), "integer", "-2147483648"),
        (Arc::new(Int64Array::from(vec![i64::MIN])), "bigint", "-9223372036854775808"),
        (Arc::new(UInt8Array::from(vec![255])), "smallint", "255"),
        (Arc::new(UInt16Array::from(vec![65_535])), "integer", "65535"),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), "bigint", "4294967295"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "numeric(20,0)", "18446744073709551615"),
        (Arc::new(Float32Array::from(vec![0.1])), "real", "0.1"),
        (Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])), "double precision", "-Infinity"),
        (Arc::new(decimal), "numeric(10,3)", "-123.456"),
        (Arc::new(shifted), "numeric(6,0)", "1200"),
        (Arc::new(StringArray::from(vec!["it's ünï 🦀"])), "text", "it's ünï 🦀"),
        (Arc::new(LargeStringArray::from(vec![""])), "text", ""),
        (Arc::new(views.finish()), "text", "a string view of some length"),
        (Arc::new(BinaryArray::from(vec![&[0u8, 255][..]])), "bytea", "\\x00ff"),
        (Arc::new(fixed.finish()), "bytea", "\\x0102ff"),
        (Arc::new(Date32Array::from(vec![-719_528])), "date", "0001-01-01 BC"),
        (Arc::new(Date64Array::from(vec![86_400_000])), "date", "1970-01-02"),
        (Arc::new(Time32SecondArray::from(vec![3_661])), "time without time zone", "01:01:01"),
        (Arc::new(Time64NanosecondArray::from(vec![1_000])), "time without time zone", "00:00:00.000001"),
        (
            Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_000])),
            "timestamp without time zone",
            "2023-11-14 22:13:20.123456",
        ),
        (Arc::new(zoned), "timestamp with time zone", "2023-11-14 22:13:20.123+00"),
        (Arc::new(DurationMillisecondArray::from(vec![-1_500])), "interval", "-00:00:01.5"),
        (
            Arc::new(IntervalMonthDayNanoArray::from(vec![interval])),
            "interval",
            "1 year 2 mons -3 days +00:00:01.5",
        ),
        (Arc::new(IntervalYearMonthArray::from(vec![25])), "interval", "2 years 1 mon"),
        (
            Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime { days: 1, milliseconds: 5 }])),
            "interval",
            "1 day 00:00:00.005",
        ),
        (Arc::new(NullArray::new(1)), "text", ""),
    ];
    let fields: Vec<Field> = cases
        .iter()
        .enumerate()
        .map(|(index, (array, ..))| Field::new(format!("c{index}"), array.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = cases.iter().map(|(array, ..)| array.clone()).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let (result, _) = database.write(&stream(mode.as_str(), schema.clone(), mode), |host| {
            host.feed_batch(&batch);
            host.feed_end();
        });
        result.unwrap();
        for (index, (_, type_name, text)) in cases.iter().enumerate() {
            let found = database.query(&format!(
                "SET timezone = 'UTC'; SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
                 WHERE attrelid = 'raw.{mode}'::regclass AND attname = 'c{index}'; SELECT c{index} FROM raw.{mode}"
            ));
            assert_eq!(found, format!("{type_name}\n{text}").trim_end_matches('\n'), "c{index} {mode}");
        }
    }
}

#[test]
fn extension_types_become_the_types_they_name() {
    let database = Database::new();
    let marked = |name: &str, array: ArrayRef, extension: &str| {
        let metadata = [("ARROW:extension:name".to_owned(), extension.to_owned())];
        (Field::new(name, array.data_type().clone(), true).with_metadata(metadata.into()), array)
    };
    let mut uuid = FixedSizeBinaryBuilder::new(16);
    uuid.append_value([0xab; 16]).unwrap();
    let columns = [
        marked("u", Arc::new(uuid.finish()), "arrow.uuid"),
        marked("j", Arc::new(StringArray::from(vec!["{\"a\": [1, null]}"])), "arrow.json"),
        marked(
            "n",
            Arc::new(StringArray::from(vec!["-0.00000000000000000000000000000000000000001"])),
            "rapidbyte.numeric",
        ),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let (result, _) = database.write(&stream("t", schema, WriteMode::Append), |host| {
        host.feed_batch(&batch);
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(
        database.query("SELECT pg_typeof(u), u, pg_typeof(j), j, pg_typeof(n), n FROM raw.t"),
        "uuid|abababab-abab-abab-abab-abababababab|jsonb|{\"a\": [1, null]}|numeric|\
         -0.00000000000000000000000000000000000000001"
    );
}

#[test]
fn values_postgresql_cannot_hold_are_refused_by_column_and_row_and_nothing_is_kept() {
    for (batch, code) in [
        (column("c", StringArray::from(vec!["a", "b\0c"])), "nul_byte_in_text"),
        (column("c", TimestampNanosecondArray::from(vec![0, 1])), "temporal_precision"),
        (column("c", Time64NanosecondArray::from(vec![0, 999])), "temporal_precision"),
        (column("c", TimestampMicrosecondArray::from(vec![0, i64::MIN])), "temporal_out_of_range"),
        (column("c", Date32Array::from(vec![0, i32::MAX])), "temporal_out_of_range"),
        (column("c", Date64Array::from(vec![0, 1])), "temporal_precision"),
        (column("c", Time32SecondArray::from(vec![0, 86_401])), "temporal_out_of_range"),
    ] {
        let database = Database::new();
        let (result, _) = database.write(&stream("t", batch.schema(), WriteMode::Append), |host| {
            host.feed_batch(&batch.slice(0, 1));
            host.feed_batch(&batch);
            host.feed_end();
        });
        let error = result.unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, code));
        assert!(error.message.contains("column `c` in row 3"), "{}", error.message);
        assert_eq!(error.commit, Some(CommitState::BeforeCommit));
        assert_eq!(database.query("SELECT count(*) FROM raw.t"), "0");
    }
}

#[test]
fn what_the_server_refuses_is_a_data_error_too() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (c int8 CHECK (c < 10))");
    let batch = column("c", Int64Array::from(vec![1, 10]));
    let (result, _) = database.write(&stream("t", batch.schema(), WriteMode::Append), |host| {
        host.feed_batch(&batch);
        host.feed_end();
    });
    let error = result.unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "check_violation"));
    assert_eq!(error.commit, Some(CommitState::BeforeCommit));
    assert_eq!(database.query("SELECT count(*) FROM raw.t"), "0");
}

/// A column in text form.
fn text_form(name: &str, type_name: &str, values: Vec<Option<&str>>) -> (Field, ArrayRef) {
    let origin =
        ColumnType { type_name: type_name.into(), form: Form::Text, codec: Codec::Utf8, enumeration: None };
    (origin.field(name, true), Arc::new(StringArray::from(values)))
}

#[test]
fn text_forms_are_cast_in_every_mode() {
    let columns = [
        ("a", "integer[]", "{1,NULL,3}"),
        ("i", "inet", "10.0.0.1/8"),
        ("r", "int4range", "[1,5)"),
        ("m", "int4multirange", "{[1,2),[5,6)}"),
        ("b", "bit varying(5)", "101"),
        ("t", "time(3) with time zone", "12:00:00.123+02"),
        ("c", "\"char\"", "x"),
        ("p", "point", "(1,2)"),
        ("n", "numeric(5,2)[]", "{1.50}"),
        ("v", "tsvector", "'a':1 'b':2"),
        ("l", "pg_lsn", "16/B374D848"),
    ];
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert] {
        let database = Database::new();
        let mut fields = vec![Field::new("id", DataType::Int64, false)];
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2]))];
        for (name, type_name, text) in columns {
            let (field, array) = text_form(name, type_name, vec![Some(text), None]);
            fields.push(field);
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
        let (result, _) = database.write(&stream("t", schema.clone(), mode), |host| {
            host.feed_batch(&batch);
            host.feed_checkpoint(None);
            host.feed_end();
        });
        result.unwrap();
        for (name, type_name, text) in columns {
            let found = database.query(&format!(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'raw.t'::regclass \
                 AND attname = '{name}'; SELECT {name} FROM raw.t WHERE id = 1; \
                 SELECT count(*) FROM raw.t WHERE id = 2 AND {name} IS NULL"
            ));
            assert_eq!(found, format!("{type_name}\n{text}\n1"), "{mode} {name}");
        }
    }
}

#[test]
fn a_text_form_that_is_none_is_found_among_many_rows() {
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let database = Database::new();
        let count = 1_000;
        let mut values = vec![Some("10.0.0.1"); count];
        values[777] = Some("no address");
        let (good, goods) = text_form("good", "inet", vec![Some("::1"); count]);
        let (bad, bads) = text_form("bad", "inet", values);
        let schema = Arc::new(Schema::new(vec![good, bad]));
        let batch = RecordBatch::try_new(schema.clone(), vec![goods, bads]).unwrap();
        let (result, _) = database.write(&stream("t", schema.clone(), mode), |host| {
            host.feed_batch(&batch.slice(0, 100));
            host.feed_checkpoint(None);
            host.feed_batch(&batch);
            host.feed_end();
        });
        let error = result.unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "invalid_value"));
        assert!(error.message.contains("column `bad` in row 878"), "{}", error.message);
    }
}

#[test]
fn nested_types_are_refused_by_name() {
    let database = Database::new();
    let list = ListArray::from_iter_primitive::<types::Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let batch = column("items", list);
    let (result, _) = database.write(&stream("t", batch.schema(), WriteMode::Append), |host| {
        host.feed_end();
    });
    let error = result.unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "unsupported_type"));
    assert!(error.message.contains("column `items`"), "{}", error.message);
}
