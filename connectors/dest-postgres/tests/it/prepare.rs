//! What a run finds and makes before its first row; dry runs; `validate`; rights.

use std::sync::Arc;

use rapidbyte_postgres::types::{Codec, ColumnType, Enumeration, Form};
use rapidbyte_sdk::arrow::array::{ArrayRef, Int16Array, Int64Array, RecordBatch, StringArray};
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::Value;

use crate::harness::{Database, people, people_schema, people_stream, stream, write_with};

fn run(database: &Database, stream: StreamContext) -> Result<RunSummary, ConnectorError> {
    let host = TestHost::new();
    host.feed_end();
    write_with(&host, database.config(), RunRequest::write(stream))
}

fn dry_run(database: &Database, stream: StreamContext) -> Result<RunSummary, ConnectorError> {
    dry_run_with(database.config(), stream)
}

fn dry_run_with(config: Value, stream: StreamContext) -> Result<RunSummary, ConnectorError> {
    let mut request = RunRequest::write(stream);
    request.dry_run = true;
    write_with(&TestHost::new(), config, request)
}

/// Both a run and a dry run end with the same error.
fn refused(database: &Database, stream: &StreamContext) -> ConnectorError {
    let dry = dry_run(database, stream.clone()).unwrap_err();
    let error = run(database, stream.clone()).unwrap_err();
    assert_eq!((&dry.code, &dry.message), (&error.code, &error.message));
    error
}

#[test]
fn a_table_that_does_not_fit_is_refused_and_every_column_named() {
    let database = Database::new();
    database.run(
        "CREATE SCHEMA raw; CREATE TABLE raw.people (id int4, \"Birth Day\" date NOT NULL, note text, \
         since timestamptz NOT NULL DEFAULT now(), no int GENERATED ALWAYS AS IDENTITY)",
    );
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert] {
        let error = refused(&database, &people_stream(mode));
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "schema_mismatch"));
        for part in [
            "lacks `name`",
            "`Birth Day`",
            "lacks `note`",
            "`id` (`bigint` in the stream, `integer` in the table)",
        ] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
        for part in ["since", "`no`"] {
            assert!(!error.message.contains(part), "{part}: {}", error.message);
        }
    }
}

#[test]
fn a_table_with_more_and_wider_columns_fits() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (extra text, n int8, d text DEFAULT 'd', s varchar)");
    let schema = Arc::new(Schema::new(vec![
        Field::new("s", DataType::Utf8, true),
        Field::new("n", DataType::Int16, true),
    ]));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(Int16Array::from(vec![Some(-5)]))];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut stream = stream("t", schema.clone(), WriteMode::Append);
    stream.policies.removed_column = RemovedColumnPolicy::Ignore;
    let (result, _) = database.write(&stream, |host| {
        host.feed_batch(&batch);
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.t"), ["(,-5,d,x)"]);
    // NULL where the table has a key is a data error, whatever the policies say.
    database.run("ALTER TABLE raw.t ADD PRIMARY KEY (s)");
    stream.policies.nullability_change = NullabilityChangePolicy::Allow;
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![None::<&str>])), Arc::new(Int16Array::from(vec![1]))];
    let (result, _) = database.write_behind(1, &stream, |host| {
        host.feed_batch(&RecordBatch::try_new(schema.clone(), columns.clone()).unwrap());
        host.feed_end();
    });
    let error = result.unwrap_err();
    assert_eq!(error.code, "null_not_allowed");
    assert!(error.message.contains("column `s` in row 1"), "{}", error.message);
}

#[test]
fn only_tables_are_written() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE VIEW raw.people AS SELECT 1::int8 AS id, 'x'::text AS name");
    assert_eq!(refused(&database, &people_stream(WriteMode::Append)).code, "not_a_table");
}

#[test]
fn a_key_without_an_index_gets_one_unless_rows_forbid_it() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.people (id int8, name text); INSERT INTO raw.people VALUES (1, 'a')");
    // A partial, a deferrable and an expression index are of no use to `ON CONFLICT`.
    database.run(
        "CREATE UNIQUE INDEX ON raw.people (id) WHERE id > 0; CREATE UNIQUE INDEX ON raw.people ((id + 0)); \
         ALTER TABLE raw.people ADD UNIQUE (id) DEFERRABLE",
    );
    dry_run(&database, people_stream(WriteMode::Upsert)).unwrap();
    assert_eq!(database.query("SELECT count(*) FROM pg_index WHERE indrelid = 'raw.people'::regclass"), "3");
    run(&database, people_stream(WriteMode::Upsert)).unwrap();
    assert_eq!(database.query("SELECT count(*) FROM pg_index WHERE indrelid = 'raw.people'::regclass"), "4");

    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.people (id int8, name text); INSERT INTO raw.people VALUES (1, 'a'), (1, 'b')");
    let error = run(&database, people_stream(WriteMode::Upsert)).unwrap_err();
    assert_eq!(error.code, "duplicate_keys");
    assert_eq!(database.rows("raw.people"), ["(1,a)", "(1,b)"]);
}

