//! The connector as a host drives it: folders of files in, catalog, batches and checkpoints out.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use rapidbyte_text::TextColumn;
use serde_json::{Value, json};

use crate::SourceFile;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write_parquet(&self, name: &str, batches: &[RecordBatch], compression: Compression) {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties)).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        self.write(name, &bytes);
    }

    fn config(&self, rest: Value) -> Value {
        let mut config = json!({ "path": self.path().to_str().unwrap() });
        config.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        config
    }

    fn discover(&self, rest: Value) -> Result<Vec<CatalogStream>, ConnectorError> {
        block_on(async {
            let host = TestHost::new();
            let mut source = host.source::<SourceFile>(self.config(rest)).await?;
            Ok(source.run(RunRequest::discover()).await?.catalog.unwrap().streams)
        })
    }

    fn stream(&self, name: &str, rest: Value) -> StreamContext {
        let streams = self.discover(rest).unwrap();
        let stream = streams.into_iter().find(|stream| stream.name == name).unwrap();
        StreamContext::new(name, stream.schema)
    }

    fn run(&self, rest: Value, request: RunRequest) -> (TestHost, Result<RunSummary, ConnectorError>) {
        let host = TestHost::new();
        let summary = block_on(async {
            let mut source = host.source::<SourceFile>(self.config(rest)).await?;
            source.run(request).await
        });
        (host, summary)
    }

    /// All of a stream's records as text.
    fn read(&self, name: &str, rest: Value) -> Result<Vec<String>, ConnectorError> {
        let stream = self.stream(name, rest.clone());
        let (host, summary) = self.run(rest, RunRequest::read(stream));
        summary.map(|_| rows(&host))
    }

    /// What an incremental run from a position emits, and the position it ends at.
    fn increment(
        &self,
        name: &str,
        cursor: &str,
        position: Option<CursorValue>,
    ) -> (Vec<String>, Option<CursorValue>) {
        let stream = incremental(self.stream(name, json!({})), cursor, position);
        let (host, summary) = self.run(json!({}), RunRequest::read(stream));
        summary.unwrap();
        let mut checkpoints = host.emitted_checkpoints();
        assert!(checkpoints.len() <= 1, "files are in no order: one checkpoint at the end");
        (rows(&host), checkpoints.pop().map(|checkpoint| checkpoint.cursor.unwrap().value))
    }
}

fn incremental(mut stream: StreamContext, cursor: &str, position: Option<CursorValue>) -> StreamContext {
    stream.sync_mode = SyncMode::Incremental;
    stream.cursor = Some(CursorSpec { field: cursor.to_owned(), tie_breaker: Vec::new() });
    stream.position = position;
    stream
}

fn rows(host: &TestHost) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in host.emitted_batches() {
        let schema = batch.schema();
        let columns: Vec<TextColumn<'_>> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| TextColumn::new(field, array).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| {
                    let mut text = String::new();
                    if column.is_null(row) {
                        text.push('∅');
                    } else {
                        column.write(row, &mut text);
                    }
                    text
                })
                .collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

fn types(stream: &CatalogStream) -> Vec<(String, DataType)> {
    stream.schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

#[test]
fn csv_is_inferred_and_read() {
    let folder = Folder::new(&[(
        "orders.csv",
        "id,amount,paid,day,at,at_utc,zip,note,nothing\n\
         1,9.5,true,2024-02-29,2024-02-29 10:00:00,2024-02-29T10:00:00+01:00,01234,\"a, \"\"b\"\"\nc\",\n\
         2,10,false,2024-03-01,2024-02-29T10:00:00.5,2024-02-29T10:00:00Z,99999,\"\",\n\
         3,,,,,,,,\n",
    )]);
    let streams = folder.discover(json!({})).unwrap();
    assert_eq!(streams.len(), 1);
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let expected = [
        ("id", DataType::Int64),
        ("amount", DataType::Float64),
        ("paid", DataType::Boolean),
        ("day", DataType::Date32),
        ("at", micros(None)),
        ("at_utc", micros(Some("UTC"))),
        ("zip", DataType::Utf8),
        ("note", DataType::Utf8),
        ("nothing", DataType::Utf8),
    ];
    assert_eq!(types(&streams[0]), expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    assert_eq!(streams[0].cursor_fields, ["id", "day", "at", "at_utc", "zip", "note", "nothing"]);
    assert_eq!(streams[0].estimated_rows, Some(3));
    assert_eq!(
        folder.read("orders", json!({})).unwrap(),
        [
            "1|9.5|true|2024-02-29|2024-02-29T10:00:00|2024-02-29T09:00:00Z|01234|a, \"b\"\nc|∅",
            "2|10.0|false|2024-03-01|2024-02-29T10:00:00.5|2024-02-29T10:00:00Z|99999||∅",
            "3|∅|∅|∅|∅|∅|∅|∅|∅",
        ]
    );
}

#[test]
fn json_lines_are_inferred_and_read() {
    let folder = Folder::new(&[(
        "events.jsonl",
        "{\"id\":1,\"tags\":[1, 2],\"at\":\"2024-01-01T00:00:00Z\",\"mixed\":1}\n\
         \n\
         {\"mixed\":\"1\",\"id\":2,\"extra\":\"\\u00e9\",\"at\":null}\n",
    )]);
    let streams = folder.discover(json!({})).unwrap();
    let names: Vec<&str> = streams[0].schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "tags", "at", "mixed", "extra"]);
    let metadata = streams[0].schema.field(1).metadata();
    assert_eq!(metadata.get("ARROW:extension:name").map(String::as_str), Some("arrow.json"));
    assert_eq!(
        folder.read("events", json!({})).unwrap(),
        ["1|[1,2]|2024-01-01T00:00:00Z|1|∅", "2|∅|∅|\"1\"|é"]
    );
}

