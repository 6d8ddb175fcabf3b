//! The cache as a run fills it, through crashes, and as people ask it.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use rapidbyte_query::{CacheMode, OutputFormat, QueryError, QuerySession, StreamCache, write};

use crate::support::*;

fn open(cache: &Path, mode: CacheMode, resuming: bool) -> StreamCache {
    StreamCache::open(cache, "shop", "public.orders", mode, resuming).unwrap()
}

fn session(cache: &Path) -> QuerySession {
    QuerySession::open(cache, 64 * MIB).unwrap()
}

async fn ask(cache: &Path, sql: &str) -> Result<Vec<String>, QueryError> {
    let mut answer = session(cache).query(sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = answer.next().await {
        batches.push(batch?);
    }
    Ok(rows(&batches))
}

async fn ids(cache: &Path) -> String {
    match ask(cache, "SELECT id FROM orders ORDER BY id").await {
        Ok(rows) => rows.join(" "),
        Err(error) => error.code().to_owned(),
    }
}

#[tokio::test]
async fn what_is_committed_can_be_asked() {
    let cache = tempfile::tempdir().unwrap();
    let stream = open(cache.path(), CacheMode::Append, false);
    let mut writer = stream.writer(0, None).unwrap();
    writer.append(&orders_from(1, 3)).unwrap();
    assert_eq!(ids(cache.path()).await, "unknown_table", "nothing counts before its commit");
    writer.commit(1).unwrap();
    writer.append(&orders_from(4, 2)).unwrap();
    assert_eq!(ids(cache.path()).await, "1 2 3");
    writer.commit(2).unwrap();
    stream.complete().unwrap();
    assert_eq!(ids(cache.path()).await, "1 2 3 4 5");
    assert_eq!(
        ask(cache.path(), "SELECT * FROM orders WHERE id = 2").await.unwrap(),
        ["2|User2@X.org|21.00|1970-01-03T00:00:00Z|1.0|true|0200"]
    );
    let described = session(cache.path());
    let (table, columns) = described.describe("orders").unwrap();
    assert_eq!((table.records, table.pipeline.as_str(), table.stream.as_str()), (5, "shop", "public.orders"));
    let columns: Vec<String> =
        columns.iter().map(|it| format!("{} {} {}", it.name, it.data_type, it.nullable)).collect();
    assert_eq!(columns[..3], ["id Int64 false", "email Utf8 true", "amount Decimal128(18, 2) true"]);
    assert!(columns.iter().all(|it| !it.contains("__rapidbyte")), "{columns:?}");
}

#[tokio::test]
async fn a_resumed_reading_has_every_row_once() {
    let cache = tempfile::tempdir().unwrap();
    for mode in [CacheMode::Append, CacheMode::Upsert { key: vec!["id".to_owned()] }] {
        let stream = open(cache.path(), mode.clone(), false);
        let mut writer = stream.writer(0, None).unwrap();
        for (checkpoint, first) in [(1, 1), (2, 3), (3, 5)] {
            writer.append(&orders_from(first, 2)).unwrap();
            writer.commit(checkpoint).unwrap();
        }
        writer.append(&orders_from(7, 2)).unwrap();
        // The process dies; the destination has committed up to the first checkpoint.
        std::mem::forget(writer);
        let stream = open(cache.path(), mode, true);
        let mut writer = stream.writer(0, Some(1)).unwrap();
        assert_eq!(ids(cache.path()).await, "1 2");
        writer.append(&orders_from(3, 4)).unwrap();
        writer.commit(2).unwrap();
        assert_eq!(ids(cache.path()).await, "1 2 3 4 5 6");
        let stream = open(cache.path(), CacheMode::Append, true);
        stream.writer(0, None).unwrap();
        assert_eq!(ids(cache.path()).await, "unknown_table", "nothing had been committed");
    }
    let left: Vec<_> = walk(cache.path()).into_iter().filter(|it| !it.ends_with("stream.json")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_replaced_stream_is_the_old_one_until_the_new_one_is_complete() {
    let cache = tempfile::tempdir().unwrap();
    let fill = |resuming: bool, committed: Option<u64>, checkpoint: u64, first: i64| {
        let stream = open(cache.path(), CacheMode::Replace, resuming);
        let mut writer = stream.writer(0, committed).unwrap();
        writer.append(&orders_from(first, 2)).unwrap();
        writer.commit(checkpoint).unwrap();
        stream
    };
    fill(false, None, 1, 1).complete().unwrap();
    assert_eq!(ids(cache.path()).await, "1 2");
    // A second reading dies half way, a third goes on from there.
    fill(false, Some(1), 2, 11);
    assert_eq!(ids(cache.path()).await, "1 2");
    let before = session(cache.path());
    fill(true, Some(2), 3, 13).complete().unwrap();
    assert_eq!(ids(cache.path()).await, "11 12 13 14");
    // Whoever looked before can still read what there was.
    let mut old = before.query("SELECT min(id) AS first FROM orders").await.unwrap();
    assert_eq!(rows(&[old.next().await.unwrap().unwrap()]), ["1"]);
    // A reading that starts over forgets what the one before it had filled.
    fill(false, Some(3), 4, 21);
    fill(false, Some(3), 4, 31).complete().unwrap();
    assert_eq!(ids(cache.path()).await, "31 32");
}

#[tokio::test]
async fn partitions_fill_side_by_side() {
    let cache = tempfile::tempdir().unwrap();
    let stream = open(cache.path(), CacheMode::Replace, false);
    let mut first = stream.writer(0, None).unwrap();
    let mut second = stream.writer(1, None).unwrap();
    second.append(&orders_from(10, 2)).unwrap();
    first.append(&orders_from(1, 2)).unwrap();
    second.commit(1).unwrap();
    first.commit(1).unwrap();
    // Only one of the two is read again.
    let mut second = stream.writer(1, None).unwrap();
    second.append(&orders_from(20, 1)).unwrap();
    second.commit(1).unwrap();
    stream.complete().unwrap();
    assert_eq!(ids(cache.path()).await, "1 2 20");
}

#[tokio::test]
async fn a_stream_with_a_key_shows_the_newest_of_each() {
    let cache = tempfile::tempdir().unwrap();
    let batch = |rows: &[(i64, Option<&str>)]| {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
        ]);
        let ids: Int64Array = rows.iter().map(|it| Some(it.0)).collect();
        let names: StringArray = rows.iter().map(|it| it.1).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(names)]).unwrap()
    };
    let mode = CacheMode::Upsert { key: vec!["id".to_owned()] };
    let stream = open(cache.path(), mode.clone(), false);
    let mut writer = stream.writer(0, None).unwrap();
    writer.append(&batch(&[(1, Some("a")), (2, Some("b")), (1, Some("c"))])).unwrap();
    writer.append(&batch(&[(3, Some("d"))])).unwrap();
    writer.commit(1).unwrap();
    writer.append(&batch(&[(2, None), (3, Some("e"))])).unwrap();
    writer.commit(2).unwrap();
    assert_eq!(ask(cache.path(), "SELECT * FROM orders ORDER BY id").await.unwrap(), ["1|c", "2|·", "3|e"]);
    assert_eq!(ask(cache.path(), "SELECT count(*) AS n FROM orders").await.unwrap(), ["3"]);
    let stream = StreamCache::open(cache.path(), "shop", "keyless", mode, false).unwrap();
    let error = stream.writer(0, None).unwrap().append(&column("x", Int64Array::from(vec![1]))).unwrap_err();
    assert_eq!(error.code(), "cache_no_key");
}

