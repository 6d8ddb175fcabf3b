//! Ranges over one snapshot: together the table, whatever the key is and whatever is written meanwhile.

use rapidbyte_postgres::Session as Connection;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{SourceSession, TestHost, block_on};
use serde_json::json;
use source_postgres::SourcePostgres;

use crate::harness::{Database, Read, behind, checkpoint_rows, columns, full, incremental};

/// A source that was asked to partition, and its answer.
struct Held {
    source: SourceSession<SourcePostgres>,
    plan: PartitionPlan,
}

fn database(sql: &str) -> Database {
    Database::new(sql).with_config(json!({ "partition_bytes_min": 0 }))
}

async fn try_hold(database: &Database, request: RunRequest) -> Result<Held, ConnectorError> {
    let mut source = TestHost::new().source::<SourcePostgres>(database.source_config()).await?;
    let plan = source.run(request).await?.partition_plan.unwrap();
    Ok(Held { source, plan })
}

async fn hold(database: &Database, stream: &StreamContext, count: u32) -> Held {
    try_hold(database, RunRequest::partition(stream.clone(), count)).await.unwrap()
}

impl Held {
    /// The stream, once a range.
    fn slices(&self, stream: &StreamContext) -> Vec<StreamContext> {
        let count = self.plan.ranges.len() as u32;
        let slice = |(index, range): (usize, &PartitionRange)| StreamContext {
            partition: Partition { index: index as u32, count, range: Some(range.clone()), floor: 7 },
            snapshot: self.plan.snapshot.clone(),
            partition_key: None,
            ..stream.clone()
        };
        self.plan.ranges.iter().enumerate().map(slice).collect()
    }
}

async fn read(database: &Database, stream: StreamContext) -> Read {
    database.run_on(TestHost::new(), RunRequest::read(stream)).await.unwrap()
}

fn by(key: &str, stream: StreamContext) -> StreamContext {
    StreamContext { partition_key: Some(key.to_owned()), ..stream }
}

fn check(sql: &str, key: Option<&str>, ranges_min: usize) -> Vec<usize> {
    check_in(&database(sql), key, ranges_min)
}

/// Partitions `t` every way, writes while it is read, and compares with what was there before. Answers the records of
/// each range at the largest count.
fn check_in(database: &Database, key: Option<&str>, ranges_min: usize) -> Vec<usize> {
    let mut stream = full("t");
    stream.partition_key = key.map(str::to_owned);
    let mut sizes = Vec::new();
    for count in [2, 7] {
        let mut expected = database.read(full("t")).rows();
        expected.sort();
        let mut together = Vec::new();
        sizes.clear();
        block_on(async {
            let held = hold(database, &stream, count).await;
            let ranges = held.plan.ranges.len();
            assert!(ranges <= count as usize && ranges >= ranges_min.min(count as usize), "{:?}", held.plan);
            assert_eq!(held.plan.ranges.iter().filter(|range| range.nulls).count(), 1);
            let mut slices = held.slices(&stream).into_iter();
            let first = read(database, slices.next().unwrap()).await.rows();
            // What nobody may see: the same records again, fewer of them, and none of the old ones.
            database.run(
                "CREATE TEMP TABLE w AS SELECT * FROM t; DELETE FROM t;
                INSERT INTO t SELECT * FROM w WHERE n % 5 <> 0 OR n % 3 = 0;",
            );
            sizes.push(first.len());
            together.extend(first);
            for slice in slices {
                let rows = read(database, slice).await.rows();
                sizes.push(rows.len());
                together.extend(rows);
            }
            held.source.close().await.unwrap();
        });
        together.sort();
        assert_eq!(together.len(), expected.len(), "{key:?} in {count}");
        assert!(together == expected, "{key:?} in {count}");
    }
    sizes
}

#[test]
fn integers_with_gaps_and_negatives() {
    check(
        "CREATE TABLE t (id bigint PRIMARY KEY, n int);
        INSERT INTO t SELECT (n - 1000) * 1000003, n FROM generate_series(1, 3000) n;
        INSERT INTO t VALUES (-9223372036854775808, 0), (9223372036854775807, 1);",
        None,
        7,
    );
}

