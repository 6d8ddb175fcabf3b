//! The connector as a host drives it: rules in, schemas and masked batches out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{EmittedEvent, TestHost, block_on};
use serde_json::{Value, json};

use crate::TransformMask;

const KEY: &str = "a key for tests";

fn people() -> RecordBatch {
    let metadata = HashMap::from([("postgres.type".to_owned(), "character varying(20)".to_owned())]);
    let fields = vec![
        Field::new("id", DataType::Int64, false)
            .with_metadata(HashMap::from([("k".to_owned(), "v".to_owned())])),
        Field::new("Email", DataType::Utf8, true).with_metadata(metadata),
        Field::new("born", DataType::Date32, false),
        Field::new("score", DataType::Float64, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("ané@x.org"), None, Some("")])),
        Arc::new(Date32Array::from(vec![0, 1, 2])),
        Arc::new(Float64Array::from(vec![Some(0.5), None, Some(1.0)])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn discover(rules: Value) -> Result<(TestHost, CatalogStream), ConnectorError> {
    block_on(async {
        let host = TestHost::new();
        let mut mask = host.transform::<TransformMask>(json!({ "key": KEY, "rules": rules })).await?;
        let stream = StreamContext::new("people", people().schema());
        let mut catalog = mask.run(RunRequest::discover_stream(stream)).await?.catalog.unwrap();
        assert_eq!(catalog.streams.len(), 1);
        Ok((host, catalog.streams.remove(0)))
    })
}

/// Masks a batch; what comes out has the schema that discovery announced.
fn mask(rules: Value) -> RecordBatch {
    let (_, announced) = discover(rules.clone()).unwrap();
    let out = block_on(async {
        let host = TestHost::new();
        host.feed_batch(&people());
        host.feed_end();
        let mut mask = host.transform::<TransformMask>(json!({ "key": KEY, "rules": rules })).await.unwrap();
        mask.run(RunRequest::transform(StreamContext::new("people", people().schema()))).await.unwrap();
        host.emitted_batches().remove(0)
    });
    assert_eq!(out.schema(), announced.schema);
    out
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    batch
        .column_by_name(column)
        .unwrap()
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect()
}

#[test]
fn hashes_are_keyed_stable_and_keep_null() {
    let out = mask(json!([{ "columns": ["Email", "id", "born"], "action": "hash" }]));
    // From `printf '%s' TEXT | openssl dgst -sha256 -hmac 'a key for tests'`.
    let expected = HASHES;
    let email = texts(&out, "Email");
    assert_eq!(email[0].as_deref(), Some(expected[0]));
    assert_eq!(email[1], None);
    assert_eq!(email[2].as_deref(), Some(expected[1]), "an empty text is a value");
    assert_eq!(texts(&out, "id")[0].as_deref(), Some(expected[2]));
    assert_eq!(texts(&out, "born")[0].as_deref(), Some(expected[3]));
    let field = out.schema().field_with_name("id").unwrap().clone();
    assert_eq!((field.data_type(), field.is_nullable(), field.metadata().len()), (&DataType::Utf8, false, 0));
}

/// Of `ané@x.org`, the empty text, `1` and `1970-01-01`.
const HASHES: [&str; 4] = [
    "ac46bc5b5f2109514651cc23c59a0d08b8def37cc51ba1ecd92270d7971be956",
    "e18c7111c956cf1a6c703562133dae9ccf35832ed87ef0092905d362cb92a784",
    "c3856f2bdc851b57a768e681c826126f3c0df4ef90aa0f42c7d11c39dd8fa78e",
    "e3610cbddf5640831c97d40d0f6da0d6dbce5e73aba0c258e046ce4400c26594",
];

#[test]
fn redacts_truncates_nulls_and_drops() {
    let out = mask(json!([
        { "columns": ["Email"], "action": "truncate", "length": 3 },
        { "columns": ["born"], "action": "redact" },
        { "columns": ["score"], "action": "redact", "replacement": "?" },
        { "columns": ["id"], "action": "null" },
    ]));
    assert_eq!(texts(&out, "Email"), [Some("ané".into()), None, Some(String::new())]);
    assert_eq!(texts(&out, "born"), vec![Some("***".to_owned()); 3]);
    assert_eq!(texts(&out, "score"), [Some("?".into()), None, Some("?".into())]);
    assert_eq!(out.column_by_name("id").unwrap().null_count(), 3);
    let schema = out.schema();
    let id = schema.field_with_name("id").unwrap();
    assert_eq!((id.data_type(), id.is_nullable()), (&DataType::Int64, true));
    assert!(id.metadata().contains_key("k"), "the type is kept, and what is known of it");
    assert!(schema.field_with_name("Email").unwrap().metadata().contains_key("postgres.type"));

    let out = mask(json!([{ "columns": ["Email", "born"], "action": "drop" }]));
    let names: Vec<&str> = out.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "score"]);
}

