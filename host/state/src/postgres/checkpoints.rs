//! Checkpoints: the newest of each task counts, a few before it are history.

use async_trait::async_trait;
use rapidbyte_core::ports::{RunCounters, SavedCheckpoint, SavedPosition, TaskKey};

use super::dead_letters::settle;
use super::rows::{Columns, CursorColumns, checkpoint_id};
use super::session::{Fault, Session};
use super::transaction::Operation;
use super::{claims, runs};
use crate::limits::CHECKPOINTS_KEPT;

pub struct SaveCheckpoint {
    pub run_id: i64,
    pub key: TaskKey,
    pub checkpoint: SavedCheckpoint,
    pub counters: RunCounters,
}

#[async_trait]
impl Operation for SaveCheckpoint {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        claims::holds(session, self.run_id).await?;
        if let Some(last) = newest(session, &self.key).await?
            && self.checkpoint.id <= last.id
        {
            return Err(session.refuse(format!(
                "checkpoint {} of stream `{}` is not newer than the saved {}",
                self.checkpoint.id, self.key.stream, last.id
            )));
        }
        insert(session, &self.key, Some(self.run_id), &self.checkpoint).await?;
        runs::count(session, self.run_id, &self.counters).await?;
        settle(session, &self.key, self.checkpoint.id).await
    }
}

pub struct LastCheckpoint {
    pub key: TaskKey,
}

#[async_trait]
impl Operation for LastCheckpoint {
    type Answer = Option<SavedCheckpoint>;

    async fn run(&self, session: &Session) -> Result<Option<SavedCheckpoint>, Fault> {
        newest(session, &self.key).await
    }
}

pub struct Positions {
    pub pipeline: Option<String>,
}

#[async_trait]
impl Operation for Positions {
    type Answer = Vec<SavedPosition>;

    async fn run(&self, session: &Session) -> Result<Vec<SavedPosition>, Fault> {
        let rows = session
            .rows(
                "SELECT DISTINCT ON (pipeline, stream, partition_index)
                        pipeline, stream, partition_index, id, cursor_field, cursor_type, cursor_value, cursor_bytes,
                        complete, reset, saved_at
                 FROM checkpoints WHERE $1::text IS NULL OR pipeline = $1
                 ORDER BY pipeline, stream, partition_index, id DESC",
                &[&self.pipeline],
            )
            .await?;
        let position = |row| {
            let mut columns = Columns::of(session, row);
            Ok(SavedPosition { key: columns.key()?, checkpoint: columns.checkpoint()? })
        };
        rows.iter().map(position).collect()
    }
}

pub async fn newest(session: &Session, key: &TaskKey) -> Result<Option<SavedCheckpoint>, Fault> {
    let row = session
        .row(
            "SELECT id, cursor_field, cursor_type, cursor_value, cursor_bytes, complete, reset, saved_at FROM checkpoints
             WHERE pipeline = $1 AND stream = $2 AND partition_index = $3 ORDER BY id DESC LIMIT 1",
            &[&key.pipeline, &key.stream, &i64::from(key.partition)],
        )
        .await?;
    row.as_ref().map(|row| Columns::of(session, row).checkpoint()).transpose()
}

/// Adds a checkpoint, and forgets the oldest of its task.
pub async fn insert(
    session: &Session,
    key: &TaskKey,
    run_id: Option<i64>,
    checkpoint: &SavedCheckpoint,
) -> Result<(), Fault> {
    let id = checkpoint_id(session, checkpoint.id)?;
    let partition = i64::from(key.partition);
    let cursor = CursorColumns::of(checkpoint.cursor.as_ref());
    session
        .execute(
            "INSERT INTO checkpoints (pipeline, stream, partition_index, id, run_id, cursor_field, cursor_type, cursor_value,
                                      cursor_bytes, complete, reset, saved_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            &[
                &key.pipeline,
                &key.stream,
                &partition,
                &id,
                &run_id,
                &cursor.field,
                &cursor.kind,
                &cursor.text,
                &cursor.bytes,
                &checkpoint.complete,
                &checkpoint.reset,
                &checkpoint.saved_at,
            ],
        )
        .await?;
    session
        .execute(
            "DELETE FROM checkpoints WHERE pipeline = $1 AND stream = $2 AND partition_index = $3 AND id <=
                 (SELECT id FROM checkpoints WHERE pipeline = $1 AND stream = $2 AND partition_index = $3
                  ORDER BY id DESC LIMIT 1 OFFSET $4)",
            &[&key.pipeline, &key.stream, &partition, &i64::from(CHECKPOINTS_KEPT)],
        )
        .await?;
    match cursor.field {
        Some(field) => {
            session
                .execute(
                    "INSERT INTO sync_cursors (pipeline, stream, partition_index, cursor_field, cursor_type, cursor_value,
                                               updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (pipeline, stream, partition_index) DO UPDATE
                         SET cursor_field = $4, cursor_type = $5, cursor_value = $6, updated_at = $7",
                    &[
                        &key.pipeline,
                        &key.stream,
                        &partition,
                        &field,
                        &cursor.kind,
                        &cursor.text,
                        &checkpoint.saved_at,
                    ],
                )
                .await?
        }
        None => {
            session
                .execute(
                    "DELETE FROM sync_cursors WHERE pipeline = $1 AND stream = $2 AND partition_index = $3",
                    &[&key.pipeline, &key.stream, &partition],
                )
                .await?
        }
    };
    Ok(())
}