#[test]
fn a_partition_key_with_nulls() {
    let table = "CREATE TABLE t (n int PRIMARY KEY, k int); CREATE INDEX ON t (k);";
    check(
        &format!(
            "{table} INSERT INTO t SELECT n, CASE WHEN n % 5 <> 0 THEN n * 3 END FROM generate_series(-900, 900) n;"
        ),
        Some("k"),
        7,
    );
    // Mostly NULLs: they can't be divided, the rest can.
    check(
        &format!(
            "{table} INSERT INTO t SELECT n, CASE WHEN n % 5 = 0 THEN n END FROM generate_series(1, 900) n;"
        ),
        Some("k"),
        2,
    );
    let database = database(&format!("{table} INSERT INTO t SELECT n FROM generate_series(1, 900) n;"));
    block_on(async {
        let held = hold(&database, &by("k", full("t")), 4).await;
        assert_eq!(held.plan, PartitionPlan::default(), "nothing but NULLs: one range");
    });
}

#[test]
fn keys_of_any_type() {
    let database = database(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);",
    );
    for (column, value) in [
        ("uuid", "md5(n::text)::uuid"),
        ("text", "(ARRAY['', 'it''s', E'back\\\\slash', 'ü', 'Z', '\"q\"'])[1 + n % 6] || n"),
        ("text COLLATE \"C\"", "chr(60 + n % 60) || n"),
        ("text COLLATE loose", "chr(65 + n % 26) || n"),
        ("char(8)", "chr(65 + n % 26) || ' ' || n"),
        ("timestamptz", "'2024-02-29 12:00+02'::timestamptz + n * interval '1 month 0.000001 second'"),
        (
            "timestamp",
            "CASE n WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE '0044-03-15 BC'::timestamp + n * interval '1 year' END",
        ),
        ("date", "'0044-03-15 BC'::date + n"),
        (
            "numeric",
            "CASE n WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' ELSE (n - 500) * 1.10 END",
        ),
        (
            "float8",
            "CASE n WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN '-0' ELSE n / 3.0 END",
        ),
        ("oid", "n * 4000000::bigint"),
        ("bytea", "decode(md5(n::text), 'hex')"),
        ("inet", "'10.0.0.0'::inet + n"),
        ("interval", "n * interval '1 day -00:00:00.000001'"),
        ("int[]", "ARRAY[n % 10, n]"),
    ] {
        database.run(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (id {column} PRIMARY KEY, n int);
            INSERT INTO t SELECT {value}, n FROM generate_series(0, 999) n;"
        ));
        let sizes = check_in(&database, None, 7);
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(*least >= 50 && *most <= 250, "{column}: {sizes:?}");
    }
}

#[test]
fn keys_of_few_values() {
    check(
        "CREATE TYPE mood AS ENUM ('sad', 'so, so', 'happy');
        CREATE TABLE t (n int PRIMARY KEY, m mood); INSERT INTO t SELECT n, CASE WHEN n % 4 > 0 THEN
            (ARRAY['sad', 'so, so', 'happy']::mood[])[n % 4] END FROM generate_series(1, 1000) n;",
        Some("m"),
        2,
    );
    check(
        "CREATE TABLE t (n int PRIMARY KEY, b bool);
        INSERT INTO t SELECT n, (ARRAY[true, false, NULL])[1 + n % 3] FROM generate_series(1, 1000) n;",
        Some("b"),
        2,
    );
    // Nine in ten are the same: they stay together.
    check(
        "CREATE TABLE t (n int PRIMARY KEY, k int);
        INSERT INTO t SELECT n, CASE WHEN n % 10 = 0 THEN n END FROM generate_series(1, 1000) n;
        UPDATE t SET k = 500 WHERE k IS NULL;",
        Some("k"),
        2,
    );
}

#[test]
fn compound_keys_are_cut_by_their_first_column() {
    let table = "CREATE TABLE t (region text, n int, note text, PRIMARY KEY (region, n));";
    check(
        &format!("{table} INSERT INTO t SELECT 'r' || n % 40, n, 'x' FROM generate_series(1, 1000) n;"),
        None,
        7,
    );
    // One region: by the second.
    check(
        &format!("{table} INSERT INTO t SELECT 'r', n, repeat('x', 900) FROM generate_series(1, 1000) n;"),
        None,
        7,
    );
}

