//! A whole SQLite state out and in. Reading has a connection of its own, so that a sync goes on meanwhile.

use async_trait::async_trait;
use rapidbyte_core::ports::{StateError, TaskKey};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::dead_letters;
use super::explain::{sqlite_error, unavailable};
use super::open::{prepare, schema_error};
use super::rows::{history_record, integer, saved_checkpoint, store_value};
use super::write::Write;
use super::{Inner, SqliteStore};
use crate::clock::now;
use crate::holder::Holder;
use crate::transfer::{
    Base64, Existing, ExportedCheckpoint, ExportedLetters, ExportedRun, ExportedSequence, ExportedValue,
    Record, Running, Store, Totals, TransferError, ended_early,
};

#[async_trait]
impl Store for SqliteStore {
    async fn export(&self, running: Running, out: mpsc::Sender<Record>) -> Result<(), StateError> {
        let inner = self.inner.clone();
        let exporting = tokio::task::spawn_blocking(move || {
            let mut connection =
                Connection::open(&inner.path).map_err(|error| sqlite_error(&inner.path, &error))?;
            prepare(&mut connection).map_err(|error| schema_error(&inner.path, error))?;
            let behavior = match running {
                Running::Allowed => TransactionBehavior::Deferred,
                // Nobody else can begin a run while this is held.
                Running::Refused => TransactionBehavior::Immediate,
            };
            let transaction = connection
                .transaction_with_behavior(behavior)
                .map_err(|error| sqlite_error(&inner.path, &error))?;
            if running == Running::Refused {
                refuse_running(&inner, &transaction, None)?;
            }
            send_all(&transaction, &out).map_err(|error| sqlite_error(&inner.path, &error))
        });
        exporting.await.unwrap_or_else(|error| Err(unavailable(&self.inner.path, error.to_string())))
    }

    async fn import(
        &self,
        existing: Existing,
        mut records: mpsc::Receiver<Record>,
    ) -> Result<Totals, TransferError> {
        let imported = self.blocking(move |inner, database| {
            let fail = |error| sqlite_error(&inner.path, &error);
            let holder = database.holder.as_ref().map(Holder::id);
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(fail)?;
            refuse_running(inner, &transaction, holder)?;
            if existing == Existing::Kept && !is_empty(&transaction).map_err(fail)? {
                return Ok(Err(TransferError::NotEmpty { location: inner.path.display().to_string() }));
            }
            transaction
                .execute_batch(
                    "DELETE FROM sync_runs; DELETE FROM checkpoints; DELETE FROM sync_cursors;
                     DELETE FROM connector_state; DELETE FROM dead_letters",
                )
                .map_err(fail)?;
            let write = Write { inner, transaction: &transaction, holder: None };
            let totals = match take_all(&write, &mut records)? {
                Some(totals) => totals,
                None => return Ok(Err(ended_early(inner.path.display().to_string()))),
            };
            transaction.commit().map_err(fail)?;
            Ok(Ok(totals))
        });
        imported.await?
    }
}

/// Fails if a living process runs anything.
fn refuse_running(
    inner: &Inner,
    transaction: &Transaction<'_>,
    holder: Option<&str>,
) -> Result<(), StateError> {
    let write = Write { inner, transaction, holder };
    let pipelines = transaction
        .prepare("SELECT DISTINCT pipeline FROM sync_runs WHERE status = 'running'")
        .and_then(|mut statement| {
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        })
        .map_err(|error| write.error(error))?;
    pipelines.iter().try_for_each(|pipeline| write.take_over(pipeline, None))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sync_runs) AND NOT EXISTS (SELECT 1 FROM checkpoints)
            AND NOT EXISTS (SELECT 1 FROM connector_state) AND NOT EXISTS (SELECT 1 FROM dead_letters)",
        [],
        |row| row.get(0),
    )
}

