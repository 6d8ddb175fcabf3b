//! State in one SQLite file: write-ahead log, so it can be read while a sync runs; `synchronous = FULL`, so an answered
//! write survives a power failure.
//!
//! One connection behind a mutex, used on threads that may block. Every method is one `IMMEDIATE` transaction, so what a
//! method has read still holds when it writes, across processes too.

mod dead_letters;
mod explain;
mod open;
mod rows;
mod transfer;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use rapidbyte_core::limits::RESET_ID_STEP;
use rapidbyte_core::ports::{
    RunCounters, RunFilter, RunRecord, RunStatus, SavedCheckpoint, SavedPosition, StateError, StateStore,
    TaskKey,
};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::clock::now;
use crate::holder::{self, Holder};
use crate::limits::{ERROR_BYTES_MAX, RUNS_KEPT};
use crate::text::cut;
use explain::{explain_io, sqlite_error, unavailable};
use open::{create_private, prepare, schema_error};
use rows::{history_record, integer, newest_checkpoint, saved_checkpoint, store_value, value};
use write::Write;

/// State in one SQLite file. Cheap to clone; the clones share the connection and the process's claims.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    holders: PathBuf,
    database: Mutex<Database>,
}

struct Database {
    connection: Connection,
    /// Made with the first claim, so that looking at the state leaves no trace.
    holder: Option<Holder>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteStore({})", self.inner.path.display())
    }
}

