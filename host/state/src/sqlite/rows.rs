//! Rows as records and records as rows. Whatever in the file makes no sense is an error, never a guess.

use rapidbyte_core::contract::{Cursor, CursorValue};
use rapidbyte_core::limits::CHECKPOINT_ID_MAX;
use rapidbyte_core::ports::{RunCounters, RunRecord, RunStatus, SavedCheckpoint, TaskKey};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::clock::now;

pub(super) fn newest_checkpoint(
    connection: &Connection,
    key: &TaskKey,
) -> rusqlite::Result<Option<SavedCheckpoint>> {
    connection
        .prepare_cached(
            "SELECT id, cursor_field, cursor_type, cursor_value, complete, reset, saved_at FROM checkpoints
             WHERE pipeline = ?1 AND stream = ?2 AND partition_index = ?3 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![key.pipeline, key.stream, key.partition], |row| saved_checkpoint(row, 0))
        .optional()
}

/// Reads the columns id, cursor field, type and value, complete, reset, saved at, from `first` on.
pub(super) fn saved_checkpoint(row: &Row<'_>, first: usize) -> rusqlite::Result<SavedCheckpoint> {
    let cursor = match row.get::<_, Option<String>>(first + 1)? {
        None => None,
        Some(field) => {
            let (kind, value): (String, String) = (row.get(first + 2)?, row.get(first + 3)?);
            let value = CursorValue::from_parts(&kind, &value).ok_or_else(|| {
                conversion(first + 3, format!("`{value}` is not a cursor of type `{kind}`"))
            })?;
            Some(Cursor { field, value })
        }
    };
    Ok(SavedCheckpoint {
        id: unsigned(row, first)?,
        cursor,
        complete: row.get(first + 4)?,
        reset: row.get(first + 5)?,
        saved_at: row.get(first + 6)?,
    })
}

pub(super) fn value(connection: &Connection, scope: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM connector_state WHERE scope = ?1 AND key = ?2")?
        .query_row([scope, key], |row| row.get(0))
        .optional()
}

pub(super) fn store_value(
    connection: &Connection,
    scope: &str,
    key: &str,
    value: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO connector_state (scope, key, value, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET value = ?3, updated_at = ?4",
        )?
        .execute(params![scope, key, value, now()])
        .map(|_| ())
}

/// Reads the columns id, pipeline, stream, status, started, finished, four counters, error.
pub(super) fn history_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        run_id: row.get(0)?,
        pipeline: row.get(1)?,
        stream: row.get(2)?,
        status: run_status(row, 3)?,
        started_at: row.get(4)?,
        finished_at: row.get(5)?,
        counters: RunCounters {
            records_read: unsigned(row, 6)?,
            records_written: unsigned(row, 7)?,
            bytes_read: unsigned(row, 8)?,
            bytes_written: unsigned(row, 9)?,
        },
        error: row.get(10)?,
    })
}

fn run_status(row: &Row<'_>, column: usize) -> rusqlite::Result<RunStatus> {
    let word: String = row.get(column)?;
    RunStatus::from_name(&word).ok_or_else(|| conversion(column, format!("`{word}` is not a status")))
}

pub(super) fn conversion(column: usize, message: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, message.into())
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A counter as SQLite keeps it: 64 bits with a sign.
pub(super) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn checkpoint_id(id: u64) -> Option<i64> {
    if id == 0 || id > CHECKPOINT_ID_MAX { None } else { i64::try_from(id).ok() }
}
