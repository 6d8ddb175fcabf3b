//! What stands in the files: exact text of CSV and JSON Lines, types of Parquet, and that source-file reads back what was
//! written.

use std::collections::HashMap;
use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::*;
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{IntervalUnit, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, LogicalType};
use source_file::SourceFile;

use super::*;

fn read_parquet(path: &Path) -> (SchemaRef, Vec<RecordBatch>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    (schema, builder.build().unwrap().map(Result::unwrap).collect())
}

pub fn parquet_numbers(folder: &Path, stream: &str) -> Vec<i64> {
    let parts = files(folder).into_iter().filter(|file| file.starts_with(stream));
    let batches = parts.flat_map(|file| read_parquet(&folder.join(file)).1);
    batches.flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn field(name: &str, data_type: DataType, metadata: &[(&str, &str)]) -> Field {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Field::new(name, data_type, true).with_metadata(metadata)
}

fn sample() -> RecordBatch {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        field("id", DataType::Int64, &[]),
        field("text", DataType::Utf8, &[]),
        field("flag", DataType::Boolean, &[]),
        field("day", DataType::Date32, &[]),
        field("at", micros, &[]),
        field("doc", DataType::Utf8, &[("ARROW:extension:name", "arrow.json")]),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
        Arc::new(StringArray::from(vec![Some("a,\"b\"\nc"), Some(""), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Date32Array::from(vec![Some(0), Some(i32::MAX), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), Some(0), None]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![Some("{\"a\": [1,\n2]}"), Some("\"x\""), None])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn write_sample(format: Value) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let extension = format["format"].as_str().unwrap().to_owned();
    write(folder.path(), format, stream("s", sample().schema(), WriteMode::Replace), &[sample()]).unwrap();
    let text = fs::read(folder.path().join(format!("s.{extension}"))).unwrap();
    (folder, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn csv_tells_null_from_empty() {
    let (_folder, text) = write_sample(json!({ "format": "csv" }));
    assert_eq!(
        text,
        "id,text,flag,day,at,doc\n\
         1,\"a,\"\"b\"\"\nc\",true,1970-01-01,1970-01-01T00:00:01.5Z,\"{\"\"a\"\": [1,\n2]}\"\n\
         2,\"\",false,infinity,1970-01-01T00:00:00Z,\"\"\"x\"\"\"\n\
         ,,,,,\n"
    );
    let (_folder, text) = write_sample(json!({ "format": "csv", "delimiter": "\t" }));
    assert!(text.starts_with("id\ttext\tflag") && text.contains("1\t\"a,\"\"b"), "{text}");
}

#[test]
fn json_lines_have_every_key() {
    let (_folder, text) = write_sample(json!({ "format": "jsonl" }));
    assert_eq!(
        text,
        concat!(
            r#"{"id":1,"text":"a,\"b\"\nc","flag":true,"day":"1970-01-01","at":"1970-01-01T00:00:01.5Z","doc":{"a":[1,2]}}"#,
            "\n",
            r#"{"id":2,"text":"","flag":false,"day":"infinity","at":"1970-01-01T00:00:00Z","doc":"x"}"#,
            "\n",
            r#"{"id":null,"text":null,"flag":null,"day":null,"at":null,"doc":null}"#,
            "\n",
        )
    );
}

#[test]
fn source_file_reads_back_what_was_written() {
    for format in ["csv", "jsonl", "parquet"] {
        let (folder, _) = write_sample(json!({ "format": format }));
        let batches = block_on(async {
            let host = TestHost::new();
            let mut config = json!({ "path": folder.path().to_str().unwrap() });
            if format != "parquet" {
                config["types"] = json!({ "doc": "json" });
            }
            let mut source = host.source::<SourceFile>(config).await.unwrap();
            let found = source.run(RunRequest::discover()).await.unwrap().catalog.unwrap().streams.remove(0);
            assert_eq!(found.name, "s");
            assert_eq!(found.schema, sample().schema(), "{format}");
            source.run(RunRequest::read(StreamContext::new("s", found.schema))).await.unwrap();
            host.emitted_batches()
        });
        let expected = if format == "parquet" { sample() } else { with_minified_documents(&sample()) };
        assert_eq!(batches, [expected], "{format}");
    }
}

/// White space in JSON is nothing that text files keep.
fn with_minified_documents(batch: &RecordBatch) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[5] = Arc::new(StringArray::from(vec![Some("{\"a\":[1,2]}"), Some("\"x\""), None]));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn a_single_column_keeps_its_nulls_in_csv() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![field("only", DataType::Utf8, &[])]));
    let batch =
        RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec![Some("a"), None, Some("")]))])
            .unwrap();
    write(
        folder.path(),
        json!({ "format": "csv" }),
        stream("s", batch.schema(), WriteMode::Replace),
        std::slice::from_ref(&batch),
    )
    .unwrap();
    let read = block_on(async {
        let host = TestHost::new();
        let config = json!({ "path": folder.path().to_str().unwrap() });
        let mut source = host.source::<SourceFile>(config).await.unwrap();
        source.run(RunRequest::read(StreamContext::new("s", batch.schema()))).await.unwrap();
        host.emitted_batches()
    });
    assert_eq!(read, [batch]);
}

