//! The commit protocol: receipts, resuming, fences, locks.

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};

use crate::harness::{Database, cursor, people, people_stream, write_with};

const RECEIPT: &str = "SELECT pipeline, stream, partition_index, checkpoint_id, cursor_field, cursor_type, \
                       cursor_value, complete FROM raw._rapidbyte_receipts";

#[test]
fn the_receipt_is_committed_with_the_rows_and_reported_at_the_next_start() {
    let database = Database::new();
    let (result, host) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&[(1, "a")]));
        host.feed_checkpoint(cursor(1));
        host.feed_end_of_stopped_source();
    });
    result.unwrap();
    assert_eq!(host.receipts(), []);
    assert_eq!(database.query(RECEIPT), "test|people|0|1|id|int64|1|f");

    let (result, host) = database.write_behind(1, &people_stream(WriteMode::Append), |host| {
        host.feed_batch(&people(&[(2, "b")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(host.receipts(), [Receipt { id: 1, cursor: cursor(1), complete: false }]);
    assert_eq!(database.query(RECEIPT), "test|people|0|2||||t");
    assert_eq!(database.rows("raw.people"), ["(1,a)", "(2,b)"]);
}

#[test]
fn every_kind_of_cursor_comes_back() {
    let database = Database::new();
    let cursors = [
        CursorValue::Int64(i64::MIN),
        CursorValue::Utf8("it's \\ ünï\n".into()),
        CursorValue::TimestampMillis(-1),
        CursorValue::TimestampMicros(1),
        CursorValue::Decimal("1.50".into()),
        CursorValue::Json("[1,\"x\"]".into()),
        CursorValue::Lsn(u64::MAX),
    ];
    for (index, value) in cursors.into_iter().enumerate() {
        let cursor = Some(Cursor::new("c", value));
        let id = index as u64 * 2;
        let (result, _) = database.write_behind(id, &people_stream(WriteMode::Append), |host| {
            host.feed_checkpoint(cursor.clone());
            host.feed_end_of_stopped_source();
        });
        result.unwrap();
        let (result, host) = database.write_behind(id + 1, &people_stream(WriteMode::Append), |host| {
            host.feed_checkpoint(None);
            host.feed_end_of_stopped_source();
        });
        result.unwrap();
        assert_eq!(host.receipts(), [Receipt { id: id + 1, cursor, complete: false }]);
    }
}

#[test]
fn a_checkpoint_delivered_twice_is_refused_and_changes_nothing() {
    for mode in [WriteMode::Append, WriteMode::Upsert, WriteMode::Replace] {
        let database = Database::new();
        let (result, _) = database.write_behind(6, &people_stream(mode), |host| {
            host.feed_batch(&people(&[(1, "a")]));
            host.feed_end();
        });
        result.unwrap();
        for last_id in [6, 3] {
            let (result, host) = database.write_behind(last_id, &people_stream(mode), |host| {
                host.feed_batch(&people(&[(2, "b")]));
                host.feed_end();
            });
            let error = result.unwrap_err();
            assert_eq!(error.code, "stale_checkpoint", "{mode}");
            assert_eq!(error.commit, Some(CommitState::BeforeCommit));
            assert_eq!(host.committed_checkpoints(), []);
            assert_eq!(database.rows("raw.people"), ["(1,a)"], "{mode}");
            assert_eq!(database.leftovers(), "", "{mode}");
        }
    }
}

#[test]
fn partitions_and_pipelines_have_receipts_of_their_own() {
    let database = Database::new();
    for (pipeline, partition) in [("p", 0), ("p", 1), ("q", 0)] {
        let mut stream = people_stream(WriteMode::Append);
        stream.pipeline = pipeline.into();
        stream.partition = Partition { index: partition, count: 2, ..Partition::WHOLE };
        let (result, host) = database.write(&stream, |host| {
            host.feed_batch(&people(&[(1, pipeline)]));
            host.feed_end();
        });
        result.unwrap();
        assert_eq!(host.receipts(), []);
    }
    assert_eq!(database.query("SELECT count(*) FROM raw._rapidbyte_receipts"), "3");
    assert_eq!(database.rows("raw.people"), ["(1,p)", "(1,p)", "(1,q)"]);
}

#[test]
fn a_second_writer_waits_then_names_the_holder() {
    let database = Database::new();
    let (result, _) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_end();
    });
    result.unwrap();
    block_on(async {
        // A first writer that has begun and waits for batches holds the lock.
        let first = TestHost::new();
        first.set_last_checkpoint_id(1);
        let config = database.config();
        let running = tokio::task::spawn_local({
            let first = first.clone();
            let config = config.clone();
            async move {
                let mut session = first.destination::<dest_postgres::DestPostgres>(config).await?;
                session.run(RunRequest::write(people_stream(WriteMode::Append))).await
            }
        });
        while first.receipts().is_empty() {
            assert!(!running.is_finished(), "the first writer ended");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut impatient = config.clone();
        impatient["lock_wait_seconds"] = 1.into();
        let second = TestHost::new();
        let mut session = second.destination::<dest_postgres::DestPostgres>(impatient).await.unwrap();
        let error = session.run(RunRequest::write(people_stream(WriteMode::Append))).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("stream_locked", true));
        let pid = database.query(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        assert!(error.message.contains(&format!("pid {pid} ")), "{} / {pid}", error.message);
        // Another stream is not in the way.
        let mut other = people_stream(WriteMode::Append);
        other.name = "others".into();
        let third = TestHost::new();
        third.feed_end();
        let mut session = third.destination::<dest_postgres::DestPostgres>(config.clone()).await.unwrap();
        session.run(RunRequest::write(other)).await.unwrap();
        // The first goes on as if nothing had happened, then the lock is free.
        first.feed_batch(&people(&[(1, "a")]));
        first.feed_end();
        running.await.unwrap().unwrap();
    });
    let (result, _) = database.write_behind(2, &people_stream(WriteMode::Append), |host| {
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,a)"]);
}

#[test]
fn a_receipt_that_cannot_be_read_stops_the_run() {
    let database = Database::new();
    let (result, _) = database.write(&people_stream(WriteMode::Append), |host| {
        host.feed_end();
    });
    result.unwrap();
    database.run(
        "UPDATE raw._rapidbyte_receipts SET cursor_field = 'id', cursor_type = 'int64', cursor_value = 'x'",
    );
    let (result, host) = database.write_behind(1, &people_stream(WriteMode::Append), |host| {
        host.feed_end();
    });
    assert_eq!(result.unwrap_err().code, "unreadable_receipt");
    assert_eq!(host.committed_checkpoints(), []);
}

#[test]
fn the_servers_durability_settings_are_left_alone() {
    let database = Database::new();
    block_on(async {
        let session = Session::open(&database.server.options(&database.name)).await.unwrap();
        let rows = session.client().simple_query("SHOW synchronous_commit").await.unwrap();
        let value = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        assert_eq!(value.as_deref(), Some("on"));
        session.close().await;
    });
    let (result, _) = database.write(&people_stream(WriteMode::Upsert), |host| {
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(
        database.query(
            "SELECT DISTINCT relpersistence FROM pg_class c JOIN pg_namespace n \
        ON n.oid = c.relnamespace WHERE n.nspname = 'raw'"
        ),
        "p"
    );
}

#[test]
fn a_password_never_shows_in_an_error() {
    let database = Database::new();
    database.run("CREATE ROLE scram_user LOGIN PASSWORD 'right-one'");
    let mut config = database.config();
    config["user"] = "scram_user".into();
    config["password"] = "wrong-secret".into();
    let error = write_with(&TestHost::new(), config, RunRequest::write(people_stream(WriteMode::Append)))
        .unwrap_err();
    assert_eq!(error.category, ErrorCategory::Auth);
    assert!(!format!("{error:?}").contains("wrong-secret"));
    database.run("DROP ROLE scram_user");
}
