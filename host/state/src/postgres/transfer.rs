//! A whole PostgreSQL state out and in, each in one transaction on a connection of its own.

use std::pin::pin;

use async_trait::async_trait;
use futures::TryStreamExt;
use rapidbyte_core::ports::StateError;
use tokio::sync::mpsc;
use tokio_postgres::Row;

use super::rows::{Columns, integer, without_nul};
use super::session::{Fault, Session};
use super::{PostgresStore, Server, checkpoints, claims, dead_letters, values};
use crate::clock::now;
use crate::transfer::{
    Base64, Existing, ExportedCheckpoint, ExportedLetters, ExportedRun, ExportedSequence, ExportedValue,
    Record, Running, Store, Totals, TransferError, ended_early,
};

#[async_trait]
impl Store for PostgresStore {
    async fn export(&self, running: Running, out: mpsc::Sender<Record>) -> Result<(), StateError> {
        let shared = self.inner.shared.clone();
        self.there(async move {
            let server = &shared.server;
            let exporting = async {
                let session = Session::open(server, true).await?;
                session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
                if running == Running::Refused {
                    // Before anything is read, so that what is read includes every run that began before.
                    lock_runs(&session).await?;
                    refuse_running(&session).await?;
                }
                send_all(&session, &out).await?;
                session.batch("ROLLBACK").await
            };
            exporting.await.map_err(|fault| said(server, fault))
        })
        .await
    }

    async fn import(
        &self,
        existing: Existing,
        mut records: mpsc::Receiver<Record>,
    ) -> Result<Totals, TransferError> {
        let shared = self.inner.shared.clone();
        let imported = self.there(async move {
            let server = &shared.server;
            let importing = async {
                let session = Session::open(server, true).await?;
                session.batch("BEGIN").await?;
                lock_runs(&session).await?;
                refuse_running(&session).await?;
                if existing == Existing::Kept && !is_empty(&session).await? {
                    return Ok(Err(TransferError::NotEmpty { location: server.location.clone() }));
                }
                session
                    .batch(
                        "DELETE FROM sync_runs; DELETE FROM checkpoints; DELETE FROM sync_cursors;
                         DELETE FROM connector_state; DELETE FROM dead_letters",
                    )
                    .await?;
                let Some(totals) = take_all(&session, &mut records).await? else {
                    return Ok(Err(ended_early(server.location.clone())));
                };
                session.batch("COMMIT").await?;
                Ok(Ok(totals))
            };
            importing.await.map_err(|fault| said(server, fault))
        });
        imported.await?
    }
}

/// Nothing here is tried again: what is moved is read once.
fn said(server: &Server, fault: Fault) -> StateError {
    match fault {
        Fault::Refused(error) => error,
        Fault::Lost(message) | Fault::Conflict(message) => server.unavailable(message),
    }
}

/// Readers go on; nobody begins or ends a run until the transaction ends.
async fn lock_runs(session: &Session) -> Result<(), Fault> {
    session.batch("LOCK TABLE sync_runs IN SHARE ROW EXCLUSIVE MODE").await
}

/// Fails if a living process runs anything.
async fn refuse_running(session: &Session) -> Result<(), Fault> {
    let rows = session.rows("SELECT DISTINCT pipeline FROM sync_runs WHERE status = 'running'", &[]).await?;
    for row in rows {
        claims::take_over(session, row.get(0), None).await?;
    }
    Ok(())
}