#[test]
fn tables_can_be_cut_by_place() {
    let table = "CREATE TABLE t (n int, note text); INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 2000) n;";
    check(table, Some("ctid"), 7);
    check(&format!("{table} DELETE FROM t WHERE n BETWEEN 300 AND 1700; VACUUM t;"), Some("ctid"), 7);
    check(&table.replace("n int", "n int PRIMARY KEY"), Some("ctid"), 7);
    check(&table.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"), Some("ctid"), 7);
    // Not without being asked: it could not go on after a crash.
    let database = database(table);
    block_on(async { assert_eq!(hold(&database, &full("t"), 4).await.plan, PartitionPlan::default()) });
}

#[test]
fn partitioned_and_inherited_tables() {
    check(
        "CREATE TABLE t (n int, at date, PRIMARY KEY (n, at)) PARTITION BY RANGE (at);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (n);
        CREATE TABLE t21 PARTITION OF t2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE t22 PARTITION OF t2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO t SELECT n, '2024-01-01'::date + n % 700 FROM generate_series(1, 2000) n;",
        None,
        7,
    );
    let inherited = "CREATE TABLE t (n int); CREATE TABLE child () INHERITS (t);
        INSERT INTO t SELECT generate_series(1, 500); INSERT INTO child SELECT generate_series(501, 2000);";
    let database = database(inherited);
    block_on(async {
        assert_eq!(hold(&database, &full("t"), 4).await.plan, PartitionPlan::default(), "it has no key");
        let stream = by("n", full("t"));
        let held = hold(&database, &stream, 4).await;
        let mut ids = Vec::new();
        for slice in held.slices(&stream) {
            ids.extend(read(&database, slice).await.rows().iter().map(|id| id.parse::<u32>().unwrap()));
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=2000).collect::<Vec<_>>());
    });
}

/// More blocks than are sampled, and keys that are far from evenly spread.
#[test]
fn ranges_have_about_as_many_records_each() {
    let database = Database::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, filler char(60));
        INSERT INTO t SELECT power(n, 3)::bigint, '' FROM generate_series(1, 300000) n;",
    )
    .with_config(json!({ "partition_bytes_min": 1 << 20 }));
    assert!(database.query("SELECT pg_relation_size('t') / 8192").trim().parse::<u64>().unwrap() > 3000);
    block_on(async {
        let held = hold(&database, &full("t"), 8).await;
        assert_eq!(held.plan.ranges.len(), 8);
        for slice in held.slices(&full("t")) {
            let records = read(&database, columns(&["id"], slice)).await.summary.records;
            assert!((28_000..47_000).contains(&records), "{records} of 300000 in one of eight");
        }
    });
}

#[test]
fn small_tables_are_not_worth_it() {
    let mut database = Database::new(
        "CREATE TABLE t (id int PRIMARY KEY, note text);
        INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 5000) n; CREATE VIEW v AS SELECT * FROM t;",
    );
    let bytes: u64 = database.query("SELECT pg_table_size('t')").trim().parse().unwrap();
    block_on(async {
        assert_eq!(hold(&database, &full("t"), 8).await.plan, PartitionPlan::default());
        assert_eq!(hold(&database, &by("id", full("t")), 8).await.plan.ranges.len(), 8, "asked for by name");
        database.config = json!({ "partition_bytes_min": bytes / 3 });
        assert_eq!(hold(&database, &full("t"), 8).await.plan.ranges.len(), 3);
        assert_eq!(hold(&database, &full("t"), 2).await.plan.ranges.len(), 2);
        assert_eq!(hold(&database, &full("t"), 1).await.plan, PartitionPlan::default());
        let resumed = behind(Some(CursorValue::Int64(7)), incremental("t", "id", &[]));
        assert_eq!(hold(&database, &resumed, 8).await.plan, PartitionPlan::default());
        database.config = json!({ "partition_bytes_min": 0 });
        assert_eq!(hold(&database, &full("v"), 8).await.plan, PartitionPlan::default());
        database.run("DELETE FROM t; VACUUM t");
        assert_eq!(hold(&database, &full("t"), 8).await.plan, PartitionPlan::default());
    });
}

#[test]
fn the_table_keeps_its_form_until_close() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);");
    block_on(async {
        let held = hold(&database, &full("t"), 2).await;
        let options = database.server.options(&database.name);
        let other = Connection::open(&options).await.unwrap();
        let lock = "LOCK TABLE t IN ACCESS EXCLUSIVE MODE";
        let refused = other.execute("locking", &format!("BEGIN; {lock} NOWAIT")).await.unwrap_err();
        assert_eq!(refused.code, "lock_not_available");
        other.execute("ending", "ROLLBACK").await.unwrap();
        held.source.close().await.unwrap();
        other.execute("locking", &format!("BEGIN; {lock}; TRUNCATE t; COMMIT")).await.unwrap();
    });
}