#[test]
fn truncated_json_and_enums_are_only_text() {
    for (key, value) in
        [("ARROW:extension:name", "arrow.json"), ("postgres.type", "mood"), ("postgres.type", "text[]")]
    {
        let field =
            Field::new("c", DataType::Utf8, true).with_metadata(HashMap::from([(key.into(), value.into())]));
        let schema = Arc::new(Schema::new(vec![field]));
        let out = block_on(async {
            let config = json!({ "rules": [{ "columns": ["c"], "action": "truncate", "length": 1 }] });
            let mut mask = TestHost::new().transform::<TransformMask>(config).await.unwrap();
            mask.run(RunRequest::discover_stream(StreamContext::new("s", schema)))
                .await
                .unwrap()
                .catalog
                .unwrap()
        });
        assert!(out.streams[0].schema.field(0).metadata().is_empty(), "{key}: {value}");
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let out = mask(json!([
        { "columns": ["Email"], "action": "redact", "replacement": "named" },
        { "pattern": "*MAIL*", "action": "drop" },
        { "pattern": "s?ore", "action": "null" },
    ]));
    assert_eq!(texts(&out, "Email")[0].as_deref(), Some("named"));
    assert_eq!(out.column_by_name("score").unwrap().null_count(), 3);
}

#[test]
fn a_name_that_is_not_there_is_an_error_a_pattern_a_warning() {
    let error = discover(json!([{ "columns": ["id", "emial"], "action": "hash" }])).err().unwrap();
    assert_eq!(error.category, ErrorCategory::Config);
    assert!(
        error.message.contains("`rules[0].columns`") && error.message.contains("`emial`"),
        "{}",
        error.message
    );
    discover(json!([{ "columns": ["emial"], "action": "hash", "if_present": true }])).unwrap();
    let (host, out) = discover(json!([{ "pattern": "*phone*", "action": "hash" }])).unwrap();
    assert_eq!(out.schema, people().schema());
    assert_eq!(host.logs().len(), 1);
}

#[test]
fn bad_rules_are_refused_by_field() {
    let open = |config: Value| {
        block_on(async { TestHost::new().transform::<TransformMask>(config).await.err().unwrap() })
    };
    for (config, field) in [
        (json!({ "rules": [] }), "rules"),
        (json!({ "rules": [{ "columns": ["a"], "action": "hash" }] }), "key"),
        (json!({ "key": "short", "rules": [{ "columns": ["a"], "action": "drop" }] }), "key"),
        (json!({ "rules": [{ "action": "drop" }] }), "rules[0].columns"),
        (json!({ "rules": [{ "columns": ["a"], "pattern": "b", "action": "drop" }] }), "rules[0].columns"),
        (json!({ "rules": [{ "columns": ["a"], "action": "erase" }] }), "rules[0].action"),
        (json!({ "rules": [{ "columns": ["a"], "action": "truncate" }] }), "rules[0].length"),
        (json!({ "rules": [{ "columns": ["a"], "action": "drop", "length": 1 }] }), "rules[0].length"),
        (
            json!({ "rules": [{ "columns": ["a"], "action": "null", "replacement": "x" }] }),
            "rules[0].replacement",
        ),
        (
            json!({ "rules": [{ "columns": ["a"], "action": "null" }, { "columns": ["a"], "action": "drop" }] }),
            "rules[1].columns",
        ),
    ] {
        let error = open(config.clone());
        assert_eq!(error.category, ErrorCategory::Config, "{config}");
        assert!(error.message.contains(&format!("`{field}`")), "{config}: {}", error.message);
        assert!(!error.message.contains("short"), "a key is never shown: {}", error.message);
    }
    let error = discover(json!([{ "columns": ["id"], "action": "truncate", "length": 1 }])).err().unwrap();
    assert!(error.message.contains("`id`") && error.message.contains("no text"), "{}", error.message);
    let error = discover(json!([{ "pattern": "*", "action": "drop" }])).err().unwrap();
    assert!(error.message.contains("no column of stream `people` is left"), "{}", error.message);
}

#[test]
fn order_and_checkpoints_are_kept_and_batches_stay_small() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
    let batch = |range: std::ops::Range<i32>| {
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from_iter_values(range))]).unwrap()
    };
    let host = TestHost::new();
    host.feed_batch(&batch(0..1_000));
    host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(999))));
    host.feed_batch(&batch(1_000..1_010));
    host.feed_end();
    let mut stream = StreamContext::new("s", schema.clone());
    stream.limits.max_batch_bytes = 16_000;
    let summary = block_on(async {
        let config = json!({ "key": KEY, "rules": [{ "columns": ["n"], "action": "hash" }] });
        let mut mask = host.transform::<TransformMask>(config).await.unwrap();
        mask.run(RunRequest::transform(stream)).await.unwrap().transform.unwrap()
    });
    assert_eq!((summary.records_in, summary.records_out), (1_010, 1_010));
    let mut rows = Vec::new();
    let mut checkpoints = Vec::new();
    for event in host.emitted() {
        match event {
            EmittedEvent::Batch(batch) => {
                assert!(batch.num_rows() <= 150, "{}", batch.num_rows());
                rows.extend(texts(&batch, "n"));
            }
            EmittedEvent::Checkpoint(checkpoint) => checkpoints.push((rows.len(), checkpoint.complete)),
        }
    }
    assert_eq!(checkpoints, [(1_000, false), (1_010, true)]);
    let expected = mask_numbers(&schema, 0..1_010);
    assert_eq!(rows, expected, "in the order they came");
}

fn mask_numbers(schema: &Arc<Schema>, range: std::ops::Range<i32>) -> Vec<Option<String>> {
    let array: ArrayRef = Arc::new(Int32Array::from_iter_values(range));
    let hasher = crate::mask::Hasher::new(KEY);
    let hashed = crate::mask::hash(schema.field(0), &array, &hasher).unwrap();
    hashed.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}
