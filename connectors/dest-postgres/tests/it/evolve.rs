//! Schema evolution by content: each axis under each policy in each write mode, in what is logged and in what stands in the
//! table; what forbids a change; nothing changed without the rows that needed it.

use std::sync::Arc;

use rapidbyte_sdk::arrow::array::*;
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::TestHost;

use crate::harness::{Database, stream, write_with};

const MODES: [WriteMode; 3] = [WriteMode::Append, WriteMode::Upsert, WriteMode::Replace];

/// What a pipeline gets that says nothing.
pub const USUAL: Policies = Policies {
    on_data_error: DataErrorPolicy::Fail,
    new_column: NewColumnPolicy::Add,
    removed_column: RemovedColumnPolicy::Ignore,
    type_change: TypeChangePolicy::Coerce,
    nullability_change: NullabilityChangePolicy::Allow,
};

/// `id int8 NOT NULL` and further columns.
pub fn batch(ids: &[i64], others: Vec<(&str, bool, ArrayRef)>) -> RecordBatch {
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec()))];
    for (name, nullable, array) in others {
        fields.push(Field::new(name, array.data_type().clone(), nullable));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn context(batch: &RecordBatch, mode: WriteMode, policies: Policies) -> StreamContext {
    let mut context = stream("t", batch.schema(), mode);
    context.policies = policies;
    context
}

/// Axis, column and action of every change that was logged.
fn logged(host: &TestHost) -> Vec<String> {
    let text = |line: &rapidbyte_sdk::testing::LogLine, name: &str| {
        let field = line.fields.iter().find(|(field, _)| field == name);
        match field {
            Some((_, FieldValue::Text(text))) => text.clone(),
            _ => String::new(),
        }
    };
    let changes = host.logs().into_iter().filter(|line| text(line, "event") == "schema_change");
    changes
        .map(|line| {
            let (axis, action) = (text(&line, "axis"), text(&line, "action"));
            let alters = matches!(action.as_str(), "add" | "drop" | "widen")
                || axis == "nullability_change" && action == "null";
            assert_eq!(!text(&line, "sql").is_empty(), alters, "{line:?}");
            format!("{axis} {} {action}", text(&line, "column"))
        })
        .collect()
}

/// Runs over a table made by `sql`. A dry run comes first: it says the same and changes nothing.
fn run(
    database: &Database,
    sql: &str,
    batch: &RecordBatch,
    mode: WriteMode,
    policies: Policies,
) -> (Result<RunSummary, ConnectorError>, Vec<String>) {
    database.clear();
    database.run(&format!("CREATE SCHEMA raw; {sql}"));
    let context = context(batch, mode, policies);
    let catalog = || {
        database.query(
            "SELECT md5(string_agg(a::text, ',' ORDER BY attrelid, attnum)) FROM pg_attribute a \
             JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'raw'::regnamespace",
        )
    };
    let before = catalog();
    let dry = TestHost::new();
    let mut request = RunRequest::write(context.clone());
    request.dry_run = true;
    let planned = write_with(&dry, database.config(), request);
    assert_eq!(catalog(), before, "a dry run changes nothing");
    let (result, host) = database.write(&context, |host| {
        host.feed_batch(batch);
        host.feed_end();
    });
    if let Err(planned) = planned {
        let error = result.as_ref().unwrap_err();
        assert_eq!((&planned.code, &planned.message), (&error.code, &error.message));
        assert_eq!(catalog().len(), before.len());
    }
    if result.is_ok() {
        let (mut planned, mut done) = (logged(&dry), logged(&host));
        planned.sort();
        done.sort();
        if mode != WriteMode::Replace {
            assert_eq!(planned, done, "what a dry run announces is what a run does");
        }
    }
    assert_eq!(database.leftovers(), "");
    (result, logged(&dry))
}

/// Columns with types and NOT NULL, in order.
fn columns(database: &Database) -> String {
    database.query(
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END, \
         ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'raw.t'::regclass AND attnum > 0 AND NOT attisdropped",
    )
}

/// The old row is there unless the table was replaced.
fn expect(database: &Database, mode: WriteMode, old: &str, new: &[&str], label: &str) {
    let mut rows: Vec<String> = new.iter().map(|row| (*row).to_owned()).collect();
    if mode != WriteMode::Replace {
        rows.push(old.to_owned());
    }
    rows.sort();
    assert_eq!(database.rows("raw.t"), rows, "{label}");
}

const BASE: &str =
    "CREATE TABLE raw.t (id int8 NOT NULL PRIMARY KEY, name text); INSERT INTO raw.t VALUES (1, 'old')";

#[test]
fn new_columns() {
    let database = Database::new();
    let incoming =
        batch(&[2, 3], vec![("name", true, texts(&["b", "c"])), ("extra", false, texts(&["x", "y"]))]);
    for mode in MODES {
        let with = |new_column| Policies { new_column, ..USUAL };
        let (result, changes) = run(&database, BASE, &incoming, mode, with(NewColumnPolicy::Add));
        result.unwrap();
        assert_eq!(changes, ["new_column extra add"]);
        assert_eq!(columns(&database), "id bigint!, name text, extra text", "{mode}");
        expect(&database, mode, "(1,old,)", &["(2,b,x)", "(3,c,y)"], mode.as_str());

        let (result, changes) = run(&database, BASE, &incoming, mode, with(NewColumnPolicy::Ignore));
        result.unwrap();
        assert_eq!(changes, ["new_column extra ignore"]);
        assert_eq!(columns(&database), "id bigint!, name text", "{mode}");
        expect(&database, mode, "(1,old)", &["(2,b)", "(3,c)"], mode.as_str());

        let (result, changes) = run(&database, BASE, &incoming, mode, with(NewColumnPolicy::Fail));
        let error = result.unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "schema_mismatch"));
        assert!(error.message.contains("lacks `extra`"), "{}", error.message);
        assert_eq!(changes, ["new_column extra refuse"]);
        assert_eq!(database.rows("raw.t"), ["(1,old)"], "{mode}");
    }
}

