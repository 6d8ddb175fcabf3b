//! The pipeline's predicate: what it keeps, in every kind of read, and how a bad one is refused.

use rapidbyte_sdk::prelude::*;

use crate::harness::{Database, behind, checkpoint_rows, columns, full, incremental};

const ORDERS: &str = "CREATE TABLE t (id int PRIMARY KEY, at int, note text, document json);
    INSERT INTO t SELECT n, CASE WHEN n % 10 > 0 THEN n / 7 END, 'it''s ' || n % 4, '{}' FROM generate_series(1, 1000) n;";

fn filtered(predicate: &str, stream: StreamContext) -> StreamContext {
    StreamContext { filter: Some(predicate.to_owned()), ..stream }
}

fn expected(database: &Database, sql: &str) -> Vec<String> {
    database.query(sql).lines().map(str::to_owned).collect()
}

#[test]
fn a_full_refresh_keeps_what_the_predicate_holds_for() {
    let mut database = Database::new(ORDERS);
    // Not true where `at` is NULL, and of weaker binding than anything that is put beside it.
    let predicate = "at < 20 OR note = 'it''s 3'";
    let ids = expected(&database, &format!("SELECT id FROM t WHERE {predicate} ORDER BY id"));
    assert!(ids.len() > 200 && ids.len() < 900);
    for order in ["never", "always"] {
        database.config = serde_json::json!({ "full_refresh_order": order });
        let mut read: Vec<u32> = database
            .read(filtered(predicate, columns(&["id"], full("t"))))
            .rows()
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        read.sort_unstable();
        assert_eq!(read.iter().map(u32::to_string).collect::<Vec<_>>(), ids, "{order}");
    }
    let whole = database.read(checkpoint_rows(100, filtered(predicate, columns(&["id"], full("t")))));
    for (records, position) in whole.cuts() {
        let rest = filtered(predicate, behind(Some(position), columns(&["id"], full("t"))));
        assert_eq!(database.read(rest).rows(), ids[records..]);
    }
}

#[test]
fn an_incremental_read_keeps_what_the_predicate_holds_for() {
    let database = Database::new(ORDERS);
    let predicate = "note <> 'it''s 0' OR false";
    let stream = || filtered(predicate, columns(&["id"], incremental("t", "at", &["id"])));
    let sql = format!("SELECT id FROM t WHERE {predicate} ORDER BY at NULLS FIRST, id");
    let whole = database.read(checkpoint_rows(100, stream()));
    assert_eq!(whole.rows(), expected(&database, &sql));
    for (records, position) in whole.cuts() {
        assert_eq!(database.read(behind(Some(position), stream())).rows(), whole.rows()[records..]);
    }
}

#[test]
fn only_records_within_the_predicate_count_as_without_a_cursor() {
    let database = Database::new(
        "CREATE TABLE t (id int, at int); INSERT INTO t VALUES (1, 1), (2, NULL), (3, NULL), (4, 4);",
    );
    let error = database.failure(filtered("id < 3", incremental("t", "at", &[])));
    assert_eq!(error.code, "null_cursor");
    assert!(error.message.contains(" 1 records"), "{error}");
    let read = database.read(filtered("id NOT IN (2, 3)", incremental("t", "at", &[])));
    assert_eq!(read.rows(), ["1|1", "4|4"]);
}

#[test]
fn a_predicate_that_the_server_refuses_is_named() {
    let database = Database::new(ORDERS);
    for predicate in [
        "nowhere = 1",
        "id",
        "id = = 1",
        "id = 'x'",
        "document = '{}'",
        "count(*) > 1",
        "id = $1",
        "no_such(id)",
    ] {
        for dry_run in [true, false] {
            let request = RunRequest { dry_run, ..RunRequest::read(filtered(predicate, full("t"))) };
            let error = database.try_read(request).err().unwrap();
            assert_eq!(
                (error.category, error.code.as_str()),
                (ErrorCategory::Config, "filter_refused"),
                "{predicate}: {error}"
            );
            assert!(error.message.contains(&format!("`{predicate}`")), "{error}");
        }
    }
}

#[test]
fn a_predicate_can_be_nothing_else() {
    let database = Database::new(ORDERS);
    for predicate in [
        "true) TO STDOUT; DROP TABLE t; COPY (SELECT 1",
        "true; DROP TABLE t",
        "true --",
        "true /*",
        "true) OR (true",
        "id = 1 OR (true",
        "",
    ] {
        let error = database.failure(filtered(predicate, full("t")));
        assert_eq!(error.code, "filter_refused", "{predicate}: {error}");
    }
    assert_eq!(database.query("SELECT count(*) FROM t").trim(), "1000");
}
