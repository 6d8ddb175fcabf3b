//! Runs: their claims and their history, and the reset that no run may be in the way of.

use async_trait::async_trait;
use rapidbyte_core::limits::RESET_ID_STEP;
use rapidbyte_core::ports::{
    RunCounters, RunFilter, RunRecord, RunStatus, SavedCheckpoint, StateError, TaskKey,
};

use super::checkpoints::{insert, newest};
use super::claims;
use super::dead_letters::drop_pending;
use super::rows::{Columns, integer, without_nul};
use super::session::{Fault, Session};
use super::transaction::Operation;
use crate::limits::RUNS_KEPT;

/// Two that claim a stream at once need two rounds: the second finds the row of the first.
const CLAIM_ROUNDS_MAX: u32 = 4;

pub struct BeginRun {
    pub pipeline: String,
    pub stream: String,
}

#[async_trait]
impl Operation for BeginRun {
    type Answer = i64;

    async fn run(&self, session: &Session) -> Result<i64, Fault> {
        let (pipeline, stream) = (&self.pipeline, &self.stream);
        for _ in 0..CLAIM_ROUNDS_MAX {
            claims::take_over(session, pipeline, Some(stream)).await?;
            let server = session.server();
            let row = session
                .row(
                    "INSERT INTO sync_runs (pipeline, stream, status, started_at, holder, holder_name)
                     VALUES ($1, $2, 'running', extract(epoch FROM clock_timestamp())::bigint, $3, $4)
                     ON CONFLICT (pipeline, stream) WHERE status = 'running' DO NOTHING RETURNING id",
                    &[pipeline, stream, &server.holder, &server.holder_name],
                )
                .await?;
            // Without a row, another was quicker: judge that one.
            let Some(row) = row else { continue };
            session
                .execute(
                    "DELETE FROM sync_runs WHERE pipeline = $1 AND stream = $2 AND status <> 'running' AND id <=
                         (SELECT id FROM sync_runs WHERE pipeline = $1 AND stream = $2
                          ORDER BY id DESC LIMIT 1 OFFSET $3)",
                    &[pipeline, stream, &i64::from(RUNS_KEPT)],
                )
                .await?;
            return Ok(row.get(0));
        }
        Err(Fault::Refused(StateError::Busy {
            pipeline: pipeline.clone(),
            stream: stream.clone(),
            holder: "several processes that claim it at once".to_owned(),
        }))
    }
}

pub struct FinishRun {
    pub run_id: i64,
    pub status: RunStatus,
    pub counters: RunCounters,
    pub error: Option<String>,
}

#[async_trait]
impl Operation for FinishRun {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        if self.status == RunStatus::Running {
            return Err(session.refuse(format!("run {} cannot finish as running", self.run_id)));
        }
        claims::holds(session, self.run_id).await?;
        session
            .execute(
                "UPDATE sync_runs SET status = $2, finished_at = extract(epoch FROM clock_timestamp())::bigint, error = $3
                 WHERE id = $1",
                &[&self.run_id, &self.status.as_str(), &self.error.as_deref().map(without_nul)],
            )
            .await?;
        count(session, self.run_id, &self.counters).await
    }
}

/// Notes the totals of a run.
pub async fn count(session: &Session, run_id: i64, counters: &RunCounters) -> Result<(), Fault> {
    session
        .execute(
            "UPDATE sync_runs SET records_read = $2, records_written = $3, bytes_read = $4, bytes_written = $5
             WHERE id = $1",
            &[
                &run_id,
                &integer(counters.records_read),
                &integer(counters.records_written),
                &integer(counters.bytes_read),
                &integer(counters.bytes_written),
            ],
        )
        .await
        .map(|_| ())
}

pub struct History {
    pub filter: RunFilter,
    pub limit: u32,
}

#[async_trait]
impl Operation for History {
    type Answer = Vec<RunRecord>;

    async fn run(&self, session: &Session) -> Result<Vec<RunRecord>, Fault> {
        let RunFilter { pipeline, stream, status } = &self.filter;
        let rows = session
            .rows(
                "SELECT id, pipeline, stream, status, started_at, finished_at, records_read, records_written, bytes_read,
                        bytes_written, error
                 FROM sync_runs WHERE ($1::text IS NULL OR pipeline = $1) AND ($2::text IS NULL OR stream = $2)
                     AND ($3::text IS NULL OR status = $3)
                 ORDER BY id DESC LIMIT $4",
                &[pipeline, stream, &status.map(RunStatus::as_str), &i64::from(self.limit)],
            )
            .await?;
        rows.iter().map(|row| Columns::of(session, row).run()).collect()
    }
}

pub struct Reset {
    pub pipeline: String,
    pub stream: Option<String>,
}

#[async_trait]
impl Operation for Reset {
    type Answer = Vec<TaskKey>;

    async fn run(&self, session: &Session) -> Result<Vec<TaskKey>, Fault> {
        let (pipeline, stream) = (&self.pipeline, &self.stream);
        // Readers go on; nobody begins a run until this is committed.
        session.batch("LOCK TABLE sync_runs IN SHARE ROW EXCLUSIVE MODE").await?;
        claims::take_over(session, pipeline, stream.as_deref()).await?;
        let rows = session
            .rows(
                "SELECT DISTINCT pipeline, stream, partition_index FROM checkpoints
                 WHERE pipeline = $1 AND ($2::text IS NULL OR stream = $2) ORDER BY stream, partition_index",
                &[pipeline, stream],
            )
            .await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            keys.push(Columns::of(session, row).key()?);
        }
        if let Some(stream) = stream
            && keys.is_empty()
        {
            keys.push(TaskKey { pipeline: pipeline.clone(), stream: stream.clone(), partition: 0 });
        }
        let now: i64 = session.one("SELECT extract(epoch FROM clock_timestamp())::bigint", &[]).await?.get(0);
        for key in &keys {
            let last_id = newest(session, key).await?.map_or(0, |last| last.id);
            let tombstone = SavedCheckpoint {
                id: last_id.saturating_add(RESET_ID_STEP),
                cursor: None,
                complete: false,
                reset: true,
                saved_at: now,
            };
            insert(session, key, None, &tombstone).await?;
        }
        drop_pending(session, pipeline, stream.as_deref()).await?;
        session
            .execute(
                "DELETE FROM connector_state WHERE pipeline = $1 AND ($2::text IS NULL OR stream = $2)",
                &[pipeline, stream],
            )
            .await?;
        Ok(keys)
    }
}