#[test]
fn options_of_csv_and_given_types() {
    let folder = Folder::new(&[("prices.csv", "1;'x;y';NULL\n2;'';1.10\n")]);
    let options = json!({
        "csv": { "delimiter": ";", "quote": "'", "header": false, "columns": ["id", "name", "price"], "null_values": ["NULL"] },
        "types": { "id": "utf8", "prices.price": "decimal(10,3)" },
    });
    assert_eq!(folder.read("prices", options).unwrap(), ["1|x;y|∅", "2||1.100"]);
    let plain = folder.discover(json!({ "csv": { "delimiter": ";", "header": false } })).unwrap();
    assert_eq!(plain[0].schema.field(2).name(), "column_3");
    let error = folder.discover(json!({ "types": { "cost": "utf8" } })).unwrap_err();
    assert!(error.message.contains("`types.cost`"), "{}", error.message);
}

#[test]
fn tabs_and_a_single_column_of_nulls() {
    let folder = Folder::new(&[("a.tsv", "x\ty\n1\t2\n"), ("b.csv", "x\n1\n\n\"\"\n3\n")]);
    assert_eq!(folder.read("a", json!({})).unwrap(), ["1|2"]);
    assert_eq!(folder.read("b", json!({})).unwrap(), ["1", "∅", "", "3"]);
}

#[test]
fn a_later_value_that_does_not_fit_is_named() {
    let folder = Folder::new(&[
        ("a.csv", "id,n\n1,1\n2,2\n3,x\n"),
        ("b.jsonl", "{\"n\":1}\n{\"n\":2}\n\n{\"n\":\"x\"}\n"),
        ("c.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"m\":3}\n"),
        ("d.csv", "id,n\n1,1\n2,2\n3\n"),
        ("e.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3\n"),
        ("f.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3,\"n\":4}\n"),
    ]);
    for (stream, code, parts) in [
        ("a", "value_does_not_fit", ["a.csv`, line 4", "column `n`: `x` is no int64"]),
        ("b", "value_does_not_fit", ["b.jsonl`, line 4", "column `n`: `\"x\"` is no int64"]),
        ("c", "unknown_column", ["c.jsonl`, line 3", "key `m`"]),
        ("d", "wrong_field_count", ["d.csv`, line 4", "1 fields, the columns are 2"]),
        ("e", "bad_json", ["e.jsonl`, line 3", "EOF"]),
        ("f", "bad_json", ["f.jsonl`, line 3", "key `n` appears twice"]),
    ] {
        let error = folder.read(stream, json!({ "infer_rows": 2 })).unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, code), "{}", error.message);
        parts.iter().for_each(|part| assert!(error.message.contains(part), "{stream}: {}", error.message));
    }
}

#[test]
fn refused_records_follow_the_policy() {
    let folder = Folder::new(&[("a.csv", "id,n\n1,1\n2,x\n3,3\n")]);
    let mut stream = folder.stream("a", json!({ "infer_rows": 1 }));
    stream.policies.on_data_error = DataErrorPolicy::Dlq;
    let (host, summary) = folder.run(json!({ "infer_rows": 1 }), RunRequest::read(stream));
    let read = summary.unwrap().read.unwrap();
    assert_eq!((read.records, read.skipped), (2, 1));
    assert_eq!(rows(&host), ["1|1", "3|3"]);
    let dead_letters = host.dead_letters();
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].0.column(2).as_string::<i32>().value(0), "2,x");
    assert_eq!(dead_letters[0].1[0].code, "value_does_not_fit");
}