#[test]
fn parquet_has_exact_types() {
    let folder = tempfile::tempdir().unwrap();
    let numeric = &[("ARROW:extension:name", "rapidbyte.numeric"), ("postgres.type", "numeric(12,3)")];
    let unbounded = &[("ARROW:extension:name", "rapidbyte.numeric"), ("postgres.type", "numeric")];
    let fields = vec![
        field("price", DataType::Utf8, numeric),
        field("any", DataType::Utf8, unbounded),
        field("key", DataType::FixedSizeBinary(16), &[("ARROW:extension:name", "arrow.uuid")]),
        field("doc", DataType::Utf8, &[("ARROW:extension:name", "arrow.json")]),
        field("span", DataType::Interval(IntervalUnit::MonthDayNano), &[]),
        field("time", DataType::Time64(TimeUnit::Microsecond), &[]),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("1.5"), None])),
        Arc::new(StringArray::from(vec![Some("NaN"), None])),
        Arc::new(FixedSizeBinaryArray::try_from_iter([[7_u8; 16], [8; 16]].into_iter()).unwrap()),
        Arc::new(StringArray::from(vec![Some("{}"), None])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            Some(IntervalMonthDayNano::new(1, 2, 3_000_000_000)),
            None,
        ])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(1), None])),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let parquet = json!({ "format": "parquet" });
    write(
        folder.path(),
        parquet,
        stream("s", batch.schema(), WriteMode::Replace),
        std::slice::from_ref(&batch),
    )
    .unwrap();

    let path = folder.path().join("s.parquet");
    let (schema, batches) = read_parquet(&path);
    assert_eq!(schema.field(0).data_type(), &DataType::Decimal128(12, 3));
    assert_eq!(schema.field(0).metadata().get("postgres.type").map(String::as_str), Some("numeric(12,3)"));
    assert_eq!(batches[0].column(0).as_primitive::<Decimal128Type>().value(0), 1_500);
    assert_eq!(batches[0].column(1).as_string::<i32>().value(0), "NaN");
    assert_eq!(batches[0].column(2), batch.column(2));
    assert_eq!(batches[0].column(4).as_string::<i32>().value(0), "P1M2DT3S");
    assert_eq!(batches[0].column(5), batch.column(5));

    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let logical = |index: usize| builder.parquet_schema().column(index).logical_type_ref().cloned();
    assert_eq!(logical(2), Some(LogicalType::Uuid));
    assert_eq!(logical(3), Some(LogicalType::Json));
    assert_eq!(builder.metadata().row_group(0).column(0).compression(), Compression::SNAPPY);

    let plain = json!({ "format": "parquet", "compression": "none" });
    write(folder.path(), plain, stream("s", batch.schema(), WriteMode::Replace), &[batch]).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    assert_eq!(builder.metadata().row_group(0).column(0).compression(), Compression::UNCOMPRESSED);
}

#[test]
fn a_number_that_no_decimal_holds_is_refused_by_name() {
    let metadata = &[("ARROW:extension:name", "rapidbyte.numeric"), ("postgres.type", "numeric(5,2)")];
    let schema = Arc::new(Schema::new(vec![
        field("id", DataType::Int64, &[]),
        field("price", DataType::Utf8, metadata).with_nullable(false),
    ]));
    let prices = StringArray::from(vec!["1.25", "NaN", "-0.5"]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(prices)];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let parquet = json!({ "format": "parquet" });

    let folder = tempfile::tempdir().unwrap();
    let orders = stream("orders", schema.clone(), WriteMode::Append);
    let error =
        write(folder.path(), parquet.clone(), orders.clone(), std::slice::from_ref(&batch)).unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "value_does_not_fit"));
    assert!(error.message.contains("column `price`: `NaN` is no decimal(5,2)"), "{}", error.message);
    assert!(files(folder.path()).is_empty());

    let mut skipping = orders;
    skipping.policies.on_data_error = DataErrorPolicy::Dlq;
    let host = TestHost::new();
    host.feed_batch(&batch);
    host.feed_end();
    let summary = run(&host, config(folder.path(), parquet), RunRequest::write(skipping)).unwrap();
    assert_eq!(summary.failed, 1);
    let (refused, errors) = &host.dead_letters()[0];
    assert_eq!(refused.column(0).as_primitive::<Int64Type>().values(), &[2]);
    assert_eq!((errors[0].row, errors[0].code.as_str()), (0, "value_does_not_fit"));
    let (_, written) = read_parquet(&folder.path().join(&files(folder.path())[0]));
    assert_eq!(written[0].column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
    assert_eq!(written[0].column(1).as_primitive::<Decimal128Type>().values(), &[125, -50]);
}

#[test]
fn large_streams_are_several_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![field("blob", DataType::Utf8, &[])]));
    // Every value differs, so that no dictionary makes them small.
    let batches: Vec<RecordBatch> = (0..40)
        .map(|batch| {
            let values = (0..1_000).map(|row| format!("{batch}-{row}-").repeat(150));
            RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from_iter_values(values))])
                .unwrap()
        })
        .collect();
    let parquet = json!({ "format": "parquet", "compression": "none" });
    write(folder.path(), parquet, stream("s", schema, WriteMode::Replace), &batches).unwrap();
    let file = File::open(folder.path().join("s.parquet")).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert!(builder.metadata().num_row_groups() >= 2, "{} row groups", builder.metadata().num_row_groups());
    assert_eq!(builder.metadata().file_metadata().num_rows(), 40_000);
}