#[test]
fn removed_columns() {
    let database = Database::new();
    let incoming = batch(&[2], vec![]);
    let required = "CREATE TABLE raw.t (id int8 NOT NULL PRIMARY KEY, name text NOT NULL); INSERT INTO raw.t VALUES (1, 'old')";
    for mode in MODES {
        let with = |removed_column| Policies { removed_column, ..USUAL };
        let (result, changes) = run(&database, BASE, &incoming, mode, with(RemovedColumnPolicy::Ignore));
        result.unwrap();
        assert_eq!(changes, ["removed_column name ignore"]);
        expect(&database, mode, "(1,old)", &["(2,)"], mode.as_str());

        let (result, changes) = run(&database, required, &incoming, mode, with(RemovedColumnPolicy::Ignore));
        result.unwrap();
        assert_eq!(changes, ["nullability_change name null"]);
        assert_eq!(columns(&database), "id bigint!, name text", "{mode}");
        expect(&database, mode, "(1,old)", &["(2,)"], mode.as_str());

        let strict = Policies { nullability_change: NullabilityChangePolicy::Fail, ..USUAL };
        let error = run(&database, required, &incoming, mode, strict).0.unwrap_err();
        assert!(error.message.contains("lacks `name`, which must not be NULL"), "{}", error.message);
        assert_eq!(database.rows("raw.t"), ["(1,old)"], "{mode}");

        let (result, changes) = run(&database, BASE, &incoming, mode, with(RemovedColumnPolicy::Drop));
        result.unwrap();
        assert_eq!(changes, ["removed_column name drop"]);
        assert_eq!(columns(&database), "id bigint!", "{mode}");
        expect(&database, mode, "(1)", &["(2)"], mode.as_str());

        let error = run(&database, BASE, &incoming, mode, with(RemovedColumnPolicy::Fail)).0.unwrap_err();
        assert!(error.message.contains("lacks `name`"), "{}", error.message);
        assert_eq!(database.rows("raw.t"), ["(1,old)"], "{mode}");
    }
}

