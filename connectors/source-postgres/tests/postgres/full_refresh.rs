//! Whole tables: unordered, and in key order with checkpoints.

use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::TestHost;
use serde_json::json;

use crate::harness::{Database, behind, checkpoint_rows, columns, full};

/// Ids in an order that is not that of insertion.
const NUMBERS: &str = "CREATE TABLE t (id int PRIMARY KEY, note text);
    INSERT INTO t SELECT (n * 7919) % 10007, 'note ' || n FROM generate_series(1, 10000) n;";

fn ordered(sql: &str) -> Database {
    Database::new(sql).with_config(json!({ "full_refresh_order": "always" }))
}

#[test]
fn a_small_table_is_read_as_it_lies_without_checkpoints() {
    let database = Database::new(NUMBERS);
    let read = database.read(full("t"));
    assert!(read.checkpoints().is_empty());
    let mut rows = read.rows();
    rows.sort();
    let mut expected: Vec<String> =
        database.query("SELECT id || '|' || note FROM t").lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn an_empty_table_has_neither_batches_nor_checkpoints() {
    let database = ordered("CREATE TABLE t (id int PRIMARY KEY);");
    assert!(database.read(full("t")).events.is_empty());
}

#[test]
fn key_order_resumes_at_every_checkpoint() {
    let database = ordered(NUMBERS);
    let whole = database.read(checkpoint_rows(1_500, full("t")));
    let rows = whole.rows();
    let expected = database.query("SELECT id || '|' || note FROM t ORDER BY id");
    assert_eq!(rows, expected.lines().collect::<Vec<_>>());
    let cuts = whole.cuts();
    assert_eq!(
        cuts.iter().map(|(records, _)| *records).collect::<Vec<_>>(),
        [1_500, 3_000, 4_500, 6_000, 7_500, 9_000, 10_000]
    );
    for (records, position) in cuts {
        let rest = database.read(behind(Some(position), full("t")));
        assert_eq!(rest.rows(), rows[records..]);
    }
}

#[test]
fn compound_keys_of_any_type_resume_exactly() {
    let database = ordered(
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE TABLE t (a text COLLATE \"C\", m mood, u uuid, n numeric, i inet, b bytea, f float8, at timestamptz,
            d date, iv interval, flag bool, c char(3), extra int, PRIMARY KEY (a, m, u, n, i, b, f, at, d, iv, flag, c));
        INSERT INTO t SELECT
            (ARRAY['', 'it''s', E'back\\\\slash', 'ü', 'Z', '\"q\"'])[1 + n % 6], (ARRAY['sad', 'happy']::mood[])[1 + n % 2],
            md5((n % 50)::text)::uuid, (ARRAY['NaN', 'Infinity', '-Infinity', '1.10', '-0.001', '1e30']::numeric[])[1 + n % 6],
            (ARRAY['::1', '10.0.0.1/8', '10.0.0.1']::inet[])[1 + n % 3], decode(md5(n::text), 'hex'),
            (ARRAY['NaN', 'Infinity', '-0', '0.1', '1e-300']::float8[])[1 + n % 5],
            (ARRAY['infinity', '-infinity', '0044-03-15 12:00:00.000001+00 BC', '2024-02-29 00:00:00+00']::timestamptz[])[1 + n % 4],
            (ARRAY['infinity', '-infinity', '0044-03-15 BC', '2024-02-29']::date[])[1 + n % 4],
            (ARRAY['-1 mons 2 days', '1 day -00:00:00.000001', '0']::interval[])[1 + n % 3], n % 2 = 0,
            (ARRAY['a', 'ab ', ' x'])[1 + n % 3], n
            FROM generate_series(1, 500) n;",
    );
    let whole = database.read(checkpoint_rows(50, columns(&["extra"], full("t"))));
    let expected = database.query("SELECT extra FROM t ORDER BY a, m, u, n, i, b, f, at, d, iv, flag, c");
    assert_eq!(whole.rows(), expected.lines().collect::<Vec<_>>());
    assert_eq!(whole.checkpoints().len(), 10);
    for (records, position) in whole.cuts() {
        let rest = database.read(behind(Some(position), columns(&["extra"], full("t"))));
        assert_eq!(rest.rows(), whole.rows()[records..]);
    }
}

#[test]
fn text_keys_resume_under_their_own_collation() {
    let database = ordered(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE t (k text COLLATE loose PRIMARY KEY);
        INSERT INTO t VALUES ('b'), ('A'), ('a1'), ('B2'), ('c'), ('Ä'), ('Z'), ('z9');",
    );
    let whole = database.read(checkpoint_rows(1, full("t")));
    let expected = database.query("SELECT k FROM t ORDER BY k");
    assert_eq!(whole.rows(), expected.lines().collect::<Vec<_>>());
    for (records, position) in whole.cuts() {
        assert_eq!(database.read(behind(Some(position), full("t"))).rows(), whole.rows()[records..]);
    }
}

#[test]
fn a_position_is_honoured_though_the_order_is_no_longer_wanted() {
    let mut database = ordered(NUMBERS);
    let whole = database.read(checkpoint_rows(4_000, full("t")));
    database.config = json!({ "full_refresh_order": "never" });
    let (records, position) = whole.cuts().remove(0);
    assert_eq!(database.read(behind(Some(position), full("t"))).rows(), whole.rows()[records..]);
}

#[test]
fn cancellation_ends_at_a_resumable_point() {
    let database = ordered(NUMBERS);
    let host = TestHost::new();
    host.cancel_after_batches(2);
    let request = RunRequest::read(checkpoint_rows(1_000, full("t")));
    let stopped = database.try_read_on(host, request).unwrap();
    assert!(stopped.summary.records >= 2_000 && stopped.summary.records < 10_000);
    let (records, _) = stopped.cuts().pop().unwrap();
    assert_eq!(records as u64, stopped.summary.records, "everything emitted is covered");
    let rest = database.read(behind(stopped.position(), full("t")));
    let all = [stopped.rows(), rest.rows()].concat();
    assert_eq!(
        all,
        database.query("SELECT id || '|' || note FROM t ORDER BY id").lines().collect::<Vec<_>>()
    );
}

#[test]
fn cancellation_is_noticed_while_a_table_is_locked() {
    let database = Database::new(NUMBERS);
    rapidbyte_sdk::testing::block_on(async {
        let options = database.server.options(&database.name);
        let session = rapidbyte_postgres::Session::open(&options).await.unwrap();
        session.execute("locking", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let host = TestHost::new();
        let mut source =
            host.source::<source_postgres::SourcePostgres>(database.source_config()).await.unwrap();
        let canceller = host.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            canceller.cancel();
        });
        let summary = source.run(RunRequest::read(full("t"))).await.unwrap();
        assert_eq!(summary.read.unwrap().records, 0);
    });
}

