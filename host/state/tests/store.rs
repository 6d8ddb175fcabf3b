//! The state through its port: what is kept, what is refused, what survives. Each test has a folder of its own.

use std::path::Path;

use rapidbyte_core::contract::{Cursor, CursorValue, StateScope};
use rapidbyte_core::limits::RESET_ID_STEP;
use rapidbyte_core::ports::{
    RunCounters, RunStatus, SavedCheckpoint, StateError, StateStore, TaskKey, state_scope_name,
    task_scope_name,
};
use rapidbyte_state::SqliteStore;
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Fixture { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("deep/state.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).unwrap()
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

fn key(stream: &str) -> TaskKey {
    TaskKey { pipeline: "p".into(), stream: stream.into(), partition: 0 }
}

fn checkpoint(id: u64, value: CursorValue) -> SavedCheckpoint {
    SavedCheckpoint {
        id,
        cursor: Some(Cursor { field: "updated_at".into(), value }),
        complete: false,
        reset: false,
        saved_at: 1_700_000_000,
    }
}

fn counters(n: u64) -> RunCounters {
    RunCounters { records_read: n, records_written: n, bytes_read: n, bytes_written: n }
}

fn message(error: &StateError) -> String {
    error.to_string()
}

#[tokio::test]
async fn every_cursor_type_comes_back_as_it_was() {
    let fixture = Fixture::new();
    let values = [
        CursorValue::Int64(i64::MIN),
        CursorValue::Utf8("ünïcode 'quoted' \0".into()),
        CursorValue::TimestampMillis(-1),
        CursorValue::TimestampMicros(i64::MAX),
        CursorValue::Decimal("12345678901234567890.123456789".into()),
        CursorValue::Json(r#"{"a":[1,null]}"#.into()),
        CursorValue::Lsn(u64::MAX),
    ];
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    for (index, value) in values.into_iter().enumerate() {
        let saved = checkpoint(index as u64 + 1, value);
        store.save_checkpoint(run, &key("s"), &saved, counters(1)).await.unwrap();
        assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), Some(saved.clone()));
        assert_eq!(
            fixture.open().last_checkpoint(&key("s")).await.unwrap(),
            Some(saved),
            "seen by others at once"
        );
    }
}

#[tokio::test]
async fn a_checkpoint_must_be_newer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    let save = |id| {
        let store = store.clone();
        async move {
            store.save_checkpoint(run, &key("s"), &checkpoint(id, CursorValue::Int64(7)), counters(id)).await
        }
    };
    save(5).await.unwrap();
    assert!(message(&save(5).await.unwrap_err()).contains("not newer than the saved 5"));
    assert!(message(&save(4).await.unwrap_err()).contains("not newer"));
    assert!(message(&save(0).await.unwrap_err()).contains("not newer"));
    save(6).await.unwrap();
    assert!(message(&save(u64::MAX).await.unwrap_err()).contains("out of range"));
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 6);
    let record = &store.runs(Some("p"), 1).await.unwrap()[0];
    assert_eq!(
        (record.status, record.counters),
        (RunStatus::Running, counters(6)),
        "counters go with the checkpoint"
    );
}

#[tokio::test]
async fn history_is_kept_within_bounds_and_the_newest_counts() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    for id in 1..=40 {
        store
            .save_checkpoint(run, &key("s"), &checkpoint(id, CursorValue::Int64(0)), counters(0))
            .await
            .unwrap();
    }
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 40);
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let (count, oldest): (i64, i64) = connection
        .query_row("SELECT count(*), min(id) FROM checkpoints", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((count, oldest), (32, 9));
}

#[tokio::test]
async fn one_run_of_a_stream_at_a_time() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    let other = store.begin_run("p", "t").await.unwrap();
    let busy = store.begin_run("p", "s").await.unwrap_err();
    assert!(
        matches!(&busy, StateError::Busy { stream, holder, .. } if stream == "s" && holder == "this very process")
    );

    // A second store of the same process is another holder, as another process would be.
    let second = fixture.open();
    let busy = second.begin_run("p", "s").await.unwrap_err();
    assert!(matches!(&busy, StateError::Busy { holder, .. } if holder.starts_with("process ")), "{busy}");
    assert!(matches!(second.reset("p", None).await, Err(StateError::Busy { .. })));
    assert!(matches!(second.reset("p", Some("s")).await, Err(StateError::Busy { .. })));
    second.reset("p", Some("free")).await.unwrap();

    store.finish_run(run, RunStatus::Succeeded, counters(3), None).await.unwrap();
    let again = second.begin_run("p", "s").await.unwrap();
    assert!(again > run);
    let error = store.finish_run(again, RunStatus::Failed, counters(0), None).await.unwrap_err();
    assert!(message(&error).contains("not this process's"), "{error}");
    let error =
        store.save_checkpoint(run, &key("s"), &checkpoint(1, CursorValue::Int64(1)), counters(0)).await;
    assert!(message(&error.unwrap_err()).contains("succeeded"));

    drop(store);
    let taken = second.begin_run("p", "t").await.unwrap();
    let runs = second.runs(Some("p"), 10).await.unwrap();
    let status = |id| runs.iter().find(|run| run.run_id == id).map(|run| run.status);
    assert_eq!(status(other), Some(RunStatus::Crashed), "its store is gone");
    assert_eq!(status(taken), Some(RunStatus::Running));
    assert_eq!(status(run), Some(RunStatus::Succeeded));
}