#[test]
fn nullability() {
    let database = Database::new();
    let incoming = batch(&[2], vec![("name", true, Arc::new(StringArray::from(vec![None::<&str>])))]);
    let required = "CREATE TABLE raw.t (id int8 NOT NULL PRIMARY KEY, name text NOT NULL); INSERT INTO raw.t VALUES (1, 'old')";
    for mode in MODES {
        let (result, changes) = run(&database, required, &incoming, mode, USUAL);
        result.unwrap();
        assert_eq!(changes, ["nullability_change name null"]);
        assert_eq!(columns(&database), "id bigint!, name text", "{mode}");
        expect(&database, mode, "(1,old)", &["(2,)"], mode.as_str());

        let strict = Policies { nullability_change: NullabilityChangePolicy::Fail, ..USUAL };
        let (result, changes) = run(&database, required, &incoming, mode, strict);
        let error = result.unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "schema_mismatch"));
        assert!(error.message.contains("`name` may be NULL in the stream"), "{}", error.message);
        assert_eq!(changes, ["nullability_change name refuse"]);
        assert_eq!(database.rows("raw.t"), ["(1,old)"], "{mode}");
    }
}

/// Type of the table, one value in it, what the stream brings; type of the table afterwards and the new value in it.
type Coercion = (&'static str, &'static str, ArrayRef, &'static str, &'static str);

fn coercions() -> Vec<Coercion> {
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    let timestamp = |micros: i64| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![micros])) };
    vec![
        // The column widens.
        ("integer", "1", Arc::new(Int64Array::from(vec![1 << 40])), "bigint", "1099511627776"),
        ("smallint", "1", Arc::new(Int32Array::from(vec![70_000])), "integer", "70000"),
        ("real", "1.5", Arc::new(Float64Array::from(vec![0.1])), "double precision", "0.1"),
        ("integer", "1", Arc::new(Float64Array::from(vec![0.5])), "double precision", "0.5"),
        ("integer", "1", decimal(1_234_567, 12, 2), "numeric(12,2)", "12345.67"),
        ("numeric(4,2)", "1.25", decimal(12_345_678, 8, 4), "numeric(8,4)", "1234.5678"),
        ("numeric(4,2)", "1.25", Arc::new(Int32Array::from(vec![7])), "numeric(12,2)", "7.00"),
        ("character varying(3)", "abc", texts(&["longer"]), "text", "longer"),
        (
            "date",
            "2024-01-01",
            timestamp(1_704_164_645_000_001),
            "timestamp without time zone",
            "2024-01-02 03:04:05.000001",
        ),
        (
            "timestamp(0) without time zone",
            "2024-01-01",
            timestamp(1),
            "timestamp without time zone",
            "1970-01-01 00:00:00.000001",
        ),
        // The value is converted.
        ("text", "a", Arc::new(Int32Array::from(vec![-7])), "text", "-7"),
        ("text", "a", Arc::new(BooleanArray::from(vec![true])), "text", "true"),
        ("text", "a", Arc::new(Float64Array::from(vec![1e300])), "text", "1e+300"),
        ("text", "a", timestamp(1), "text", "1970-01-01 00:00:00.000001"),
        (
            "character varying(5)",
            "a",
            Arc::new(Int32Array::from(vec![12_345])),
            "character varying(5)",
            "12345",
        ),
        ("integer", "1", texts(&[" 42 "]), "integer", "42"),
        ("numeric(5,2)", "1", texts(&["1.50"]), "numeric(5,2)", "1.50"),
        ("boolean", "t", texts(&["yes"]), "boolean", "t"),
        ("date", "2024-01-01", texts(&["2024-02-29"]), "date", "2024-02-29"),
        (
            "timestamp with time zone",
            "2024-01-01",
            texts(&["2024-02-29T12:00:00+02"]),
            "timestamp with time zone",
            "2024-02-29 10:00:00+00",
        ),
        (
            "uuid",
            "00000000-0000-0000-0000-000000000001",
            texts(&["AB000000-0000-0000-0000-000000000002"]),
            "uuid",
            "ab000000-0000-0000-0000-000000000002",
        ),
        ("jsonb", "1", texts(&["{\"a\": 1}"]), "jsonb", "{\"a\": 1}"),
        ("inet", "::1", texts(&["10.0.0.1"]), "inet", "10.0.0.1"),
        ("integer[]", "{1}", texts(&["{1,2}"]), "integer[]", "{1,2}"),
        ("bigint", "1", Arc::new(Float64Array::from(vec![3.0])), "bigint", "3"),
        (
            "double precision",
            "1",
            Arc::new(Int64Array::from(vec![1 << 53])),
            "double precision",
            "9.007199254740992e+15",
        ),
        (
            "timestamp without time zone",
            "2024-01-01",
            Arc::new(Date32Array::from(vec![1])),
            "timestamp without time zone",
            "1970-01-02 00:00:00",
        ),
        ("numeric(12,2)", "1", Arc::new(Int32Array::from(vec![7])), "numeric(12,2)", "7.00"),
    ]
}