#[test]
fn partitioning_again_lets_go_of_the_first_snapshot() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);");
    block_on(async {
        let mut held = hold(&database, &full("t"), 2).await;
        let first = held.slices(&full("t")).remove(0);
        let again =
            held.source.run(RunRequest::partition(full("t"), 2)).await.unwrap().partition_plan.unwrap();
        assert_ne!(again.snapshot, held.plan.snapshot);
        let gone = database.run_on(TestHost::new(), RunRequest::read(first)).await.err().unwrap();
        assert_eq!(gone.code, "snapshot_gone");
        held.plan = again;
        read(&database, held.slices(&full("t")).remove(1)).await;
    });
}

#[test]
fn a_snapshot_that_is_gone_is_said_to_be() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);");
    block_on(async {
        let held = hold(&database, &full("t"), 2).await;
        let slice = held.slices(&full("t")).remove(0);
        held.source.close().await.unwrap();
        let unknown = ["00000003-0000001B-1", "nonsense", "it's '; DROP TABLE t; --", "../../../etc/passwd"];
        let mut slices = vec![slice.clone()];
        slices.extend(unknown.map(|name| StreamContext { snapshot: Some(name.to_owned()), ..slice.clone() }));
        for slice in slices {
            let error = database.run_on(TestHost::new(), RunRequest::read(slice)).await.err().unwrap();
            assert_eq!((error.category, error.code.as_str()), (ErrorCategory::TransientDb, "snapshot_gone"));
            assert!(error.retryable && error.safe_to_retry, "{error:?}");
        }
    });
}

#[test]
fn a_resumed_reading_gets_a_snapshot_for_the_ranges_it_has() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);");
    let ask = |range: PartitionRange| {
        let mut request = RunRequest::partition(full("t"), 1);
        request.stream.as_mut().unwrap().partition.range = Some(range);
        request
    };
    block_on(async {
        let first = hold(&database, &full("t"), 3).await;
        let ranges = first.plan.ranges.clone();
        first.source.close().await.unwrap();
        database.run("UPDATE t SET id = id + 10000 WHERE id % 2 = 0; INSERT INTO t VALUES (-5)");
        let mut again = try_hold(&database, ask(ranges[1].clone())).await.unwrap();
        assert_eq!(again.plan.ranges, [ranges[1].clone()]);
        assert!(again.plan.snapshot.is_some());
        database.run("DELETE FROM t");
        again.plan.ranges = ranges;
        let mut records = 0;
        for slice in again.slices(&full("t")) {
            records += read(&database, slice).await.summary.records;
        }
        assert_eq!(records, 1001);
        let places = PartitionPlan::cut("ctid", [CursorValue::Utf8("(2,0)".into())]).ranges;
        let error = try_hold(&database, ask(places[0].clone())).await.err().unwrap();
        assert_eq!((error.code.as_str(), error.retryable), ("ranges_gone", false));
    });
}

#[test]
fn a_partition_resumes_within_its_range() {
    let mut database = database(
        "CREATE TABLE t (a text, id int, note text, PRIMARY KEY (a, id));
        INSERT INTO t SELECT 'a' || n % 30, (n * 7919) % 10007, 'note ' || n FROM generate_series(1, 3000) n;",
    );
    database.config = json!({ "partition_bytes_min": 0, "full_refresh_order": "always" });
    block_on(async {
        let held = hold(&database, &full("t"), 3).await;
        assert_eq!(held.plan.ranges.len(), 3);
        let mut together = Vec::new();
        for slice in held.slices(&full("t")) {
            let whole = read(&database, checkpoint_rows(200, slice.clone())).await;
            assert!(whole.cuts().len() > 2);
            for (records, position) in whole.cuts() {
                let rest = read(&database, behind(Some(position), slice.clone())).await;
                assert_eq!(rest.rows(), whole.rows()[records..]);
            }
            together.extend(whole.rows());
        }
        let expected = database.query("SELECT a || '|' || id || '|' || note FROM t ORDER BY a, id");
        assert_eq!(together, expected.lines().collect::<Vec<_>>());
    });
}

#[test]
fn incremental_reads_are_cut_like_others() {
    let database = database(
        "CREATE TABLE t (id int PRIMARY KEY, at int);
        INSERT INTO t SELECT n, CASE WHEN n % 10 > 0 THEN (n * 7919) % 1009 END FROM generate_series(1, 2000) n;",
    );
    let stream = columns(&["id"], incremental("t", "at", &["id"]));
    block_on(async {
        let held = hold(&database, &stream, 3).await;
        let mut ids = Vec::new();
        for slice in held.slices(&stream) {
            let whole = read(&database, checkpoint_rows(100, slice.clone())).await;
            for (records, position) in whole.cuts() {
                let rest = read(&database, behind(Some(position), slice.clone())).await;
                assert_eq!(rest.rows(), whole.rows()[records..]);
            }
            ids.extend(whole.rows().iter().map(|id| id.parse::<u32>().unwrap()));
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=2000).collect::<Vec<_>>());
    });
}