#[tokio::test]
async fn columns_that_come_go_and_change_are_read_as_the_newest_has_them() {
    let cache = tempfile::tempdir().unwrap();
    let stream = open(cache.path(), CacheMode::Append, false);
    let mut writer = stream.writer(0, None).unwrap();
    let batch = |columns: Vec<(&str, arrow_array::ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    writer
        .append(&batch(vec![
            ("id", Arc::new(Int64Array::from(vec![1]))),
            ("old", Arc::new(Int64Array::from(vec![7]))),
        ]))
        .unwrap();
    // Within one checkpoint, too.
    writer
        .append(&batch(vec![
            ("id", Arc::new(StringArray::from(vec!["2"]))),
            ("new", Arc::new(StringArray::from(vec!["n"]))),
        ]))
        .unwrap();
    writer.commit(1).unwrap();
    assert_eq!(
        ask(cache.path(), "SELECT id, new, old FROM orders ORDER BY id").await.unwrap(),
        ["1|·|7", "2|n|·"]
    );
}

fn fill(cache: &Path, pipeline: &str, stream: &str, batch: &RecordBatch) {
    let stream = StreamCache::open(cache, pipeline, stream, CacheMode::Append, false).unwrap();
    let mut writer = stream.writer(0, None).unwrap();
    writer.append(batch).unwrap();
    writer.commit(1).unwrap();
    stream.complete().unwrap();
}

#[tokio::test]
async fn streams_are_tables_under_every_name_that_is_clear() {
    let cache = tempfile::tempdir().unwrap();
    let orders = orders();
    for (pipeline, stream) in
        [("shop", "public.orders"), ("shop", "Items"), ("crm", "items"), ("Über/..", "a \"b\"")]
    {
        fill(cache.path(), pipeline, stream, &orders);
    }
    let tables: Vec<String> =
        session(cache.path()).tables().map(|it| format!("{}.{}", it.pipeline, it.stream)).collect();
    assert_eq!(tables, ["crm.items", "shop.Items", "shop.public.orders", "Über/...a \"b\""]);
    for name in [
        "orders",
        "public.orders",
        "PUBLIC.Orders",
        "shop.public.orders",
        "crm.items",
        "\"Items\"",
        "items",
        "\"a \"\"b\"\"\"",
    ] {
        let answer = ask(cache.path(), &format!("SELECT count(*) AS n FROM {name}")).await;
        assert_eq!(answer.unwrap_or_else(|it| panic!("{name}: {it:?}")), ["4"], "{name}");
    }
    let joined = "WITH big AS (SELECT id FROM crm.items WHERE id > 1) \
                  SELECT o.EMAIL, i.key FROM orders o JOIN shop.items AS i ON o.id = i.id JOIN big ON big.id = o.id \
                  WHERE o.id NOT IN (SELECT id FROM orders WHERE orders.id = 2) ORDER BY 1 NULLS FIRST";
    assert_eq!(ask(cache.path(), joined).await.unwrap(), ["·|·", "User4@X.org|0400"]);
    fill(cache.path(), "erp", "ITEMS", &orders);
    let error = ask(cache.path(), "SELECT 1 AS one FROM iTems").await.unwrap_err();
    assert_eq!(error.code(), "ambiguous_table");
    assert!(error.hint().unwrap().contains("`crm.items`"), "{error:?}");
}

#[tokio::test]
async fn a_cache_can_only_be_read() {
    let cache = tempfile::tempdir().unwrap();
    fill(cache.path(), "shop", "orders", &orders());
    let outside = cache.path().join("outside.csv");
    std::fs::write(&outside, "a\n1\n").unwrap();
    let outside = outside.display();
    for (sql, code) in [
        ("DROP TABLE orders".to_owned(), "sql_not_select"),
        ("INSERT INTO orders SELECT * FROM orders".to_owned(), "sql_not_select"),
        ("UPDATE orders SET id = 1".to_owned(), "sql_not_select"),
        (format!("COPY orders TO '{outside}'"), "sql_not_select"),
        (format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{outside}'"), "sql_syntax"),
        ("SET datafusion.execution.batch_size = 1".to_owned(), "sql_not_select"),
        (format!("SELECT * FROM '{outside}'"), "unknown_table"),
        (format!("SELECT * FROM read_csv('{outside}')"), "sql_table"),
        ("SELECT * FROM information_schema.tables".to_owned(), "unknown_table"),
        ("SELECT * FROM __rapidbyte_cached".to_owned(), "unknown_table"),
        ("SELECT id FROM".to_owned(), "sql_syntax"),
        ("SELECT id FROM ordrs".to_owned(), "unknown_table"),
        ("SELECT emial FROM orders".to_owned(), "unknown_column"),
        ("SELECT nope(id) FROM orders".to_owned(), "unknown_function"),
        ("SELECT id + paid FROM orders".to_owned(), "sql_type"),
        ("SELECT id FROM orders; SELECT 1".to_owned(), "sql_syntax"),
        ("SELECT 1 / (id - id) FROM orders".to_owned(), "division_by_zero"),
        (format!("SELECT {} FROM orders", vec!["id"; 600].join("+")), "sql_too_large"),
    ] {
        let error = ask(cache.path(), &sql).await.unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error:?}");
    }
    assert_eq!(ids(cache.path()).await, "1 2 3 4");
    assert_eq!(ask(cache.path(), "SELECT 1 AS one, random() < 2 AS two").await.unwrap(), ["1|true"]);
}

#[tokio::test]
async fn memory_is_bounded_and_what_can_spill_spills() {
    let cache = tempfile::tempdir().unwrap();
    let stream = open(cache.path(), CacheMode::Append, false);
    let mut writer = stream.writer(0, None).unwrap();
    for part in 0..20 {
        let values: Vec<String> =
            (0..10_000).map(|it| format!("{:0100}", (it * 7919 + part) % 200_000)).collect();
        writer.append(&column("text", StringArray::from(values))).unwrap();
    }
    writer.commit(1).unwrap();
    let small = QuerySession::open(cache.path(), 16 * MIB).unwrap();
    let mut answer = small.query("SELECT text FROM orders ORDER BY text").await.unwrap();
    let (mut count, mut last) = (0, String::new());
    while let Some(batch) = answer.next().await {
        for row in rows(&[batch.unwrap()]) {
            assert!(last <= row);
            last = row;
            count += 1;
        }
    }
    assert_eq!(count, 200_000);
    let tiny = QuerySession::open(cache.path(), MIB).unwrap();
    let mut answer =
        tiny.query("SELECT a.text FROM orders a JOIN orders b ON a.text = b.text").await.unwrap();
    let error = loop {
        match answer.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a join of 20 MB took less than one"),
        }
    };
    assert_eq!(error.code(), "out_of_memory", "{error}");
}

