//! Rows as records and records as rows. Whatever on the server makes no sense is an error, never a guess.

use rapidbyte_core::contract::{Cursor, CursorValue};
use rapidbyte_core::limits::CHECKPOINT_ID_MAX;
use rapidbyte_core::ports::{RunCounters, RunRecord, RunStatus, SavedCheckpoint, TaskKey};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::session::{Fault, Session};

/// Reads columns one after the other.
pub struct Columns<'a> {
    session: &'a Session,
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub fn of(session: &'a Session, row: &'a Row) -> Self {
        Columns { session, row, next: 0 }
    }

    pub fn take<T: FromSql<'a>>(&mut self) -> Result<T, Fault> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|error| self.session.fault(&error))
    }

    pub fn unsigned(&mut self) -> Result<u64, Fault> {
        let value: i64 = self.take()?;
        u64::try_from(value).map_err(|_| self.nonsense(format!("{value} is negative")))
    }

    /// Pipeline, stream, partition.
    pub fn key(&mut self) -> Result<TaskKey, Fault> {
        let (pipeline, stream, partition) = (self.take()?, self.take()?, self.take::<i64>()?);
        let partition = u32::try_from(partition)
            .map_err(|_| self.nonsense(format!("{partition} is not the index of a partition")))?;
        Ok(TaskKey { pipeline, stream, partition })
    }

    /// Id, cursor field, type, value and bytes, complete, reset, saved at.
    pub fn checkpoint(&mut self) -> Result<SavedCheckpoint, Fault> {
        let id = self.unsigned()?;
        let (field, kind): (Option<String>, Option<String>) = (self.take()?, self.take()?);
        let (text, bytes): (Option<String>, Option<Vec<u8>>) = (self.take()?, self.take()?);
        let text = match bytes {
            Some(bytes) => Some(
                String::from_utf8(bytes).map_err(|_| self.nonsense("a cursor is not UTF-8".to_owned()))?,
            ),
            None => text,
        };
        let cursor = match (field, kind, text) {
            (Some(field), Some(kind), Some(text)) => {
                let value = CursorValue::from_parts(&kind, &text)
                    .ok_or_else(|| self.nonsense(format!("`{text}` is not a cursor of type `{kind}`")))?;
                Some(Cursor { field, value })
            }
            _ => None,
        };
        Ok(SavedCheckpoint {
            id,
            cursor,
            complete: self.take()?,
            reset: self.take()?,
            saved_at: self.take()?,
        })
    }

    /// Id, pipeline, stream, status, started, finished, four counters, error.
    pub fn run(&mut self) -> Result<RunRecord, Fault> {
        let (run_id, pipeline, stream): (i64, String, String) = (self.take()?, self.take()?, self.take()?);
        let status: String = self.take()?;
        let status = RunStatus::from_name(&status)
            .ok_or_else(|| self.nonsense(format!("`{status}` is not a status")))?;
        Ok(RunRecord {
            run_id,
            pipeline,
            stream,
            status,
            started_at: self.take()?,
            finished_at: self.take()?,
            counters: RunCounters {
                records_read: self.unsigned()?,
                records_written: self.unsigned()?,
                bytes_read: self.unsigned()?,
                bytes_written: self.unsigned()?,
            },
            error: self.take()?,
        })
    }

    pub fn nonsense(&self, what: String) -> Fault {
        self.session.refuse(format!("a row makes no sense: {what}"))
    }
}

/// A cursor as four columns: field, type, text, and bytes where the text cannot hold it.
pub struct CursorColumns {
    pub field: Option<String>,
    pub kind: Option<&'static str>,
    pub text: Option<String>,
    pub bytes: Option<Vec<u8>>,
}

impl CursorColumns {
    pub fn of(cursor: Option<&Cursor>) -> Self {
        let Some(cursor) = cursor else {
            return CursorColumns { field: None, kind: None, text: None, bytes: None };
        };
        let text = cursor.value.value_text().to_string();
        let bytes = text.contains('\0').then(|| text.clone().into_bytes());
        CursorColumns {
            field: Some(cursor.field.clone()),
            kind: Some(cursor.value.type_name()),
            text: Some(without_nul(&text)),
            bytes,
        }
    }
}

/// A text for people as PostgreSQL can keep it.
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A counter as PostgreSQL keeps it: 64 bits with a sign.
pub fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A checkpoint's id in range.
pub fn checkpoint_id(session: &Session, id: u64) -> Result<i64, Fault> {
    if id == 0 || id > CHECKPOINT_ID_MAX {
        return Err(session.refuse(format!("checkpoint id {id} is out of range")));
    }
    Ok(integer(id))
}