#[test]
fn keys_and_updates_must_be_columns() {
    let database = Database::new();
    let with = |key: &[&str], update: &[&str]| {
        let mut stream = people_stream(WriteMode::Merge);
        let plan = stream.write.as_mut().unwrap();
        plan.primary_key = key.iter().map(|name| (*name).to_owned()).collect();
        plan.update_columns = update.iter().map(|name| (*name).to_owned()).collect();
        refused(&database, &stream)
    };
    for (key, update, field) in [
        (&[][..], &[][..], "primary_key"),
        (&["nope"], &[], "primary_key"),
        (&["id", "id"], &[], "primary_key"),
        (&["id"], &["nope"], "update_columns"),
        (&["id"], &["id"], "update_columns"),
    ] {
        let error = with(key, update);
        assert_eq!(error.category, ErrorCategory::Config);
        assert!(error.details.as_deref().unwrap().contains(field), "{error:?}");
    }
}

fn mood(labels: &[&str]) -> SchemaRef {
    let origin = ColumnType {
        type_name: "app.\"Mood\"".into(),
        form: Form::Native,
        codec: Codec::Utf8,
        enumeration: Some(Enumeration {
            name: "Mood".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        }),
    };
    Arc::new(Schema::new(vec![origin.field("mood", true)]))
}

#[test]
fn enums_are_created_checked_and_filled() {
    let database = Database::new();
    let schema = mood(&["sad", "it's", "glad"]);
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![Arc::new(StringArray::from(vec!["glad", "it's"])) as ArrayRef],
    );
    let (result, _) = database.write(&stream("t", schema, WriteMode::Append), |host| {
        host.feed_batch(&batch.unwrap());
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.query("SELECT enum_range(NULL::raw.\"Mood\")"), "{sad,it's,glad}");
    assert_eq!(database.rows("raw.t"), ["(glad)", "(it's)"]);
    run(&database, stream("u", mood(&["sad", "glad"]), WriteMode::Append)).unwrap();
    for labels in [&["sad", "new"][..], &["glad", "sad"]] {
        let error = refused(&database, &stream("v", mood(labels), WriteMode::Append));
        assert_eq!(error.code, "enum_mismatch");
        assert!(error.message.contains("column `mood`"), "{}", error.message);
    }
    database.run("CREATE TABLE raw.w (mood text)");
    assert_eq!(refused(&database, &stream("w", mood(&["sad"]), WriteMode::Append)).code, "schema_mismatch");
}

#[test]
fn a_type_the_database_does_not_have_is_refused_by_column() {
    let database = Database::new();
    let origin = ColumnType {
        type_name: "app.address".into(),
        form: Form::Text,
        codec: Codec::Utf8,
        enumeration: None,
    };
    let schema = Arc::new(Schema::new(vec![origin.field("home", true)]));
    let error = refused(&database, &stream("t", schema.clone(), WriteMode::Append));
    assert_eq!(error.code, "unknown_type");
    assert!(error.message.contains("column `home`"), "{}", error.message);
    database.run("CREATE SCHEMA app; CREATE TYPE app.address AS (street text, no int)");
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![Arc::new(StringArray::from(vec!["(\"Main Street\",5)"])) as ArrayRef],
    );
    let (result, _) = database.write(&stream("t", schema, WriteMode::Append), |host| {
        host.feed_batch(&batch.unwrap());
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.query("SELECT (home).no FROM raw.t"), "5");
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let database = Database::new();
    let catalog = || {
        database.query("SELECT count(*), max(oid::int8) FROM (SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_namespace UNION ALL SELECT oid FROM pg_type) o")
    };
    let before = catalog();
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert, WriteMode::Merge] {
        let summary = dry_run(&database, people_stream(mode)).unwrap().write.unwrap();
        assert_eq!(summary, WriteSummary::default());
    }
    dry_run(&database, stream("t", mood(&["a"]), WriteMode::Append)).unwrap();
    assert_eq!(catalog(), before);
    run(&database, people_stream(WriteMode::Upsert)).unwrap();
    let before = catalog();
    dry_run(&database, people_stream(WriteMode::Upsert)).unwrap();
    assert_eq!(catalog(), before);
}

