//! Records that the server refuses under `skip` and `dlq`: handed over with the server's code, everything else committed,
//! each exactly once.

use std::sync::Arc;

use rapidbyte_postgres::types::{Codec, ColumnType, Form};
use rapidbyte_sdk::arrow::array::cast::AsArray;
use rapidbyte_sdk::arrow::array::*;
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::TestHost;

use crate::evolve::{USUAL, batch};
use crate::harness::{Database, cursor, stream};

const ROWS: i64 = 300;
/// Ids of the records that are refused: the first, neighbours, the last of a batch, one alone.
const BAD: [i64; 6] = [0, 41, 42, 99, 150, 299];

fn policies(on_data_error: DataErrorPolicy) -> Policies {
    Policies { on_data_error, ..USUAL }
}

/// A way to refuse a value: the table, the value that is fine, the one that is not, and the code it is refused with.
struct Way {
    code: &'static str,
    table: &'static str,
    field: Field,
    good: ArrayRef,
    bad: ArrayRef,
}

fn way(code: &'static str, table: &'static str, good: ArrayRef, bad: ArrayRef) -> Way {
    Way { code, table, field: Field::new("v", good.data_type().clone(), true), good, bad }
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn ways() -> Vec<Way> {
    let origin =
        ColumnType { type_name: "inet".into(), form: Form::Text, codec: Codec::Utf8, enumeration: None };
    // Too long for an index, however it is compressed.
    let mut state = 1_u64;
    let long: String = (0..8_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (state >> 33) as u8 % 26)
        })
        .collect();
    vec![
        way("23514", "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8 CHECK (v < 10))", int(1), int(10)),
        way(
            "23514",
            "CREATE DOMAIN raw.small AS int8 CHECK (VALUE < 10); CREATE TABLE raw.t (id int8 PRIMARY KEY, v raw.small)",
            text("1"),
            text("10"),
        ),
        way(
            "23503",
            "CREATE TABLE raw.parent (v int8 PRIMARY KEY); INSERT INTO raw.parent VALUES (1); \
             CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8 REFERENCES raw.parent)",
            int(1),
            int(2),
        ),
        way(
            "23505",
            "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8); CREATE UNIQUE INDEX ON raw.t (v) WHERE v = 2; \
             INSERT INTO raw.t VALUES (-1, 2)",
            int(1),
            int(2),
        ),
        way("nul_byte_in_text", "CREATE TABLE raw.t (id int8 PRIMARY KEY, v text)", text("a"), text("a\0b")),
        way("22P02", "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int4)", text("7"), text("seven")),
        way("22003", "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int2)", text("7"), text("70000")),
        way("22P02", "CREATE TABLE raw.t (id int8 PRIMARY KEY, v varchar(3))", int(123), int(1234)),
        way(
            "P0001",
            "CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8); CREATE FUNCTION raw.f() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF NEW.v = 2 THEN RAISE EXCEPTION ''no twos''; END IF; RETURN NEW; END'; \
             CREATE TRIGGER f BEFORE INSERT ON raw.t FOR EACH ROW EXECUTE FUNCTION raw.f()",
            int(1),
            int(2),
        ),
        way(
            "54000",
            "CREATE TABLE raw.t (id int8 PRIMARY KEY, v text); CREATE INDEX ON raw.t (v)",
            text("short"),
            text(&long),
        ),
        Way {
            code: "22P02",
            table: "CREATE TABLE raw.t (id int8 PRIMARY KEY, v inet)",
            field: origin.field("v", true),
            good: text("::1"),
            bad: text("no address"),
        },
    ]
}

impl Way {
    fn rows(&self, ids: std::ops::Range<i64>) -> RecordBatch {
        let values: Vec<&dyn Array> =
            ids.clone().map(|id| if BAD.contains(&id) { &*self.bad } else { &*self.good }).collect();
        let fields = vec![Field::new("id", DataType::Int64, false), self.field.clone()];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_iter_values(ids)), arrow_select::concat::concat(&values).unwrap()];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn context(&self, mode: WriteMode, on_data_error: DataErrorPolicy) -> StreamContext {
        let mut context = stream("t", self.rows(0..1).schema(), mode);
        context.policies = policies(on_data_error);
        context
    }
}

/// Ids of the dead letters, and their codes.
fn letters(host: &TestHost) -> (Vec<i64>, Vec<String>) {
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    for (records, errors) in host.dead_letters() {
        assert_eq!(records.num_rows(), errors.len());
        ids.extend(records.column(0).as_primitive::<types::Int64Type>().values());
        for (row, error) in errors.iter().enumerate() {
            assert_eq!(error.row as usize, row);
            assert!(!error.message.is_empty() && error.message.len() < 5_000);
            codes.push(error.code.clone());
        }
    }
    (ids, codes)
}