fn typed_table(type_name: &str, value: &str) -> String {
    format!(
        "CREATE TABLE raw.t (id int8 NOT NULL PRIMARY KEY, v {type_name}); INSERT INTO raw.t VALUES (1, '{value}')"
    )
}

#[test]
fn types_that_go_together_are_coerced() {
    let database = Database::new();
    for (old_type, old, array, new_type, value) in coercions() {
        for mode in MODES {
            let label = format!("{old_type} and {} in mode {mode}", array.data_type());
            let incoming = batch(&[2], vec![("v", true, array.clone())]);
            let (result, changes) = run(&database, &typed_table(old_type, old), &incoming, mode, USUAL);
            result.unwrap_or_else(|error| panic!("{label}: {error:?}"));
            let action = if old_type == new_type { "convert" } else { "widen" };
            assert_eq!(changes, [format!("type_change v {action}")], "{label}");
            assert_eq!(columns(&database), format!("id bigint!, v {new_type}"), "{label}");
            let found = database.query("SET timezone = 'UTC'; SELECT v FROM raw.t WHERE id = 2");
            assert_eq!(found, value, "{label}");
            if mode != WriteMode::Replace {
                let kept = format!("SELECT v = '{old}'::{old_type} FROM raw.t WHERE id = 1");
                assert_eq!(database.query(&kept.replace("v =", &format!("v::{old_type} ="))), "t", "{label}");
            }
        }
    }
}