#[tokio::test]
async fn a_run_finishes_once_and_with_a_final_status() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    assert!(store.finish_run(run, RunStatus::Running, counters(0), None).await.is_err());
    let long = "ü".repeat(10_000);
    store.finish_run(run, RunStatus::Failed, counters(9), Some(&long)).await.unwrap();
    assert!(store.finish_run(run, RunStatus::Failed, counters(9), None).await.is_err());
    assert!(
        message(&store.finish_run(999, RunStatus::Failed, counters(9), None).await.unwrap_err())
            .contains("gone")
    );
    let record = &store.runs(None, 5).await.unwrap()[0];
    assert_eq!((record.status, record.counters), (RunStatus::Failed, counters(9)));
    assert!(record.finished_at.is_some() && record.error.as_ref().unwrap().len() <= 4096);
}

#[tokio::test]
async fn a_reset_outweighs_every_receipt_there_can_be() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &checkpoint(7, CursorValue::Int64(1)), counters(0)).await.unwrap();
    store.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    let stream = state_scope_name(StateScope::Stream, &key("s"), "");
    let task = task_scope_name(&key("s"));
    let other = state_scope_name(StateScope::Stream, &key("other"), "");
    let connector = state_scope_name(StateScope::ConnectorInstance, &key("s"), "source");
    for scope in [&stream, &task, &other, &connector] {
        store.put(scope, "k", b"v").await.unwrap();
    }
    assert_eq!(store.reset("p", Some("s")).await.unwrap(), [key("s")]);
    let saved = store.last_checkpoint(&key("s")).await.unwrap().unwrap();
    assert_eq!((saved.id, saved.reset, saved.cursor, saved.complete), (7 + RESET_ID_STEP, true, None, false));
    assert_eq!(store.get(&stream, "k").await.unwrap(), None);
    assert_eq!(store.get(&task, "k").await.unwrap(), None);
    assert!(store.get(&other, "k").await.unwrap().is_some());
    assert!(store.get(&connector, "k").await.unwrap().is_some());

    // Again: what a run may have committed in between is covered too.
    store.reset("p", Some("s")).await.unwrap();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 7 + 2 * RESET_ID_STEP);
    // A stream that state knows nothing of (the state was lost) is reset by name.
    assert_eq!(store.reset("p", Some("lost")).await.unwrap(), [key("lost")]);
    assert!(store.last_checkpoint(&key("lost")).await.unwrap().unwrap().reset);
    assert_eq!(store.reset("p", None).await.unwrap(), [key("lost"), key("s")]);
    assert_eq!(store.get(&connector, "k").await.unwrap(), None, "the whole pipeline starts over");
    assert_eq!(store.reset("unknown", None).await.unwrap(), []);

    let run = store.begin_run("p", "s").await.unwrap();
    let next = checkpoint(7 + 3 * RESET_ID_STEP + 1, CursorValue::Int64(2));
    store.save_checkpoint(run, &key("s"), &next, counters(0)).await.unwrap();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), Some(next));
}

#[tokio::test]
async fn positions_are_the_newest_of_each_task() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for stream in ["b", "a"] {
        let run = store.begin_run("p", stream).await.unwrap();
        for id in 1..=3 {
            store
                .save_checkpoint(
                    run,
                    &key(stream),
                    &checkpoint(id, CursorValue::Int64(id as i64)),
                    counters(0),
                )
                .await
                .unwrap();
        }
    }
    let positions = store.positions(Some("p")).await.unwrap();
    let shown: Vec<_> = positions.iter().map(|p| (p.key.stream.as_str(), p.checkpoint.id)).collect();
    assert_eq!(shown, [("a", 3), ("b", 3)]);
    assert_eq!(store.positions(None).await.unwrap().len(), 2);
    assert!(store.positions(Some("q")).await.unwrap().is_empty());
    let cursors: Vec<(String, String, String)> = {
        let connection = rusqlite::Connection::open(fixture.path()).unwrap();
        let mut statement = connection
            .prepare("SELECT stream, cursor_type, cursor_value FROM sync_cursors ORDER BY stream")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(cursors[0], ("a".into(), "int64".into(), "3".into()));
}