#[test]
fn whatever_the_server_refuses_is_handed_over_and_the_rest_written() {
    let database = Database::new();
    for way in ways() {
        for mode in [WriteMode::Append, WriteMode::Upsert] {
            for policy in [DataErrorPolicy::Dlq, DataErrorPolicy::Skip] {
                let label = format!("{} in mode {mode}: {}", way.code, way.table);
                database.clear();
                database.run(&format!("CREATE SCHEMA raw; {}", way.table));
                let (result, host) = database.write(&way.context(mode, policy), |host| {
                    for start in (0..ROWS).step_by(100) {
                        host.feed_batch(&way.rows(start..start + 100));
                        host.feed_checkpoint(cursor(start));
                    }
                    host.feed_end();
                });
                let summary = result.unwrap_or_else(|error| panic!("{label}: {error:?}")).write.unwrap();
                assert_eq!((summary.records, summary.failed), (294, 6), "{label}");
                let (ids, codes) = letters(&host);
                assert_eq!(ids, BAD, "{label}");
                assert!(codes.iter().all(|code| code == way.code), "{label}: {codes:?}");
                let missing = database.query(
                    "SELECT string_agg(n::text, ',' ORDER BY n) FROM generate_series(0, 299) n \
                     WHERE NOT EXISTS (SELECT FROM raw.t WHERE id = n)",
                );
                assert_eq!(missing, "0,41,42,99,150,299", "{label}");
                assert_eq!(database.query("SELECT count(*) FROM raw.t WHERE id >= 0"), "294", "{label}");
                assert_eq!(database.query("SELECT checkpoint_id FROM raw._rapidbyte_receipts"), "4");
            }
        }
    }
}

#[test]
fn what_no_binary_form_has_is_refused_without_the_server() {
    // NULL where the table has its key, which no policy lifts.
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (id int8, v text PRIMARY KEY)");
    let values: Vec<Option<String>> =
        (0..100).map(|n| if n % 30 == 7 { None } else { Some(format!("value {n}")) }).collect();
    let rows = batch(&(0..100).collect::<Vec<i64>>(), vec![("v", true, Arc::new(StringArray::from(values)))]);
    let mut context = stream("t", rows.schema(), WriteMode::Append);
    context.policies = policies(DataErrorPolicy::Dlq);
    let (result, host) = database.write(&context, |host| {
        host.feed_batch(&rows);
        host.feed_end();
    });
    assert_eq!(result.unwrap().write.unwrap().failed, 4);
    let (ids, codes) = letters(&host);
    assert_eq!(ids, [7, 37, 67, 97]);
    assert_eq!(codes, ["null_not_allowed"; 4]);
    assert_eq!(database.query("SELECT count(*), sum(id) FROM raw.t"), "96|4742");
}

#[test]
fn the_last_of_equal_keys_still_wins_where_others_are_refused() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8 CHECK (v < 100))");
    let rows =
        batch(&[1, 2, 1, 3, 1, 2], vec![("v", true, Arc::new(Int64Array::from(vec![1, 2, 3, 100, 4, 500])))]);
    let mut context = stream("t", rows.schema(), WriteMode::Upsert);
    context.policies = policies(DataErrorPolicy::Dlq);
    let (result, host) = database.write(&context, |host| {
        host.feed_batch(&rows);
        host.feed_end();
    });
    let summary = result.unwrap().write.unwrap();
    assert_eq!((summary.records, summary.failed), (4, 2));
    assert_eq!(letters(&host).0, [3, 2]);
    assert_eq!(database.rows("raw.t"), ["(1,4)", "(2,2)"]);
}