#[test]
fn the_filter_holds_in_every_range() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 3000);");
    let stream = StreamContext { filter: Some("id % 7 = 0 OR id > 2900".to_owned()), ..full("t") };
    block_on(async {
        let held = hold(&database, &stream, 4).await;
        let mut ids = Vec::new();
        for slice in held.slices(&stream) {
            let rows = read(&database, slice).await.rows();
            assert!((100..180).contains(&rows.len()), "cut by what is left: {}", rows.len());
            ids.extend(rows.iter().map(|id| id.parse::<u32>().unwrap()));
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=3000).filter(|id| id % 7 == 0 || *id > 2900).collect::<Vec<_>>());
        for predicate in ["nowhere = 1", "true) OR (true"] {
            let stream = StreamContext { filter: Some(predicate.to_owned()), ..full("t") };
            let error = try_hold(&database, RunRequest::partition(stream, 4)).await.err().unwrap();
            assert_eq!(error.code, "filter_refused", "{error}");
        }
    });
}

#[test]
fn what_cannot_be_cut_is_named() {
    let database = database(
        "CREATE TABLE t (id int PRIMARY KEY, document json, place point);
        INSERT INTO t SELECT n, '{}', '(0,0)' FROM generate_series(1, 1000) n; CREATE VIEW v AS SELECT * FROM t;
        CREATE TABLE p (id int) PARTITION BY HASH (id); CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO p SELECT generate_series(1, 1000);",
    );
    block_on(async {
        for (name, key, category, code) in [
            ("t", "nowhere", ErrorCategory::Schema, "column_missing"),
            ("v", "nowhere", ErrorCategory::Schema, "column_missing"),
            ("t", "document", ErrorCategory::Config, "partition_key_unordered"),
            ("t", "place", ErrorCategory::Config, "partition_key_unordered"),
            ("p", "ctid", ErrorCategory::Config, "partition_key_unordered"),
        ] {
            let request = RunRequest::partition(by(key, full(name)), 4);
            let error = try_hold(&database, request).await.err().unwrap();
            assert_eq!((error.category, error.code.as_str()), (category, code), "{error}");
            assert!(error.message.contains(&format!("`{key}`")), "{error}");
        }
        let missing = try_hold(&database, RunRequest::partition(full("nowhere"), 4)).await.err().unwrap();
        assert_eq!(missing.code, "stream_missing");
        let no_range = StreamContext { partition: Partition { count: 2, ..Partition::WHOLE }, ..full("t") };
        let error = database.run_on(TestHost::new(), RunRequest::read(no_range)).await.err().unwrap();
        assert_eq!(error.code, "no_range");
    });
}

#[test]
fn cancellation_is_noticed_while_a_table_is_locked() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);");
    block_on(async {
        let other = Connection::open(&database.server.options(&database.name)).await.unwrap();
        other.execute("locking", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let host = TestHost::new();
        let mut source = host.source::<SourcePostgres>(database.source_config()).await.unwrap();
        let canceller = host.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            canceller.cancel();
        });
        let summary = source.run(RunRequest::partition(full("t"), 4)).await.unwrap();
        assert_eq!(summary.partition_plan, Some(PartitionPlan::default()));
    });
}

#[test]
fn rights_on_columns_are_enough() {
    let mut database = database(
        "CREATE TABLE t (id int PRIMARY KEY, secret text); INSERT INTO t SELECT generate_series(1, 1000);
        DO $$ BEGIN CREATE USER column_reader; EXCEPTION WHEN duplicate_object THEN END $$;
        GRANT SELECT (id) ON t TO column_reader;",
    );
    database.config = json!({ "partition_bytes_min": 0, "user": "column_reader" });
    let stream = columns(&["id"], full("t"));
    block_on(async {
        let held = hold(&database, &stream, 3).await;
        assert_eq!(held.plan.ranges.len(), 3);
        let mut records = 0;
        for slice in held.slices(&stream) {
            records += read(&database, slice).await.summary.records;
        }
        assert_eq!(records, 1000);
        let filtered = StreamContext { filter: Some("secret = 'x'".to_owned()), ..stream };
        let error = try_hold(&database, RunRequest::partition(filtered, 3)).await.err().unwrap();
        assert_eq!(error.category, ErrorCategory::Permission, "{error}");
    });
}