#[test]
fn missing_rights_are_named_before_anything_moves() {
    let database = Database::new();
    database.run(&format!(
        "CREATE ROLE limited LOGIN; REVOKE ALL ON DATABASE {} FROM PUBLIC; GRANT CONNECT ON DATABASE {} TO limited",
        database.name, database.name
    ));
    let mut config = database.config();
    config["user"] = "limited".into();
    let dry = |stream| dry_run_with(config.clone(), stream);
    let error = dry(people_stream(WriteMode::Append)).unwrap_err();
    assert_eq!(error.category, ErrorCategory::Permission);
    assert!(
        error.message.contains("`limited`") && error.message.contains("schema `raw`"),
        "{}",
        error.message
    );
    database.run("CREATE SCHEMA raw");
    assert!(
        dry(people_stream(WriteMode::Append)).unwrap_err().message.contains("create tables in schema `raw`")
    );
    database.run("GRANT USAGE, CREATE ON SCHEMA raw TO limited");
    dry(people_stream(WriteMode::Append)).unwrap();
    database.run("CREATE TABLE raw.people (id int8, name text)");
    let error = dry(people_stream(WriteMode::Append)).unwrap_err();
    assert!(error.message.contains("INSERT"), "{}", error.message);
    database.run("GRANT INSERT ON raw.people TO limited");
    dry(people_stream(WriteMode::Append)).unwrap();
    let error = dry(people_stream(WriteMode::Upsert)).unwrap_err();
    assert_eq!(error.code, "no_unique_index");
    // A role that may insert and no more can append.
    let host = TestHost::new();
    host.feed_batch(&people(&[(1, "a")]));
    host.feed_end();
    write_with(&host, config.clone(), RunRequest::write(people_stream(WriteMode::Append))).unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,a)"]);

    let validate = |config: Value| {
        block_on(async {
            let session = TestHost::new().destination::<dest_postgres::DestPostgres>(config).await.unwrap();
            session.validate().await
        })
    };
    let report = validate(config.clone()).unwrap();
    assert_eq!(report.status, ValidationStatus::Warning);
    assert!(report.message.contains("schema `raw` exists"), "{}", report.message);
    assert!(report.warnings[0].contains("TEMPORARY"), "{:?}", report.warnings);
    config["schema"] = "other".into();
    assert_eq!(validate(config).unwrap_err().category, ErrorCategory::Permission);
    assert!(validate(database.config()).unwrap().warnings.is_empty());
    database.run("DROP OWNED BY limited; DROP ROLE limited");
}

#[test]
fn two_hundred_columns_with_odd_names() {
    let database = Database::new();
    let odd = ["select", "A b", "ü\"ü", "it's", "a.b", "$1", "--", "_rapidbyte_row", "id"];
    let names: Vec<String> =
        odd.iter().map(|name| (*name).to_owned()).chain((0..200).map(|n| format!("Column {n}"))).collect();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Int64, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|n| Arc::new(Int64Array::from(vec![n as i64, -(n as i64)])) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    for (index, mode) in [WriteMode::Append, WriteMode::Upsert, WriteMode::Replace].into_iter().enumerate() {
        let table = ["Order \"Table\"", "user", "ünï"][index];
        let (result, _) = database.write(&stream(&table.replace('"', "'"), schema.clone(), mode), |host| {
            host.feed_batch(&batch);
            host.feed_end();
        });
        result.unwrap();
        let table = rapidbyte_postgres::identifier::quote(&table.replace('"', "'"));
        let sums = names.iter().map(|name| rapidbyte_postgres::identifier::quote(name));
        let difference: Vec<String> = sums.enumerate().map(|(n, name)| format!("{name} = {n}")).collect();
        assert_eq!(
            database.query(&format!("SELECT count(*) FROM raw.{table} WHERE {}", difference.join(" AND "))),
            "1"
        );
        assert_eq!(database.query(&format!("SELECT count(*) FROM raw.{table}")), "2");
    }
}

#[test]
fn names_too_long_for_postgresql_are_refused_not_cut() {
    let database = Database::new();
    let error = refused(&database, &stream(&"t".repeat(64), people_schema(), WriteMode::Append));
    assert_eq!(error.code, "invalid_table_name");
    let schema = Arc::new(Schema::new(vec![Field::new("c".repeat(64), DataType::Int32, true)]));
    assert_eq!(refused(&database, &stream("t", schema, WriteMode::Append)).code, "invalid_column_name");
}

#[test]
fn the_config_is_checked_field_by_field() {
    let database = Database::new();
    for (field, value) in [
        ("schema", Value::from("")),
        ("schema", "pg_catalog".into()),
        ("schema", "s".repeat(64).into()),
        ("lock_wait_seconds", 0.into()),
        ("host", "".into()),
        ("port", 0.into()),
    ] {
        let mut config = database.config();
        config[field] = value.clone();
        let error = write_with(&TestHost::new(), config, RunRequest::write(people_stream(WriteMode::Append)));
        let error = error.unwrap_err();
        assert_eq!(error.category, ErrorCategory::Config, "{field} {value}: {error:?}");
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
}
