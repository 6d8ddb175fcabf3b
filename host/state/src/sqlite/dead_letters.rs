//! Dead letters in SQLite: pending rows, their settlement, what is settled.

use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use rapidbyte_core::limits::CHECKPOINT_ID_MAX;
use rapidbyte_core::ports::{StateError, TaskKey};
use rusqlite::{Connection, params};

use super::rows::{conversion, integer, unsigned};
use super::write::Write;
use crate::errors_json;

pub(super) fn add(
    write: &Write<'_>,
    run_id: i64,
    key: &TaskKey,
    letters: &DeadLetters,
) -> Result<(), StateError> {
    if letters.after > CHECKPOINT_ID_MAX {
        return Err(write.refuse(format!("checkpoint id {} is out of range", letters.after)));
    }
    insert(write.transaction, None, run_id, key, letters).map_err(|error| write.error(error))
}

/// Adds a batch of dead letters, settled ones under their number.
pub(super) fn insert(
    connection: &Connection,
    settled_id: Option<i64>,
    run_id: i64,
    key: &TaskKey,
    letters: &DeadLetters,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id,
                                       occurred_at, errors)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            settled_id,
            key.pipeline,
            key.stream,
            key.partition,
            run_id,
            letters.origin,
            letters.connector,
            integer(letters.after),
            letters.occurred_at,
            errors_json::to_text(&letters.errors)
        ])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO dead_letter_frames (dead_letters_id, frame) VALUES (?1, ?2)")?
        .execute(params![id, letters.frame.as_ref()])?;
    let mut counts = connection.prepare_cached(
        "INSERT INTO dead_letter_codes (dead_letters_id, code, records) VALUES (?1, ?2, ?3)",
    )?;
    for (code, records) in errors_json::records_by_code(&letters.errors) {
        counts.execute(params![id, code, integer(records)])?;
    }
    Ok(())
}

/// Gives what is pending before a checkpoint the next numbers, in the order in which it was added.
pub(super) fn settle(connection: &Connection, key: &TaskKey, checkpoint_id: u64) -> rusqlite::Result<()> {
    let task = params![key.pipeline, key.stream, key.partition, integer(checkpoint_id)];
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM dead_letters
             WHERE settled_id IS NULL AND pipeline = ?1 AND stream = ?2 AND partition_index = ?3 AND after_id < ?4",
        )?
        .query_row(task, |row| row.get(0))?;
    if count == 0 {
        return Ok(());
    }
    let last: i64 = connection
        .prepare_cached("UPDATE sequences SET value = value + ?1 WHERE name = 'settled' RETURNING value")?
        .query_row([count], |row| row.get(0))?;
    connection
        .prepare_cached(
            "UPDATE dead_letters SET settled_id = ?5 + pending.place
             FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM dead_letters
                   WHERE settled_id IS NULL AND pipeline = ?1 AND stream = ?2 AND partition_index = ?3
                     AND after_id < ?4) AS pending
             WHERE dead_letters.id = pending.id",
        )?
        .execute(params![key.pipeline, key.stream, key.partition, integer(checkpoint_id), last - count])?;
    Ok(())
}

pub(super) fn resolve(
    connection: &Connection,
    key: &TaskKey,
    committed: Option<u64>,
) -> rusqlite::Result<()> {
    if let Some(committed) = committed {
        settle(connection, key, committed)?;
    }
    connection
        .prepare_cached(
            "DELETE FROM dead_letters
             WHERE settled_id IS NULL AND pipeline = ?1 AND stream = ?2 AND partition_index = ?3",
        )?
        .execute(params![key.pipeline, key.stream, key.partition])?;
    Ok(())
}

pub(super) fn drop_pending(
    connection: &Connection,
    pipeline: &str,
    stream: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM dead_letters WHERE settled_id IS NULL AND pipeline = ?1 AND (?2 IS NULL OR stream = ?2)",
        )?
        .execute(params![pipeline, stream])?;
    Ok(())
}

pub(super) fn settled(
    connection: &Connection,
    filter: &DeadLetterFilter,
    behind: i64,
    limit: u32,
) -> rusqlite::Result<Vec<StoredDeadLetters>> {
    let mut statement = connection.prepare_cached(
        "SELECT settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id, occurred_at, errors,
                frame
         FROM dead_letters JOIN dead_letter_frames ON dead_letters_id = id
         WHERE settled_id > ?3 AND pipeline = ?1 AND (?2 IS NULL OR stream = ?2) ORDER BY settled_id LIMIT ?4",
    )?;
    let rows = statement.query_map(params![filter.pipeline, filter.stream, behind, limit], stored)?;
    rows.collect()
}

/// Reads the columns number, pipeline, stream, partition, run, origin, connector, after, occurred at, errors, frame.
pub(super) fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredDeadLetters> {
    let errors: String = row.get(9)?;
    let errors = errors_json::from_text(&errors)
        .ok_or_else(|| conversion(9, "the errors of a dead letter make no sense".to_owned()))?;
    Ok(StoredDeadLetters {
        id: row.get::<_, Option<i64>>(0)?.unwrap_or_default(),
        key: TaskKey { pipeline: row.get(1)?, stream: row.get(2)?, partition: row.get(3)? },
        run_id: row.get(4)?,
        letters: DeadLetters {
            origin: row.get(5)?,
            connector: row.get(6)?,
            after: unsigned(row, 7)?,
            frame: row.get::<_, Vec<u8>>(10)?.into(),
            errors,
            occurred_at: row.get(8)?,
        },
    })
}

pub(super) fn groups(
    connection: &Connection,
    pipeline: Option<&str>,
) -> rusqlite::Result<Vec<DeadLetterGroup>> {
    let mut statement = connection.prepare_cached(
        "SELECT pipeline, stream, origin, code, sum(records), min(occurred_at), max(occurred_at)
         FROM dead_letters JOIN dead_letter_codes ON dead_letters_id = id
         WHERE settled_id IS NOT NULL AND (?1 IS NULL OR pipeline = ?1)
         GROUP BY pipeline, stream, origin, code ORDER BY pipeline, stream, origin, code",
    )?;
    let rows = statement.query_map([pipeline], |row| {
        Ok(DeadLetterGroup {
            pipeline: row.get(0)?,
            stream: row.get(1)?,
            origin: row.get(2)?,
            code: row.get(3)?,
            records: unsigned(row, 4)?,
            first_at: row.get(5)?,
            last_at: row.get(6)?,
        })
    })?;
    rows.collect()
}

pub(super) fn forget(connection: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM dead_letters WHERE settled_id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}