/// What the table's type does not hold.
fn misfits() -> Vec<(&'static str, &'static str, ArrayRef)> {
    vec![
        ("integer", "1", texts(&["seven"])),
        ("integer", "1", texts(&["1.5"])),
        ("integer", "1", texts(&["99999999999"])),
        ("numeric(5,2)", "1", texts(&["1.005"])),
        ("numeric(5,2)", "1", texts(&["12345.0"])),
        ("date", "2024-01-01", texts(&["2023-02-30"])),
        ("date", "2024-01-01", texts(&["2023-02-03 04:05:06"])),
        ("timestamp without time zone", "2024-01-01", texts(&["2023-02-03 04:05:06+02"])),
        ("timestamp(0) without time zone", "2024-01-01", texts(&["2023-02-03 04:05:06.5"])),
        ("bigint", "1", Arc::new(Float64Array::from(vec![0.5]))),
        ("bigint", "1", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("character varying(3)", "a", Arc::new(Int32Array::from(vec![12_345]))),
        ("double precision", "1", Arc::new(Int64Array::from(vec![(1 << 53) + 1]))),
        ("uuid", "00000000-0000-0000-0000-000000000001", texts(&["no"])),
        ("jsonb", "1", texts(&["{"])),
        ("inet", "::1", texts(&["no address"])),
    ]
}

#[test]
fn a_value_that_does_not_fit_is_a_data_error_or_null() {
    let database = Database::new();
    for (old_type, old, array) in misfits() {
        for mode in MODES {
            let label = format!("{old_type} and {array:?} in mode {mode}");
            let incoming = batch(&[2], vec![("v", true, array.clone())]);
            let table = typed_table(old_type, old);
            let error = run(&database, &table, &incoming, mode, USUAL).0.unwrap_err();
            assert_eq!(error.category, ErrorCategory::Data, "{label}: {error:?}");
            assert!(error.message.contains("column `v` in row 1"), "{label}: {}", error.message);
            assert_eq!(error.commit, Some(CommitState::BeforeCommit), "{label}");
            assert_eq!(database.query("SELECT count(*) FROM raw.t"), "1", "{label}");

            let null = Policies { type_change: TypeChangePolicy::Null, ..USUAL };
            let (result, changes) = run(&database, &table, &incoming, mode, null);
            result.unwrap_or_else(|error| panic!("{label}: {error:?}"));
            assert_eq!(changes, ["type_change v null"], "{label}");
            assert_eq!(database.query("SELECT v IS NULL FROM raw.t WHERE id = 2"), "t", "{label}");
        }
    }
}

#[test]
fn null_keeps_what_fits() {
    let database = Database::new();
    let incoming = batch(&[2, 3, 4], vec![("v", true, texts(&["5", "six", "7"]))]);
    let null = Policies { type_change: TypeChangePolicy::Null, ..USUAL };
    for mode in MODES {
        run(&database, &typed_table("smallint", "1"), &incoming, mode, null).0.unwrap();
        expect(&database, mode, "(1,1)", &["(2,5)", "(3,)", "(4,7)"], mode.as_str());
        assert_eq!(columns(&database), "id bigint!, v smallint");
    }
    // There is no way from one to the other: no value fits.
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    let incoming = batch(&[2, 3, 4], vec![("v", true, flags)]);
    run(&database, &typed_table("smallint", "1"), &incoming, WriteMode::Append, null).0.unwrap();
    assert_eq!(database.rows("raw.t"), ["(1,1)", "(2,)", "(3,)", "(4,)"]);
}

#[test]
fn ignored_types_leave_the_column_to_the_table() {
    let database = Database::new();
    let ignore = Policies { type_change: TypeChangePolicy::Ignore, ..USUAL };
    let incoming = batch(&[1, 2], vec![("v", true, texts(&["x", "y"]))]);
    let table = "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int4 NOT NULL DEFAULT 7); INSERT INTO raw.t VALUES (1, 5)";
    let (result, changes) = run(&database, table, &incoming, WriteMode::Upsert, ignore);
    result.unwrap();
    assert_eq!(changes, ["type_change v ignore"]);
    assert_eq!(database.rows("raw.t"), ["(1,5)", "(2,7)"]);
    let (result, _) = run(&database, table, &incoming, WriteMode::Replace, ignore);
    result.unwrap();
    assert_eq!(database.rows("raw.t"), ["(1,7)", "(2,7)"]);
}

#[test]
fn types_without_a_safe_way_are_refused() {
    let database = Database::new();
    let zoned = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    let cases: Vec<(&str, &str, ArrayRef)> = vec![
        ("integer", "1", Arc::new(BooleanArray::from(vec![true]))),
        ("timestamp without time zone", "2024-01-01", Arc::new(zoned)),
        ("bytea", "a", texts(&["a"])),
    ];
    for (old_type, old, array) in cases {
        for mode in MODES {
            let incoming = batch(&[2], vec![("v", true, array.clone())]);
            let (result, changes) = run(&database, &typed_table(old_type, old), &incoming, mode, USUAL);
            let error = result.unwrap_err();
            assert_eq!(error.code, "schema_mismatch", "{old_type}");
            assert!(error.message.contains("no value is safe to convert: `v`"), "{}", error.message);
            assert_eq!(changes, ["type_change v refuse"]);
        }
    }
}

#[test]
fn what_forbids_a_change_is_named_with_a_next_step() {
    let database = Database::new();
    let incoming = batch(&[2], vec![("v", true, Arc::new(Int64Array::from(vec![1_i64 << 40])) as ArrayRef)]);
    let drop = Policies { removed_column: RemovedColumnPolicy::Drop, ..USUAL };
    let base = "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int4, gone int4)";
    for (sql, policies, parts) in [
        (format!("{base}; CREATE VIEW raw.totals AS SELECT sum(v) FROM raw.t"), USUAL, ["`v`", "view totals"]),
        (
            "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int4, w int4 GENERATED ALWAYS AS (v + 1) STORED)".to_owned(),
            USUAL,
            ["`v`", "column w"],
        ),
        ("CREATE TABLE raw.t (id int8, v int4) PARTITION BY LIST (v)".to_owned(), USUAL, ["`v`", "partitioned by it"]),
        (
            "CREATE TABLE raw.p (id int8, v int4) PARTITION BY LIST (id); CREATE TABLE raw.t PARTITION OF raw.p DEFAULT".to_owned(),
            USUAL,
            ["`v`", "table p"],
        ),
        (format!("{base}; CREATE INDEX by_gone ON raw.t (gone, v)"), drop, ["`gone`", "index by_gone"]),
        (format!("{base}; ALTER TABLE raw.t ADD UNIQUE (gone)"), drop, ["`gone`", "t_gone_key"]),
        (format!("{base}; CREATE VIEW raw.w AS SELECT gone FROM raw.t"), drop, ["`gone`", "view w"]),
    ] {
        for mode in [WriteMode::Append, WriteMode::Replace] {
            let error = run(&database, &sql, &incoming, mode, policies).0.unwrap_err();
            assert_eq!(error.code, "schema_mismatch", "{sql}: {error:?}");
            for part in parts {
                assert!(error.message.contains(part), "{part}: {}", error.message);
            }
        }
    }
    // An index over the column is built anew by the server; a default of its own goes with it.
    let fine = format!("{base}; CREATE INDEX ON raw.t (v); ALTER TABLE raw.t ALTER v SET DEFAULT 3");
    for mode in MODES {
        run(&database, &fine, &incoming, mode, drop).0.unwrap();
        assert_eq!(columns(&database), "id bigint!, v bigint", "{mode}");
        assert_eq!(database.query("SELECT count(*) FROM pg_index WHERE indrelid = 'raw.t'::regclass"), "2");
    }
}

#[test]
fn a_partitioned_table_is_altered_as_a_whole() {
    let database = Database::new();
    let incoming = batch(
        &[2],
        vec![
            ("v", true, Arc::new(Int64Array::from(vec![1_i64 << 40])) as ArrayRef),
            ("w", true, texts(&["x"])),
        ],
    );
    let sql = "CREATE TABLE raw.t (id int8, v int4) PARTITION BY LIST (id); CREATE TABLE raw.d PARTITION OF raw.t DEFAULT; \
               INSERT INTO raw.t VALUES (1, 1)";
    for mode in [WriteMode::Append, WriteMode::Replace] {
        run(&database, sql, &incoming, mode, USUAL).0.unwrap();
        expect(&database, mode, "(1,1,)", &["(2,1099511627776,x)"], mode.as_str());
        assert_eq!(database.rows("raw.d"), database.rows("raw.t"));
    }
}

#[test]
fn a_replace_in_place_alters_the_table_that_others_depend_on() {
    let database = Database::new();
    let incoming = batch(&[2], vec![("name", true, texts(&["b"])), ("extra", true, texts(&["x"]))]);
    let sql = format!("{BASE}; CREATE VIEW raw.names AS SELECT name FROM raw.t");
    run(&database, &sql, &incoming, WriteMode::Replace, USUAL).0.unwrap();
    assert_eq!(database.rows("raw.t"), ["(2,b,x)"]);
    assert_eq!(database.rows("raw.names"), ["(b)"]);
}

#[test]
fn the_table_changes_with_the_first_rows_and_never_before() {
    let incoming = batch(&[2], vec![("name", true, texts(&["b"])), ("extra", true, texts(&["x"]))]);
    for mode in MODES {
        let database = Database::new();
        database.run(&format!("CREATE SCHEMA raw; {BASE}"));
        let context = context(&incoming, mode, USUAL);
        // The source dies behind rows, but before a checkpoint.
        let (result, host) = database.write(&context, |host| {
            host.feed_batch(&incoming);
            host.feed_failure();
        });
        result.unwrap_err();
        assert_eq!(columns(&database), "id bigint!, name text", "{mode}");
        assert_eq!(logged(&host), [""; 0], "nothing is told that was not done");
        // And without a single row nothing needs the change.
        if mode != WriteMode::Replace {
            let (result, _) = database.write(&context, |host| {
                host.feed_end();
            });
            result.unwrap();
            assert_eq!(columns(&database), "id bigint!, name text", "{mode}");
        }
    }
}

#[test]
fn later_checkpoints_go_on_in_the_altered_table() {
    let database = Database::new();
    for mode in MODES {
        database.clear();
        database.run(&format!("CREATE SCHEMA raw; {BASE}"));
        let part =
            |id: i64| batch(&[id], vec![("name", true, texts(&["n"])), ("extra", true, texts(&["x"]))]);
        let (result, _) = database.write(&context(&part(0), mode, USUAL), |host| {
            for id in 2..5 {
                host.feed_batch(&part(id));
                host.feed_checkpoint(None);
            }
            host.feed_end();
        });
        assert_eq!(result.unwrap().write.unwrap().records, 3);
        expect(&database, mode, "(1,old,)", &["(2,n,x)", "(3,n,x)", "(4,n,x)"], mode.as_str());
    }
}