impl SqliteStore {
    /// Opens the state at `path`, making the file and its folder if they are missing, and migrates it. Blocks.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let unavailable = |message: String| unavailable(path, message);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|error| {
            unavailable(format!("cannot make the folder `{}`: {error}", folder.display()))
        })?;
        create_private(path).map_err(|error| unavailable(explain_io(&error)))?;
        let mut connection = Connection::open(path).map_err(|error| sqlite_error(path, &error))?;
        prepare(&mut connection).map_err(|error| schema_error(path, error))?;
        let store = SqliteStore {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                holders: folder.join("holders"),
                database: Mutex::new(Database { connection, holder: None }),
            }),
        };
        Ok(store)
    }

    /// Does `work` in one transaction on a thread that may block. Dropping the future does not interrupt the work.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Write<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.blocking(move |inner, database| {
            let fail = |error| sqlite_error(&inner.path, &error);
            let Database { connection, holder } = database;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
            let answer =
                work(&Write { inner, transaction: &transaction, holder: holder.as_ref().map(Holder::id) })?;
            transaction.commit().map_err(fail)?;
            Ok(answer)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        self.blocking(move |inner, database| {
            work(&database.connection).map_err(|error| sqlite_error(&inner.path, &error))
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Database) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let inner = self.inner.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut database = inner.database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            work(&inner, &mut database)
        });
        task.await.unwrap_or_else(|error| {
            Err(unavailable(&self.inner.path, format!("the state's thread ended: {error}")))
        })
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    fn location(&self) -> String {
        self.inner.path.display().to_string()
    }

    async fn begin_run(&self, pipeline: &str, stream: &str) -> Result<i64, StateError> {
        let (pipeline, stream) = (pipeline.to_owned(), stream.to_owned());
        // Outside the transaction: it touches the disk, and needs no lock.
        self.blocking(|inner, database| {
            if database.holder.is_none() {
                let holder = Holder::enter(&inner.holders).map_err(|error| {
                    let folder = inner.holders.display();
                    unavailable(
                        &inner.path,
                        format!("cannot lock a file in `{folder}`: {}", explain_io(&error)),
                    )
                })?;
                database.holder = Some(holder);
            }
            Ok(())
        })
        .await?;
        self.write(move |write| {
            write.take_over(&pipeline, Some(&stream))?;
            let inserted = write.transaction.execute(
                "INSERT INTO sync_runs (pipeline, stream, status, started_at, holder, holder_name)
                 VALUES (?1, ?2, 'running', ?3, ?4, ?5)",
                params![pipeline, stream, now(), write.holder.unwrap_or_default(), holder::describe_this_process()],
            );
            inserted.map_err(|error| write.error(error))?;
            let run_id = write.transaction.last_insert_rowid();
            write
                .transaction
                .execute(
                    "DELETE FROM sync_runs WHERE pipeline = ?1 AND stream = ?2 AND status <> 'running' AND id <=
                         (SELECT id FROM sync_runs WHERE pipeline = ?1 AND stream = ?2
                          ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                    params![pipeline, stream, RUNS_KEPT],
                )
                .map_err(|error| write.error(error))?;
            Ok(run_id)
        })
        .await
    }

    async fn finish_run(
        &self,
        run_id: i64,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        let error = error.map(|error| cut(error, ERROR_BYTES_MAX));
        self.write(move |write| {
            if status == RunStatus::Running {
                return Err(write.refuse(format!("run {run_id} cannot finish as running")));
            }
            write.holds(run_id)?;
            write
                .transaction
                .execute(
                    "UPDATE sync_runs SET status = ?2, finished_at = ?3, records_read = ?4, records_written = ?5,
                                          bytes_read = ?6, bytes_written = ?7, error = ?8 WHERE id = ?1",
                    params![
                        run_id,
                        status.as_str(),
                        now(),
                        integer(counters.records_read),
                        integer(counters.records_written),
                        integer(counters.bytes_read),
                        integer(counters.bytes_written),
                        error
                    ],
                )
                .map_err(|error| write.error(error))?;
            Ok(())
        })
        .await
    }

    async fn last_checkpoint(&self, key: &TaskKey) -> Result<Option<SavedCheckpoint>, StateError> {
        let key = key.clone();
        self.read(move |connection| newest_checkpoint(connection, &key)).await
    }

    async fn save_checkpoint(
        &self,
        run_id: i64,
        key: &TaskKey,
        checkpoint: &SavedCheckpoint,
        counters: RunCounters,
    ) -> Result<(), StateError> {
        let (key, checkpoint) = (key.clone(), checkpoint.clone());
        self.write(move |write| {
            write.holds(run_id)?;
            if let Some(last) = write.newest(&key)?
                && checkpoint.id <= last.id
            {
                return Err(write.refuse(format!(
                    "checkpoint {} of stream `{}` is not newer than the saved {}",
                    checkpoint.id, key.stream, last.id
                )));
            }
            write.insert(&key, Some(run_id), &checkpoint)?;
            dead_letters::settle(write.transaction, &key, checkpoint.id).map_err(|error| write.error(error))?;
            write
                .transaction
                .prepare_cached(
                    "UPDATE sync_runs SET records_read = ?2, records_written = ?3, bytes_read = ?4, bytes_written = ?5
                     WHERE id = ?1",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        run_id,
                        integer(counters.records_read),
                        integer(counters.records_written),
                        integer(counters.bytes_read),
                        integer(counters.bytes_written)
                    ])
                })
                .map_err(|error| write.error(error))?;
            Ok(())
        })
        .await
    }

    async fn add_dead_letters(
        &self,
        run_id: i64,
        key: &TaskKey,
        letters: &DeadLetters,
    ) -> Result<(), StateError> {
        let (key, letters) = (key.clone(), letters.clone());
        self.write(move |write| {
            write.holds(run_id)?;
            dead_letters::add(write, run_id, &key, &letters)
        })
        .await
    }

    async fn resolve_dead_letters(&self, key: &TaskKey, committed: Option<u64>) -> Result<(), StateError> {
        let key = key.clone();
        self.write(move |write| {
            write.holds_stream(&key.pipeline, &key.stream)?;
            dead_letters::resolve(write.transaction, &key, committed).map_err(|error| write.error(error))
        })
        .await
    }

    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        behind: i64,
        limit: u32,
    ) -> Result<Vec<StoredDeadLetters>, StateError> {
        let filter = filter.clone();
        self.read(move |connection| dead_letters::settled(connection, &filter, behind, limit)).await
    }

    async fn dead_letter_groups(&self, pipeline: Option<&str>) -> Result<Vec<DeadLetterGroup>, StateError> {
        let pipeline = pipeline.map(str::to_owned);
        self.read(move |connection| dead_letters::groups(connection, pipeline.as_deref())).await
    }

    async fn forget_dead_letters(&self, ids: &[i64]) -> Result<(), StateError> {
        let ids = ids.to_vec();
        self.write(move |write| {
            dead_letters::forget(write.transaction, &ids).map_err(|error| write.error(error))
        })
        .await
    }

    async fn positions(&self, pipeline: Option<&str>) -> Result<Vec<SavedPosition>, StateError> {
        let pipeline = pipeline.map(str::to_owned);
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT pipeline, stream, partition_index, id, cursor_field, cursor_type, cursor_value, complete, reset,
                        saved_at
                 FROM checkpoints AS newest
                 WHERE (?1 IS NULL OR pipeline = ?1)
                   AND id = (SELECT max(id) FROM checkpoints AS other WHERE other.pipeline = newest.pipeline
                             AND other.stream = newest.stream AND other.partition_index = newest.partition_index)
                 ORDER BY pipeline, stream, partition_index",
            )?;
            let rows = statement.query_map([pipeline], |row| {
                let key = TaskKey { pipeline: row.get(0)?, stream: row.get(1)?, partition: row.get(2)? };
                Ok(SavedPosition { key, checkpoint: saved_checkpoint(row, 3)? })
            })?;
            rows.collect()
        })
        .await
    }

    async fn history(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        let filter = filter.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, pipeline, stream, status, started_at, finished_at, records_read, records_written, bytes_read,
                        bytes_written, error
                 FROM sync_runs WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR stream = ?2)
                     AND (?3 IS NULL OR status = ?3)
                 ORDER BY id DESC LIMIT ?4",
            )?;
            let status = filter.status.map(RunStatus::as_str);
            let rows =
                statement.query_map(params![filter.pipeline, filter.stream, status, limit], history_record)?;
            rows.collect()
        })
        .await
    }

    async fn reset(&self, pipeline: &str, stream: Option<&str>) -> Result<Vec<TaskKey>, StateError> {
        let (pipeline, stream) = (pipeline.to_owned(), stream.map(str::to_owned));
        self.write(move |write| {
            write.take_over(&pipeline, stream.as_deref())?;
            let fail = |error| write.error(error);
            let mut keys = {
                let mut statement = write
                    .transaction
                    .prepare_cached(
                        "SELECT DISTINCT stream, partition_index FROM checkpoints
                         WHERE pipeline = ?1 AND (?2 IS NULL OR stream = ?2) ORDER BY stream, partition_index",
                    )
                    .map_err(fail)?;
                let rows = statement.query_map(params![pipeline, stream], |row| {
                    Ok(TaskKey { pipeline: pipeline.clone(), stream: row.get(0)?, partition: row.get(1)? })
                });
                rows.and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>).map_err(fail)?
            };
            if let Some(stream) = &stream
                && keys.is_empty()
            {
                keys.push(TaskKey { pipeline: pipeline.clone(), stream: stream.clone(), partition: 0 });
            }
            for key in &keys {
                let last_id = write.newest(key)?.map_or(0, |last| last.id);
                let tombstone = SavedCheckpoint {
                    id: last_id.saturating_add(RESET_ID_STEP),
                    cursor: None,
                    complete: false,
                    reset: true,
                    saved_at: now(),
                };
                write.insert(key, None, &tombstone)?;
            }
            dead_letters::drop_pending(write.transaction, &pipeline, stream.as_deref()).map_err(fail)?;
            write
                .transaction
                .execute(
                    "DELETE FROM connector_state WHERE json_valid(scope) AND json_extract(scope, '$[1]') = ?1
                         AND (?2 IS NULL OR (json_extract(scope, '$[0]') = 'stream' AND json_extract(scope, '$[2]') = ?2))",
                    params![pipeline, stream],
                )
                .map_err(fail)?;
            Ok(keys)
        })
        .await
    }

    async fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.read(move |connection| value(connection, &scope, &key)).await
    }

    async fn put(&self, scope: &str, key: &str, value: &[u8]) -> Result<(), StateError> {
        let (scope, key, value) = (scope.to_owned(), key.to_owned(), value.to_owned());
        self.write(move |write| {
            store_value(write.transaction, &scope, &key, &value).map_err(|error| write.error(error))
        })
        .await
    }

    async fn compare_and_swap(
        &self,
        scope: &str,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool, StateError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        let (expected, new) = (expected.map(<[u8]>::to_vec), new.to_owned());
        self.write(move |write| {
            let fail = |error| write.error(error);
            if value(write.transaction, &scope, &key).map_err(fail)? != expected {
                return Ok(false);
            }
            store_value(write.transaction, &scope, &key, &new).map_err(fail)?;
            Ok(true)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use rapidbyte_core::contract::{Cursor, CursorValue};

    use super::*;

    /// A file that cannot grow behaves as a full disk does.
    #[tokio::test]
    async fn a_full_disk_is_said_and_loses_nothing_that_was_answered() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        let run = store.begin_run("p", "s").await.unwrap();
        let pages = |sql: &str| {
            let database = store.inner.database.lock().unwrap();
            database.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        pages(&format!("PRAGMA max_page_count = {}", pages("PRAGMA page_count") + 4));
        let key = TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 };
        let mut answered = 0;
        let error = loop {
            let checkpoint = SavedCheckpoint {
                id: answered + 1,
                cursor: Some(Cursor { field: "id".into(), value: CursorValue::Utf8("x".repeat(3000)) }),
                complete: false,
                reset: false,
                saved_at: 1,
            };
            match store.save_checkpoint(run, &key, &checkpoint, RunCounters::default()).await {
                Ok(()) => answered += 1,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("free some space"), "{error}");
        assert!(answered > 0);
        assert_eq!(store.last_checkpoint(&key).await.unwrap().unwrap().id, answered);
        pages("PRAGMA max_page_count = 100000");
        store.finish_run(run, RunStatus::Failed, RunCounters::default(), None).await.unwrap();
    }
}
