//! What is SQLite's own: its file, its log, its damage. What it shares with the other backend is in `backends`.

use std::path::Path;

use rapidbyte_core::contract::{Cursor, CursorValue};
use rapidbyte_core::ports::{RunCounters, SavedCheckpoint, StateError, StateStore, TaskKey};
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