#[test]
fn a_replace_leaves_refused_records_out() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (id int8, v int8 CHECK (v < 100)); INSERT INTO raw.t VALUES (9, 9)");
    let rows = batch(&[1, 2, 3], vec![("v", true, Arc::new(Int64Array::from(vec![1, 100, 3])))]);
    let mut context = stream("t", rows.schema(), WriteMode::Replace);
    context.policies = policies(DataErrorPolicy::Dlq);
    let (result, host) = database.write(&context, |host| {
        host.feed_batch(&rows);
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(letters(&host).0, [2]);
    assert_eq!(database.rows("raw.t"), ["(1,1)", "(3,3)"]);
}

#[test]
fn a_replace_refuses_the_row_that_breaks_a_unique_index() {
    let database = Database::new();
    for dependent in ["", "; CREATE VIEW raw.w AS SELECT id FROM raw.t"] {
        database.clear();
        database.run(&format!(
            "CREATE SCHEMA raw; CREATE TABLE raw.t (id int8 CONSTRAINT \"The Key\" PRIMARY KEY, v int8); \
             CREATE UNIQUE INDEX \"By V\" ON raw.t (v) WHERE v > 0; INSERT INTO raw.t VALUES (9, 9){dependent}"
        ));
        let indexes = || {
            database.query(
                "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'raw.t'::regclass ORDER BY 1",
            )
        };
        let before = indexes();
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, -5, -5, 1]));
        let rows = batch(&[1, 1, 3, 4, 5, 6], vec![("v", true, values)]);
        let mut context = stream("t", rows.schema(), WriteMode::Replace);
        context.policies = policies(DataErrorPolicy::Dlq);
        let (result, host) = database.write(&context, |host| {
            host.feed_batch(&rows);
            host.feed_end();
        });
        result.unwrap();
        let (ids, codes) = letters(&host);
        assert_eq!((ids, codes), (vec![1, 6], vec!["23505".to_owned(); 2]), "{dependent}");
        assert_eq!(database.rows("raw.t"), ["(1,1)", "(3,3)", "(4,-5)", "(5,-5)"], "{dependent}");
        assert_eq!(indexes(), before, "{dependent}");
        assert_eq!(database.leftovers(), "");
    }
}

#[test]
fn a_host_that_takes_no_dead_letters_ends_the_run_before_anything_is_committed() {
    let database = Database::new();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8 CHECK (v < 100))");
    let rows = batch(&[1, 2], vec![("v", true, Arc::new(Int64Array::from(vec![1, 100])))]);
    let mut context = stream("t", rows.schema(), WriteMode::Append);
    context.policies = policies(DataErrorPolicy::Dlq);
    let (result, _) = database.write(&context, |host| {
        host.refuse_dead_letters(ConnectorError::data("breaker_open", "too many records were refused"));
        host.feed_batch(&rows);
        host.feed_end();
    });
    let error = result.unwrap_err();
    assert_eq!((error.code.as_str(), error.commit), ("breaker_open", Some(CommitState::BeforeCommit)));
    assert_eq!(database.query("SELECT count(*) FROM raw.t"), "0");
}

#[test]
fn a_constraint_that_is_deferred_refuses_the_whole_checkpoint() {
    let database = Database::new();
    database.run(
        "CREATE SCHEMA raw; CREATE TABLE raw.parent (v int8 PRIMARY KEY); INSERT INTO raw.parent VALUES (1); \
         CREATE TABLE raw.t (id int8 PRIMARY KEY, v int8 REFERENCES raw.parent DEFERRABLE INITIALLY DEFERRED)",
    );
    let rows = |values: Vec<i64>| {
        let ids: Vec<i64> = values.clone();
        batch(&ids, vec![("v", true, Arc::new(Int64Array::from(vec![values[0]; values.len()])) as ArrayRef)])
    };
    for policy in [DataErrorPolicy::Fail, DataErrorPolicy::Dlq] {
        database.run("DELETE FROM raw.t; DROP TABLE IF EXISTS raw._rapidbyte_receipts");
        let mut context = stream("t", rows(vec![1]).schema(), WriteMode::Append);
        context.policies = policies(policy);
        let (result, host) = database.write(&context, |host| {
            host.feed_batch(&rows(vec![1]));
            host.feed_checkpoint(cursor(1));
            host.feed_batch(&rows(vec![2, 3]));
            host.feed_end();
        });
        let error = result.unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "foreign_key_violation"));
        assert_eq!(error.commit, Some(CommitState::BeforeCommit));
        assert_eq!(host.dead_letters().len(), 0);
        assert_eq!(database.rows("raw.t"), ["(1,1)"]);
        assert_eq!(database.query("SELECT checkpoint_id FROM raw._rapidbyte_receipts"), "1");
    }
}

#[test]
fn an_evolving_table_keeps_its_change_though_records_are_refused() {
    let database = Database::new();
    for mode in [WriteMode::Append, WriteMode::Upsert] {
        database.clear();
        database.run("CREATE SCHEMA raw; CREATE TABLE raw.t (id int4 PRIMARY KEY, v int4)");
        let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "two", "3"]));
        let extra: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let rows = batch(&[1, 2, 1 << 40], vec![("v", true, values), ("extra", true, extra)]);
        let mut context = stream("t", rows.schema(), mode);
        context.policies = policies(DataErrorPolicy::Dlq);
        let (result, host) = database.write(&context, |host| {
            host.feed_batch(&rows);
            host.feed_end();
        });
        result.unwrap();
        assert_eq!(letters(&host), (vec![2], vec!["22P02".to_owned()]));
        assert_eq!(database.rows("raw.t"), ["(1,1,a)", "(1099511627776,3,c)"], "{mode}");
    }
}
