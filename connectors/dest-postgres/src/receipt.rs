//! Receipts: the last checkpoint a task has committed, in a table beside the data, written in the data's transaction.

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::QualifiedName;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{get, query};
use crate::names::{RECEIPTS, Task};

fn table(task: &Task) -> QualifiedName {
    QualifiedName::new(&task.table.schema, RECEIPTS)
}

/// SQL that creates the table of receipts in the task's schema.
pub fn create_sql(task: &Task) -> String {
    let table = table(task);
    format!(
        "CREATE TABLE {table} (pipeline text NOT NULL, stream text NOT NULL, partition_index int4 NOT NULL, \
         checkpoint_id int8 NOT NULL, cursor_field text, cursor_type text, cursor_value text, \
         complete bool NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(), \
         PRIMARY KEY (pipeline, stream, partition_index)); \
         COMMENT ON TABLE {table} IS 'Rapidbyte: the last checkpoint committed of each stream. Do not edit.'"
    )
}

/// What the partitions of a reading have committed.
#[derive(Debug)]
pub struct Reading {
    /// How many have a receipt.
    pub partitions: i64,
    /// How many of them are read to their end.
    pub complete: i64,
}

/// Counts the receipts of all partitions of the task's reading.
pub async fn of_reading(session: &Session, task: &Task) -> Result<Reading, ConnectorError> {
    let (floor, partitions) = (i64::try_from(task.floor).unwrap_or(i64::MAX), i64::from(task.partitions));
    let rows = query(
        session,
        "reading the partitions' receipts",
        &format!(
            "SELECT count(*), count(*) FILTER (WHERE complete) FROM {} \
             WHERE pipeline = $1 AND stream = $2 AND partition_index < $3 AND checkpoint_id > $4",
            table(task)
        ),
        &[
            (&task.pipeline, Type::TEXT),
            (&task.stream, Type::TEXT),
            (&partitions, Type::INT8),
            (&floor, Type::INT8),
        ],
    )
    .await?;
    match rows.first() {
        Some(row) => Ok(Reading { partitions: get(row, 0)?, complete: get(row, 1)? }),
        None => Ok(Reading { partitions: 0, complete: 0 }),
    }
}

/// The task's receipt, which may be of an earlier reading.
pub async fn read(session: &Session, task: &Task) -> Result<Option<Receipt>, ConnectorError> {
    let partition = i64::from(task.partition);
    let rows = query(
        session,
        "reading the receipt",
        &format!(
            "SELECT checkpoint_id, cursor_field, cursor_type, cursor_value, complete FROM {} \
             WHERE pipeline = $1 AND stream = $2 AND partition_index = $3",
            table(task)
        ),
        &[(&task.pipeline, Type::TEXT), (&task.stream, Type::TEXT), (&partition, Type::INT8)],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let unreadable = |what: &str| {
        ConnectorError::internal(
            "unreadable_receipt",
            format!("the receipt of stream `{}` in {} has {what}", task.stream, table(task)),
        )
    };
    let id: i64 = get(row, 0)?;
    let id = u64::try_from(id).map_err(|_| unreadable("a negative checkpoint id"))?;
    let (field, kind, value): (Option<String>, Option<String>, Option<String>) =
        (get(row, 1)?, get(row, 2)?, get(row, 3)?);
    let cursor = match (field, kind, value) {
        (Some(field), Some(kind), Some(value)) => {
            let value =
                CursorValue::from_parts(&kind, &value).ok_or_else(|| unreadable("an unknown cursor"))?;
            Some(Cursor { field, value })
        }
        (None, None, None) => None,
        _ => return Err(unreadable("half a cursor")),
    };
    Ok(Some(Receipt { id, cursor, complete: get(row, 4)? }))
}

/// Writes the receipt of a checkpoint into the open transaction. Refuses one that is not newer than what is there:
/// then somebody else has written this task, or the host has counted wrongly, and nothing may be committed.
pub async fn write(session: &Session, task: &Task, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
    let id = i64::try_from(checkpoint.id).map_err(|_| {
        ConnectorError::internal(
            "checkpoint_id_range",
            format!("checkpoint id {} is out of range", checkpoint.id),
        )
    })?;
    let partition = i64::from(task.partition);
    let field = checkpoint.cursor.as_ref().map(|cursor| cursor.field.as_str());
    let kind = checkpoint.cursor.as_ref().map(|cursor| cursor.value.type_name());
    let value = checkpoint.cursor.as_ref().map(|cursor| cursor.value.value_text());
    let rows = query(
        session,
        "writing the receipt",
        &format!(
            "INSERT INTO {} AS receipt (pipeline, stream, partition_index, checkpoint_id, cursor_field, cursor_type, \
             cursor_value, complete) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (pipeline, stream, partition_index) DO UPDATE SET checkpoint_id = EXCLUDED.checkpoint_id, \
             cursor_field = EXCLUDED.cursor_field, cursor_type = EXCLUDED.cursor_type, \
             cursor_value = EXCLUDED.cursor_value, complete = EXCLUDED.complete, committed_at = now() \
             WHERE receipt.checkpoint_id < EXCLUDED.checkpoint_id RETURNING 1",
            table(task)
        ),
        &[
            (&task.pipeline, Type::TEXT),
            (&task.stream, Type::TEXT),
            (&partition, Type::INT8),
            (&id, Type::INT8),
            (&field, Type::TEXT),
            (&kind, Type::TEXT),
            (&value, Type::TEXT),
            (&checkpoint.complete, Type::BOOL),
        ],
    )
    .await?;
    if rows.is_empty() {
        return Err(ConnectorError::internal(
            "stale_checkpoint",
            format!(
                "checkpoint {} of stream `{}` is not newer than the receipt in {}: it was written already, nothing of \
                 it was committed again",
                checkpoint.id,
                task.stream,
                table(task)
            ),
        )
        .with_commit_state(CommitState::BeforeCommit));
    }
    Ok(())
}