async fn is_empty(session: &Session) -> Result<bool, Fault> {
    let row = session
        .one(
            "SELECT NOT EXISTS (SELECT FROM sync_runs) AND NOT EXISTS (SELECT FROM checkpoints)
                AND NOT EXISTS (SELECT FROM connector_state) AND NOT EXISTS (SELECT FROM dead_letters)",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

async fn send_all(session: &Session, out: &mpsc::Sender<Record>) -> Result<(), Fault> {
    let exported_at = now();
    let runs = send(
        session,
        out,
        "SELECT id, pipeline, stream, status, started_at, finished_at, records_read, records_written, bytes_read,
                bytes_written, error FROM sync_runs ORDER BY id",
        |row| Ok(Record::Run(ExportedRun::of(Columns::of(session, row).run()?, exported_at))),
    )
    .await?;
    let checkpoints = send(
        session,
        out,
        "SELECT pipeline, stream, partition_index, run_id, id, cursor_field, cursor_type, cursor_value, cursor_bytes,
                complete, reset, saved_at FROM checkpoints ORDER BY pipeline, stream, partition_index, id",
        |row| {
            let mut columns = Columns::of(session, row);
            let (key, run_id) = (columns.key()?, columns.take()?);
            Ok(Record::Checkpoint(ExportedCheckpoint::of(key, run_id, columns.checkpoint()?)))
        },
    )
    .await?;
    let values =
        send(session, out, "SELECT scope, key, value FROM connector_state ORDER BY scope, key", |row| {
            let mut columns = Columns::of(session, row);
            let (scope, key, value) = (columns.take()?, columns.take()?, columns.take()?);
            Ok(Record::Value(ExportedValue { scope, key, value: Base64(value) }))
        })
        .await?;
    let dead_letters = send(
        session,
        out,
        "SELECT settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id, occurred_at, errors,
                frame FROM dead_letters ORDER BY id",
        |row| {
            let (id, stored) = dead_letters::stored(&mut Columns::of(session, row))?;
            Ok(Record::DeadLetters(ExportedLetters::of(id, stored.key, stored.run_id, stored.letters)))
        },
    )
    .await?;
    send(session, out, "SELECT name, value FROM sequences ORDER BY name", |row| {
        let mut columns = Columns::of(session, row);
        Ok(Record::Sequence(ExportedSequence { name: columns.take()?, value: columns.take()? }))
    })
    .await?;
    // Where nobody receives, nobody hears of this either.
    let _ = out.send(Record::End(Totals { runs, checkpoints, values, dead_letters })).await;
    Ok(())
}

/// Sends what a query finds, and answers how many that were. Stops where nobody receives any more.
async fn send(
    session: &Session,
    out: &mpsc::Sender<Record>,
    sql: &'static str,
    record: impl Fn(&Row) -> Result<Record, Fault>,
) -> Result<u64, Fault> {
    let mut rows = pin!(session.stream(sql).await?);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(|error| session.fault(&error))? {
        if out.send(record(&row)?).await.is_err() {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// None: the records ended early.
async fn take_all(session: &Session, records: &mut mpsc::Receiver<Record>) -> Result<Option<Totals>, Fault> {
    while let Some(record) = records.recv().await {
        match record {
            Record::RapidbyteState(_) => {}
            Record::Run(run) => insert_run(session, &run).await?,
            Record::Checkpoint(checkpoint) => {
                let (key, saved) = checkpoint.saved().map_err(|message| session.refuse(message))?;
                checkpoints::insert(session, &key, checkpoint.run_id, &saved).await?;
            }
            Record::Value(value) => values::store(session, &value.scope, &value.key, &value.value.0).await?,
            Record::DeadLetters(letters) => {
                let (id, key, run_id, letters) = letters.letters();
                dead_letters::insert(session, id, run_id, &key, &letters).await?;
            }
            Record::Sequence(sequence) => {
                session
                    .execute(
                        "INSERT INTO sequences (name, value) VALUES ($1, $2)
                         ON CONFLICT (name) DO UPDATE SET value = greatest(sequences.value, $2)",
                        &[&sequence.name, &sequence.value],
                    )
                    .await?;
            }
            Record::End(totals) => {
                // The next run gets a number that no imported one has.
                session
                    .one(
                        "SELECT setval(pg_get_serial_sequence('sync_runs', 'id'),
                                       greatest((SELECT max(id) FROM sync_runs),
                                                nextval(pg_get_serial_sequence('sync_runs', 'id'))))",
                        &[],
                    )
                    .await?;
                return Ok(Some(totals));
            }
        }
    }
    Ok(None)
}

async fn insert_run(session: &Session, run: &ExportedRun) -> Result<(), Fault> {
    session
        .execute(
            "INSERT INTO sync_runs (id, pipeline, stream, status, started_at, finished_at, records_read, records_written,
                                    bytes_read, bytes_written, error, holder, holder_name)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 'imported')",
            &[
                &run.id,
                &run.pipeline,
                &run.stream,
                &run.status.as_str(),
                &run.started_at,
                &run.finished_at,
                &integer(run.records_read),
                &integer(run.records_written),
                &integer(run.bytes_read),
                &integer(run.bytes_written),
                &run.error.as_deref().map(without_nul),
            ],
        )
        .await
        .map(|_| ())
}