async fn written(cache: &Path, sql: &str, format: OutputFormat) -> (String, u64) {
    let mut out = Vec::new();
    let answer = session(cache).query(sql).await.unwrap();
    let written = write(answer, format, &mut out).await.unwrap();
    (String::from_utf8_lossy(&out).into_owned(), written.rows)
}

#[tokio::test]
async fn answers_are_written_for_people_and_machines() {
    let cache = tempfile::tempdir().unwrap();
    fill(cache.path(), "shop", "orders", &orders());
    let sql = "SELECT id, email, amount, created FROM orders WHERE id > 2 ORDER BY id";
    assert_eq!(
        written(cache.path(), sql, OutputFormat::Csv).await,
        ("id,email,amount,created\n3,,,\n4,User4@X.org,42.00,1970-01-05T00:00:00Z\n".to_owned(), 2)
    );
    assert_eq!(
        written(cache.path(), sql, OutputFormat::Json).await.0,
        "[{\"id\":3,\"email\":null,\"amount\":null,\"created\":null},\
         {\"id\":4,\"email\":\"User4@X.org\",\"amount\":42.00,\"created\":\"1970-01-05T00:00:00Z\"}]\n"
    );
    let (table, _) =
        written(cache.path(), "SELECT id, email FROM orders WHERE id > 2 ORDER BY id", OutputFormat::Table)
            .await;
    assert_eq!(
        table,
        "+----+-------------+\n| id | email       |\n+----+-------------+\n| 3  | NULL        |\n\
         | 4  | User4@X.org |\n+----+-------------+\n"
    );
    let none = "SELECT id FROM orders WHERE id > 9";
    assert_eq!(written(cache.path(), none, OutputFormat::Csv).await.0, "id\n");
    assert_eq!(written(cache.path(), none, OutputFormat::Json).await.0, "[]\n");
    let mut out = Vec::new();
    let answer = session(cache.path()).query("SELECT * FROM orders").await.unwrap();
    write(answer, OutputFormat::Parquet, &mut out).await.unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(out), 1024)
            .unwrap();
    let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(rows(&read), rows(&[orders()]));
}