#[test]
fn max_records_ends_the_read() {
    let database = ordered(NUMBERS);
    let request = RunRequest { max_records: Some(25), ..RunRequest::read(full("t")) };
    let read = database.try_read(request).unwrap();
    assert_eq!(read.summary.records, 25);
    assert_eq!(read.cuts().len(), 1);
}

#[test]
fn a_dry_run_reads_nothing_and_fails_like_a_real_one() {
    let database = Database::new(NUMBERS);
    let request = |stream| RunRequest { dry_run: true, ..RunRequest::read(stream) };
    let read = database.try_read(request(full("t"))).unwrap();
    assert!(read.events.is_empty());
    let missing = database.try_read(request(columns(&["nowhere"], full("t"))));
    assert_eq!(missing.err().unwrap().code, "column_missing");
}

#[test]
fn views_partitions_and_inheritance_read_as_select_does() {
    let database = Database::new(
        "CREATE TABLE p (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        INSERT INTO p VALUES (1, '2024-05-05'), (2, '2025-05-05');
        CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
        CREATE VIEW v AS SELECT id, at::text || '!' AS note FROM p;
        CREATE MATERIALIZED VIEW m AS SELECT * FROM v;
        CREATE TABLE g (id int, twice int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO g VALUES (4);",
    );
    let rows = |name| {
        let mut rows = database.read(full(name)).rows();
        rows.sort();
        rows
    };
    assert_eq!(rows("p"), ["1|2024-05-05", "2|2025-05-05"]);
    assert_eq!(rows("p1"), ["1|2024-05-05"]);
    assert_eq!(rows("parent"), ["1", "2"]);
    assert_eq!(rows("v"), ["1|2024-05-05!", "2|2025-05-05!"]);
    assert_eq!(rows("m"), ["1|2024-05-05!", "2|2025-05-05!"]);
    assert_eq!(rows("g"), ["4|8"]);
}

#[test]
fn batches_stay_below_the_bounds() {
    let database = Database::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric);
        INSERT INTO t SELECT n, repeat('x', (n * 37) % 30000), CASE WHEN n % 10 = 0 THEN 1e20000 END
        FROM generate_series(1, 400) n;",
    );
    let stream = full("t");
    let limits = Limits { max_batch_bytes: 128 * 1024, ..stream.limits };
    let read = database.read(StreamContext { limits, ..stream });
    assert_eq!(read.summary.records, 400);
    assert!(read.batches().len() > 50);
    for batch in read.batches() {
        let frame = rapidbyte_sdk::batch::FrameEncoder::new().encode(batch).unwrap().len();
        assert!(frame <= 128 * 1024, "{frame} bytes in {} rows", batch.num_rows());
    }
}

#[test]
fn wide_tables_are_read() {
    let list = |format: fn(usize) -> String| (0..200).map(format).collect::<Vec<_>>().join(", ");
    let database = Database::new(&format!(
        "CREATE TABLE t ({}); INSERT INTO t SELECT {} FROM generate_series(1, 100) n;",
        list(|index| format!("c{index} {}", ["int", "text", "float8", "timestamptz"][index % 4])),
        list(|index| ["n", "n::text", "n / 3.0", "'2024-01-01'::timestamptz"][index % 4].to_owned()),
    ));
    let read = database.read(full("t"));
    assert_eq!(read.batches()[0].num_columns(), 200);
    assert_eq!(read.summary.records, 100);
}

#[test]
fn large_values_are_read_whole() {
    let database = Database::new(
        "CREATE TABLE t (id int, v text); INSERT INTO t SELECT n, repeat(chr(96 + n), n * 1000000)
        FROM generate_series(1, 5) n;",
    );
    let read = database.read(full("t"));
    let rows = read.rows();
    for (index, row) in rows.iter().enumerate() {
        let (id, value) = row.split_once('|').unwrap();
        assert_eq!((id.parse(), value.len()), (Ok(index + 1), (index + 1) * 1_000_000));
        assert!(value.bytes().all(|byte| usize::from(byte) == 97 + index));
    }
    assert_eq!(rows.len(), 5);
}
