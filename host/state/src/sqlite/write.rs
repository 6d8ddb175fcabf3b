//! The steps of a writing transaction: taking over from the dead, proving that a run is still ours, adding a checkpoint.

use rapidbyte_core::ports::{SavedCheckpoint, StateError, TaskKey};
use rusqlite::{OptionalExtension, Transaction, params};

use super::Inner;
use super::explain::{sqlite_error, unavailable};
use super::rows::{checkpoint_id, newest_checkpoint};
use crate::clock::now;
use crate::holder;
use crate::limits::CHECKPOINTS_KEPT;

/// An open transaction with what its work needs.
pub(super) struct Write<'a> {
    pub inner: &'a Inner,
    pub transaction: &'a Transaction<'a>,
    /// This process, once it has claimed anything.
    pub holder: Option<&'a str>,
}

impl Write<'_> {
    pub fn error(&self, error: rusqlite::Error) -> StateError {
        sqlite_error(&self.inner.path, &error)
    }

    pub fn refuse(&self, message: impl Into<String>) -> StateError {
        unavailable(&self.inner.path, message)
    }

    /// Fails if a living process runs one of these streams; marks the runs of dead ones as crashed.
    pub fn take_over(&self, pipeline: &str, stream: Option<&str>) -> Result<(), StateError> {
        let running = {
            let mut statement = self
                .transaction
                .prepare_cached(
                    "SELECT id, stream, holder, holder_name FROM sync_runs
                     WHERE status = 'running' AND pipeline = ?1 AND (?2 IS NULL OR stream = ?2) ORDER BY stream",
                )
                .map_err(|error| self.error(error))?;
            let rows = statement.query_map(params![pipeline, stream], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            });
            rows.and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>).map_err(|error| self.error(error))?
        };
        for (run_id, stream, holder_id, holder_name) in running {
            let ours = self.holder == Some(holder_id.as_str());
            let alive = ours
                || holder::is_alive(&self.inner.holders, &holder_id).map_err(|error| {
                    let folder = self.inner.holders.display();
                    self.refuse(format!(
                        "cannot tell whether {holder_name} still runs (lock files in `{folder}`): {error}"
                    ))
                })?;
            if alive {
                let holder = if ours { "this very process".to_owned() } else { holder_name };
                return Err(StateError::Busy { pipeline: pipeline.to_owned(), stream, holder });
            }
            tracing::info!(
                pipeline,
                stream,
                run_id,
                holder_name,
                "the process of this run died; taking over"
            );
            self.transaction
                .execute(
                    "UPDATE sync_runs SET status = 'crashed', finished_at = ?2, error = ?3 WHERE id = ?1",
                    params![run_id, now(), format!("{holder_name} died")],
                )
                .map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// Fails unless this process still holds the run.
    pub fn holds(&self, run_id: i64) -> Result<(), StateError> {
        let row: Option<(String, String, String, String)> = self
            .transaction
            .prepare_cached("SELECT status, holder, pipeline, stream FROM sync_runs WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([run_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                    .optional()
            })
            .map_err(|error| self.error(error))?;
        match row {
            Some((status, holder, ..)) if status == "running" && self.holder == Some(holder.as_str()) => {
                Ok(())
            }
            Some((status, _, pipeline, stream)) if status == "crashed" => {
                Err(self.taken_over(&pipeline, &stream, Some(run_id))?)
            }
            Some((status, ..)) => {
                Err(self.refuse(format!("run {run_id} is not this process's any more: it is {status}")))
            }
            None => Err(self.refuse(format!("run {run_id} is gone"))),
        }
    }

    /// Fails unless this process holds the running sync of a stream.
    pub fn holds_stream(&self, pipeline: &str, stream: &str) -> Result<(), StateError> {
        let holder: Option<String> = self
            .transaction
            .query_row(
                "SELECT holder FROM sync_runs WHERE status = 'running' AND pipeline = ?1 AND stream = ?2",
                [pipeline, stream],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| self.error(error))?;
        match holder {
            Some(holder) if self.holder == Some(holder.as_str()) => Ok(()),
            _ => Err(self.taken_over(pipeline, stream, None)?),
        }
    }

    /// Who has a stream now that a run (none: this process) had before.
    fn taken_over(
        &self,
        pipeline: &str,
        stream: &str,
        run_id: Option<i64>,
    ) -> Result<StateError, StateError> {
        let holder: Option<String> = self
            .transaction
            .query_row(
                "SELECT holder_name FROM sync_runs WHERE pipeline = ?1 AND stream = ?2 AND id > ?3 AND holder <> ?4
                 ORDER BY id DESC LIMIT 1",
                params![pipeline, stream, run_id.unwrap_or(0), self.holder.unwrap_or_default()],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| self.error(error))?;
        Ok(StateError::TakenOver {
            pipeline: pipeline.to_owned(),
            stream: stream.to_owned(),
            holder: holder.unwrap_or_else(|| "another process".to_owned()),
        })
    }

    pub fn newest(&self, key: &TaskKey) -> Result<Option<SavedCheckpoint>, StateError> {
        newest_checkpoint(self.transaction, key).map_err(|error| self.error(error))
    }

    pub fn insert(
        &self,
        key: &TaskKey,
        run_id: Option<i64>,
        checkpoint: &SavedCheckpoint,
    ) -> Result<(), StateError> {
        let id = checkpoint_id(checkpoint.id)
            .ok_or_else(|| self.refuse(format!("checkpoint id {} is out of range", checkpoint.id)))?;
        let parts =
            checkpoint.cursor.as_ref().map(|c| (c.field.as_str(), c.value.type_name(), c.value.value_text()));
        let (field, kind, value) = match &parts {
            Some((field, kind, value)) => (Some(*field), Some(*kind), Some(value.as_str())),
            None => (None, None, None),
        };
        let task = params![
            key.pipeline,
            key.stream,
            key.partition,
            id,
            run_id,
            field,
            kind,
            value,
            checkpoint.complete,
            checkpoint.reset,
            checkpoint.saved_at
        ];
        let execute = || -> rusqlite::Result<()> {
            self.transaction
                .prepare_cached(
                    "INSERT INTO checkpoints (pipeline, stream, partition_index, id, run_id, cursor_field, cursor_type,
                                              cursor_value, complete, reset, saved_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(task)?;
            let place = params![key.pipeline, key.stream, key.partition, CHECKPOINTS_KEPT];
            self.transaction
                .prepare_cached(
                    "DELETE FROM checkpoints WHERE pipeline = ?1 AND stream = ?2 AND partition_index = ?3 AND id <=
                         (SELECT id FROM checkpoints WHERE pipeline = ?1 AND stream = ?2 AND partition_index = ?3
                          ORDER BY id DESC LIMIT 1 OFFSET ?4)",
                )?
                .execute(place)?;
            if field.is_some() {
                self.transaction
                    .prepare_cached(
                        "INSERT INTO sync_cursors (pipeline, stream, partition_index, cursor_field, cursor_type,
                                                   cursor_value, updated_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                         ON CONFLICT DO UPDATE SET cursor_field = ?4, cursor_type = ?5, cursor_value = ?6, updated_at = ?7",
                    )?
                    .execute(params![key.pipeline, key.stream, key.partition, field, kind, value, checkpoint.saved_at])?;
            } else {
                self.transaction
                    .prepare_cached(
                        "DELETE FROM sync_cursors WHERE pipeline = ?1 AND stream = ?2 AND partition_index = ?3",
                    )?
                    .execute(params![key.pipeline, key.stream, key.partition])?;
            }
            Ok(())
        };
        execute().map_err(|error| self.error(error))
    }
}