#[tokio::test]
async fn a_long_answer_is_cut_as_a_table_and_whole_as_data() {
    let cache = tempfile::tempdir().unwrap();
    fill(cache.path(), "shop", "numbers", &column("n", Int64Array::from_iter_values(0..25_000)));
    let answer = session(cache.path()).query("SELECT n FROM numbers").await.unwrap();
    let mut out = Vec::new();
    let written = write(answer, OutputFormat::Table, &mut out).await.unwrap();
    assert_eq!((written.rows, written.rows_shown), (25_000, 10_000));
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 10_004);
    assert_eq!(
        self::written(cache.path(), "SELECT n FROM numbers", OutputFormat::Csv).await.0.lines().count(),
        25_001
    );
}

#[test]
fn a_damaged_cache_says_which_file() {
    let cache = tempfile::tempdir().unwrap();
    fill(cache.path(), "shop", "orders", &orders());
    let file = walk(cache.path()).into_iter().find(|it| it.ends_with(".parquet")).unwrap();
    std::fs::write(&file, "PAR1 nothing of the kind PAR1").unwrap();
    let error = QuerySession::open(cache.path(), MIB).err().unwrap();
    assert_eq!(error.code(), "cache_damaged");
    assert!(error.to_string().contains(&file), "{error}");
    let manifest = walk(cache.path()).into_iter().find(|it| it.ends_with(".json")).unwrap();
    std::fs::write(&manifest, "{").unwrap();
    assert_eq!(QuerySession::open(cache.path(), MIB).err().unwrap().code(), "cache_damaged");
    assert!(StreamCache::open(cache.path(), "shop", "orders", CacheMode::Append, false).is_err());
    assert!(StreamCache::open(cache.path(), &"x".repeat(300), "orders", CacheMode::Append, false).is_err());
}

#[tokio::test]
async fn an_empty_cache_has_no_tables() {
    let cache = tempfile::tempdir().unwrap();
    let session = QuerySession::open(&cache.path().join("not there"), MIB).unwrap();
    assert_eq!(session.tables().count(), 0);
    let error = session.query("SELECT * FROM orders").await.err().unwrap();
    assert!(error.hint().unwrap().contains("cache"), "{error:?}");
}