#[test]
fn headers_are_checked_by_name() {
    for (text, part) in [
        ("a,b,a\n", "columns 1 and 3 are both named `a`"),
        ("a,,b\n", "column 2 has no name"),
        ("", "the file is empty"),
    ] {
        let folder = Folder::new(&[("odd.csv", text)]);
        let error = folder.discover(json!({})).unwrap_err();
        assert_eq!(error.category, ErrorCategory::Schema);
        assert!(error.message.contains(part) && error.message.contains("odd.csv"), "{}", error.message);
    }
    let folder = Folder::new(&[("odd.jsonl", "{\"\":1}\n")]);
    assert!(folder.discover(json!({})).unwrap_err().message.contains("line 1: a column has no name"));
    let odd = Folder::new(&[("odd.csv", "select,\"a \"\"b\"\"\",é\n1,2,3\n")]);
    assert_eq!(odd.discover(json!({})).unwrap()[0].schema.field(1).name(), "a \"b\"");
}

#[test]
fn files_of_one_stream_are_read_in_order_and_must_agree() {
    let folder =
        Folder::new(&[("s/2.csv", "b,a\nx,2\n"), ("s/10.csv", "a,b\n10,y\n"), ("s/1.csv", "a,b\n1,\n")]);
    assert_eq!(folder.read("s", json!({})).unwrap(), ["1|∅", "10|y", "2|x"]);
    folder.write("s/3.csv", b"a,c\n1,2\n");
    let error = folder.discover(json!({})).unwrap_err();
    assert!(error.message.contains("3.csv") && error.message.contains("`c`"), "{}", error.message);
    folder.write("s/3.csv", b"a\n1\n");
    let error = folder.discover(json!({})).unwrap_err();
    assert!(error.message.contains("3.csv") && error.message.contains("`b` is missing"), "{}", error.message);
}

fn sample_batch() -> RecordBatch {
    let kinds: DictionaryArray<arrow_array::types::Int32Type> =
        vec!["x", "y", "x", "y"].into_iter().collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![4, 1, 3, 2])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("d"), None, Some("c"), Some("b")])) as ArrayRef),
        ("kind", Arc::new(kinds) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn parquet_is_read_with_its_own_types() {
    let folder = Folder::new(&[]);
    let codecs = [
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
        Compression::UNCOMPRESSED,
    ];
    for compression in codecs {
        folder.write_parquet("p.parquet", &[sample_batch()], compression);
        let stream = &folder.discover(json!({})).unwrap()[0];
        assert_eq!(stream.schema.field(2).data_type(), &DataType::Utf8, "dictionaries do not cross");
        assert_eq!(stream.estimated_rows, Some(4));
        assert_eq!(
            folder.read("p", json!({})).unwrap(),
            ["4|d|x", "1|∅|y", "3|c|x", "2|b|y"],
            "{compression:?}"
        );
    }
    let mut projected = folder.stream("p", json!({}));
    projected.columns = vec!["kind".into(), "id".into()];
    let (host, summary) = folder.run(json!({}), RunRequest::read(projected));
    summary.unwrap();
    assert_eq!(rows(&host), ["x|4", "y|1", "x|3", "y|2"]);
}

#[test]
fn parquet_files_of_one_stream_must_agree() {
    let folder = Folder::new(&[]);
    folder.write_parquet("p/1.parquet", &[sample_batch()], Compression::SNAPPY);
    folder.write_parquet("p/2.parquet", &[sample_batch().project(&[2, 0, 1]).unwrap()], Compression::SNAPPY);
    assert_eq!(folder.read("p", json!({})).unwrap().len(), 8, "the order of columns does not matter");
    let other =
        RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["1"])) as ArrayRef)]).unwrap();
    folder.write_parquet("p/3.parquet", &[other], Compression::SNAPPY);
    let error = folder.discover(json!({})).unwrap_err();
    assert!(
        error.message.contains("3.parquet") && error.message.contains("`id` is `Utf8`"),
        "{}",
        error.message
    );
}