#[tokio::test]
async fn connector_state_swaps_only_what_it_expects() {
    let fixture = Fixture::new();
    let store = fixture.open();
    assert_eq!(store.get("x", "k").await.unwrap(), None);
    assert!(!store.compare_and_swap("x", "k", Some(b"1"), b"2").await.unwrap());
    assert!(store.compare_and_swap("x", "k", None, b"1").await.unwrap());
    assert!(!store.compare_and_swap("x", "k", None, b"2").await.unwrap());
    assert!(store.compare_and_swap("x", "k", Some(b"1"), b"\0\xff").await.unwrap());
    assert_eq!(store.get("x", "k").await.unwrap().unwrap(), b"\0\xff");
    assert_eq!(store.get("y", "k").await.unwrap(), None, "scopes are apart");
    store.put("x", "k", b"").await.unwrap();
    assert_eq!(store.get("x", "k").await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn can_be_read_while_a_writer_is_in_the_middle() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &checkpoint(1, CursorValue::Int64(1)), counters(0)).await.unwrap();
    let mut writer = rusqlite::Connection::open(fixture.path()).unwrap();
    let open = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    open.execute("DELETE FROM checkpoints", []).unwrap();
    assert_eq!(fixture.open().positions(None).await.unwrap().len(), 1);
    open.rollback().unwrap();
}

#[test]
fn refuses_what_it_cannot_use_and_says_what_to_do() {
    let opened = |path: &Path| SqliteStore::open(path).map(|_| ()).unwrap_err().to_string();

    let fixture = Fixture::new();
    drop(fixture.open());
    fixture.sql("PRAGMA user_version = 99");
    let error = SqliteStore::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, StateError::TooNew { found: 99, known: 2, .. }), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be looked at as one\n".repeat(100)).unwrap();
    let message = opened(&text);
    assert!(message.contains("notes.txt") && message.contains("move it away"), "{message}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("not a database"), "it is left as it was");

    let foreign = folder.path().join("shop.db");
    rusqlite::Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE customers (id INTEGER)")
        .unwrap();
    let message = opened(&foreign);
    assert!(message.contains("another program") && message.contains("state.path"), "{message}");

    let message = opened(&text.join("state.db"));
    assert!(message.contains("cannot make the folder"), "{message}");
    let message = opened(folder.path());
    assert!(message.contains("directory"), "{message}");
}

#[tokio::test]
async fn damage_in_the_middle_is_an_error_and_not_a_wrong_answer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &checkpoint(1, CursorValue::Int64(1)), counters(0)).await.unwrap();
    drop(store);
    fixture.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = std::fs::read(fixture.path()).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(fixture.path(), bytes).unwrap();
    let error = match SqliteStore::open(&fixture.path()) {
        Err(error) => error,
        Ok(store) => store.last_checkpoint(&key("s")).await.unwrap_err(),
    };
    assert!(error.to_string().contains("damaged"), "{error}");
}

/// Whoever deletes the database after a crash seldom thinks of the log beside it.
#[tokio::test]
async fn a_log_without_its_database_is_not_replayed() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &checkpoint(1, CursorValue::Int64(1)), counters(0)).await.unwrap();
    let log = fixture.path().with_extension("db-wal");
    let bytes = std::fs::read(&log).unwrap();
    assert!(!bytes.is_empty());
    drop(store);
    std::fs::remove_file(fixture.path()).unwrap();
    std::fs::write(&log, bytes).unwrap();
    let store = fixture.open();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), None);
    store.begin_run("p", "s").await.unwrap();
}

#[tokio::test]
async fn a_cursor_that_makes_no_sense_is_an_error() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &checkpoint(1, CursorValue::Int64(1)), counters(0)).await.unwrap();
    fixture.sql("UPDATE checkpoints SET cursor_value = 'seven'");
    let error = store.last_checkpoint(&key("s")).await.unwrap_err();
    assert!(error.to_string().contains("`seven` is not a cursor of type `int64`"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    drop(fixture.open());
    assert_eq!(std::fs::metadata(fixture.path()).unwrap().permissions().mode() & 0o077, 0);
}