fn send_all(connection: &Connection, out: &mpsc::Sender<Record>) -> rusqlite::Result<()> {
    let exported_at = now();
    let mut totals = Totals::default();
    let runs = send(
        connection,
        out,
        "SELECT id, pipeline, stream, status, started_at, finished_at, records_read, records_written, bytes_read,
                bytes_written, error FROM sync_runs ORDER BY id",
        |row| Ok(Record::Run(ExportedRun::of(history_record(row)?, exported_at))),
    )?;
    let checkpoints = send(
        connection,
        out,
        "SELECT pipeline, stream, partition_index, run_id, id, cursor_field, cursor_type, cursor_value, complete, reset,
                saved_at FROM checkpoints ORDER BY pipeline, stream, partition_index, id",
        |row| {
            let key = TaskKey { pipeline: row.get(0)?, stream: row.get(1)?, partition: row.get(2)? };
            Ok(Record::Checkpoint(ExportedCheckpoint::of(key, row.get(3)?, saved_checkpoint(row, 4)?)))
        },
    )?;
    let values =
        send(connection, out, "SELECT scope, key, value FROM connector_state ORDER BY scope, key", |row| {
            Ok(Record::Value(ExportedValue {
                scope: row.get(0)?,
                key: row.get(1)?,
                value: Base64(row.get(2)?),
            }))
        })?;
    let letters = send(
        connection,
        out,
        "SELECT settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id, occurred_at, errors,
                frame
         FROM dead_letters JOIN dead_letter_frames ON dead_letters_id = id ORDER BY id",
        |row| {
            let settled_id: Option<i64> = row.get(0)?;
            let stored = dead_letters::stored(row)?;
            let letters = ExportedLetters::of(settled_id, stored.key, stored.run_id, stored.letters);
            Ok(Record::DeadLetters(letters))
        },
    )?;
    let sequences = send(connection, out, "SELECT name, value FROM sequences ORDER BY name", |row| {
        Ok(Record::Sequence(ExportedSequence { name: row.get(0)?, value: row.get(1)? }))
    })?;
    if let (Some(runs), Some(checkpoints), Some(values), Some(dead_letters), Some(_)) =
        (runs, checkpoints, values, letters, sequences)
    {
        totals = Totals { runs, checkpoints, values, dead_letters };
    }
    // Where nobody receives, nobody hears of this either.
    let _ = out.blocking_send(Record::End(totals));
    Ok(())
}

/// Sends what a query finds; how many, or none where nobody receives any more.
fn send(
    connection: &Connection,
    out: &mpsc::Sender<Record>,
    sql: &str,
    record: impl Fn(&Row<'_>) -> rusqlite::Result<Record>,
) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if out.blocking_send(record(row)?).is_err() {
            return Ok(None);
        }
        count += 1;
    }
    Ok(Some(count))
}

/// None: the records ended early.
fn take_all(write: &Write<'_>, records: &mut mpsc::Receiver<Record>) -> Result<Option<Totals>, StateError> {
    let fail = |error| write.error(error);
    while let Some(record) = records.blocking_recv() {
        match record {
            Record::RapidbyteState(_) => {}
            Record::Run(run) => insert_run(write.transaction, &run).map_err(fail)?,
            Record::Checkpoint(checkpoint) => {
                let (key, saved) = checkpoint.saved().map_err(|message| write.refuse(message))?;
                write.insert(&key, checkpoint.run_id, &saved)?;
            }
            Record::Value(value) => {
                store_value(write.transaction, &value.scope, &value.key, &value.value.0).map_err(fail)?;
            }
            Record::DeadLetters(letters) => {
                let (id, key, run_id, letters) = letters.letters();
                dead_letters::insert(write.transaction, id, run_id, &key, &letters).map_err(fail)?;
            }
            Record::Sequence(sequence) => {
                write
                    .transaction
                    .execute(
                        "INSERT INTO sequences (name, value) VALUES (?1, ?2)
                         ON CONFLICT DO UPDATE SET value = max(value, ?2)",
                        params![sequence.name, sequence.value],
                    )
                    .map_err(fail)?;
            }
            Record::End(totals) => return Ok(Some(totals)),
        }
    }
    Ok(None)
}

fn insert_run(connection: &Connection, run: &ExportedRun) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO sync_runs (id, pipeline, stream, status, started_at, finished_at, records_read, records_written,
                                    bytes_read, bytes_written, error, holder, holder_name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '', 'imported')",
        )?
        .execute(params![
            run.id,
            run.pipeline,
            run.stream,
            run.status.as_str(),
            run.started_at,
            run.finished_at,
            integer(run.records_read),
            integer(run.records_written),
            integer(run.bytes_read),
            integer(run.bytes_written),
            run.error
        ])
        .map(|_| ())
}