#[test]
fn damaged_parquet_is_an_error_not_a_panic() {
    let folder = Folder::new(&[]);
    folder.write_parquet("p.parquet", &[sample_batch()], Compression::SNAPPY);
    let whole = fs::read(folder.path().join("p.parquet")).unwrap();
    for cut in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        folder.write("p.parquet", &whole[..cut]);
        let error = folder.discover(json!({})).unwrap_err();
        assert!(error.message.contains("p.parquet"), "{}", error.message);
    }
    // The footer is read when streams are looked for; a damaged page further on is for the sandbox to contain.
    let footer = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    for index in whole.len() - 8 - footer..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x55;
        folder.write("p.parquet", &damaged);
        // Whatever it says, it comes back.
        let _ = folder.discover(json!({}));
    }
}

#[test]
fn incremental_runs_move_only_what_is_new() {
    let folder = Folder::new(&[("o.csv", "id,at\n2,2024-01-02\n1,2024-01-01\n")]);
    let (first, position) = folder.increment("o", "id", None);
    assert_eq!((first.len(), position.clone()), (2, Some(CursorValue::Int64(2))));
    assert_eq!(
        folder.increment("o", "id", position.clone()),
        (vec![], None),
        "no new records, no checkpoint"
    );
    folder.write("o.csv", b"id,at\n4,2024-01-02\n2,2024-01-02\n1,2024-01-01\n3,2024-01-05\n");
    let (second, position) = folder.increment("o", "id", position);
    assert_eq!(
        (second, position),
        (vec!["4|2024-01-02".into(), "3|2024-01-05".into()], Some(CursorValue::Int64(4)))
    );
    let (by_day, position) = folder.increment("o", "at", Some(CursorValue::Utf8("2024-01-02".into())));
    assert_eq!(
        (by_day, position),
        (vec!["3|2024-01-05".into()], Some(CursorValue::Utf8("2024-01-05".into())))
    );
    let folder = Folder::new(&[]);
    folder.write_parquet("p.parquet", &[sample_batch()], Compression::SNAPPY);
    let (some, position) = folder.increment("p", "id", Some(CursorValue::Int64(2)));
    assert_eq!((some, position), (vec!["4|d|x".into(), "3|c|x".into()], Some(CursorValue::Int64(4))));
}

#[test]
fn the_cursor_need_not_be_among_the_columns() {
    let folder = Folder::new(&[("o.csv", "id,name\n1,a\n2,b\n")]);
    folder.write_parquet("p.parquet", &[sample_batch()], Compression::SNAPPY);
    for (stream, expected) in [("o", vec!["b"]), ("p", vec!["d", "c", "b"])] {
        let mut context = incremental(folder.stream(stream, json!({})), "id", Some(CursorValue::Int64(1)));
        context.columns = vec!["name".into()];
        let (host, summary) = folder.run(json!({}), RunRequest::read(context));
        summary.unwrap();
        assert_eq!(rows(&host), expected);
        assert_eq!(host.emitted_batches()[0].num_columns(), 1);
    }
}

#[test]
fn a_record_without_place_in_the_order_is_never_lost_silently() {
    let folder = Folder::new(&[
        ("o.csv", "id,at\n1,2024-01-01\n2,\n"),
        ("i.csv", "id,at\n1,infinity\n2,2024-01-01\n"),
    ]);
    for (stream, code, line) in [("o", "null_cursor", "line 3"), ("i", "infinite_cursor", "line 2")] {
        let context = incremental(folder.stream(stream, json!({})), "at", None);
        let (_, summary) = folder.run(json!({}), RunRequest::read(context));
        let error = summary.unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(line) && error.message.contains("`at`"), "{}", error.message);
    }
    folder.write_parquet("p.parquet", &[sample_batch()], Compression::SNAPPY);
    let context = incremental(folder.stream("p", json!({})), "name", None);
    let error = folder.run(json!({}), RunRequest::read(context)).1.unwrap_err();
    assert!(error.message.contains("row 2, column `name` is NULL"), "{}", error.message);
}

#[test]
fn cursors_that_cannot_be_are_refused() {
    let folder = Folder::new(&[("o.csv", "id,f\n1,0.5\n")]);
    for (field, position, part) in [
        ("f", None, "cannot order"),
        ("nope", None, "no column `nope`"),
        ("id", Some(CursorValue::Utf8("x".into())), "saved position"),
    ] {
        let context = incremental(folder.stream("o", json!({})), field, position);
        let error = folder.run(json!({}), RunRequest::read(context)).1.unwrap_err();
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[test]
fn batches_are_bounded_and_large_records_refused_by_name() {
    let mut text = String::from("id,blob\n");
    for id in 0..200 {
        text.push_str(&format!("{id},{}\n", "x".repeat(1_000)));
    }
    let folder = Folder::new(&[("big.csv", &text)]);
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..200)) as ArrayRef),
        ("blob", Arc::new(StringArray::from_iter_values((0..200).map(|_| "x".repeat(1_000)))) as ArrayRef),
    ])
    .unwrap();
    folder.write_parquet("bigp.parquet", &[batch], Compression::SNAPPY);
    for name in ["big", "bigp"] {
        let mut stream = folder.stream(name, json!({}));
        stream.limits.max_batch_bytes = 40_000;
        let (host, summary) = folder.run(json!({}), RunRequest::read(stream.clone()));
        assert_eq!(summary.unwrap().read.unwrap().records, 200);
        let batches = host.emitted_batches();
        assert!(batches.len() >= 10, "{name}: {}", batches.len());
        assert!(batches.iter().all(|batch| batch.num_rows() <= 20));
        let ids: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert_eq!(ids, (0..200).collect::<Vec<_>>());
        stream.limits.max_batch_bytes = 2_000;
        stream.limits.max_record_bytes = 900;
        let error = folder.run(json!({}), RunRequest::read(stream)).1.unwrap_err();
        assert_eq!(error.code, "record_too_large");
        assert!(error.message.contains(name), "{}", error.message);
    }
}

#[test]
fn a_run_can_be_dry_short_or_cancelled() {
    let text: String = (0..1_000).fold(String::from("id\n"), |text, id| text + &format!("{id}\n"));
    let folder = Folder::new(&[("n.csv", &text)]);
    let ids =
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from_iter_values(0..1_000)) as ArrayRef)])
            .unwrap();
    folder.write_parquet("p.parquet", &[ids], Compression::SNAPPY);
    for name in ["n", "p"] {
        let mut stream = incremental(folder.stream(name, json!({})), "id", None);
        stream.limits.max_batch_bytes = 1_600;
        let request = RunRequest::read(stream);

        let dry = RunRequest { dry_run: true, ..request.clone() };
        let (host, summary) = folder.run(json!({}), dry);
        assert_eq!(summary.unwrap().read.unwrap().records, 0);
        assert!(host.emitted().is_empty());

        let short = RunRequest { max_records: Some(150), ..request.clone() };
        let (host, summary) = folder.run(json!({}), short);
        assert_eq!(summary.unwrap().read.unwrap().records, 150);
        assert!(host.emitted_checkpoints().is_empty(), "what was not read is not covered");

        let host = TestHost::new();
        host.cancel_after_batches(2);
        let summary = block_on(async {
            let mut source = host.source::<SourceFile>(folder.config(json!({}))).await?;
            source.run(request.clone()).await
        });
        assert_eq!(summary.unwrap().read.unwrap().batches, 2);
        assert!(host.emitted_checkpoints().is_empty());
    }
    fs::remove_file(folder.path().join("n.csv")).unwrap();
    let stream =
        StreamContext::new("n", Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])));
    let dry = RunRequest { dry_run: true, ..RunRequest::read(stream) };
    assert_eq!(folder.run(json!({}), dry).1.unwrap_err().code, "stream_not_found");
}

#[test]
fn text_that_is_not_utf8_is_named() {
    let folder = Folder::new(&[]);
    folder.write("l.csv", b"id,name\n1,caf\xe9\n");
    folder.write("j.jsonl", b"{\"id\":1}\n{\"name\":\"caf\xe9\"}\n");
    let error = folder.read("l", json!({})).unwrap_err();
    assert!(error.message.contains("line 2, column `name`: the text is not UTF-8"), "{}", error.message);
    let error = folder.read("j", json!({})).unwrap_err();
    assert!(error.message.contains("line 2: the text is not UTF-8"), "{}", error.message);
}

#[test]
fn validate_says_what_is_there() {
    let folder = Folder::new(&[("a.csv", "x\n"), ("b/1.jsonl", ""), ("b/2.jsonl", "")]);
    let report = |folder: &Folder| {
        block_on(async {
            let source = TestHost::new().source::<SourceFile>(folder.config(json!({}))).await.unwrap();
            source.validate().await.unwrap()
        })
    };
    let found = report(&folder);
    assert_eq!(found.status, ValidationStatus::Success);
    assert!(found.message.ends_with("2 streams in 3 files"), "{}", found.message);
    assert_eq!(report(&Folder::new(&[("readme.md", "")])).status, ValidationStatus::Failed);
}
