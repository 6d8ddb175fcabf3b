//! Batches under the policies `skip` and `dlq`: each goes in within a savepoint, one that the server refuses is taken
//! apart by halves until what is refused stands alone, and that is handed over. Everything else is written.

use std::ops::Range;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use rapidbyte_sdk::bisect::{Failure, bisect};
use rapidbyte_sdk::prelude::*;
use serde_json::Value;

use super::{Writer, value_error};
use crate::copy::CopyIn;
use crate::limits::{MESSAGE_BYTES, REASON_CHARS_MAX};
use crate::load::load_table;

impl Writer<'_> {
    /// Writes a batch but for the records that are refused, and hands those over. `batch`: as it came; `written`: the
    /// columns of it that are written.
    pub(super) async fn write_isolating(
        &mut self,
        batch: &RecordBatch,
        written: &RecordBatch,
    ) -> Result<(), ConnectorError> {
        let records = batch.num_rows();
        let refused = bisect(records, async |range: Range<usize>| {
            self.attempt(written, range).await.map_err(|error| {
                if is_refusal(&error) { Failure::Refused(error) } else { Failure::Fatal(error) }
            })
        })
        .await?;
        self.summary.records += (records - refused.len()) as u64;
        self.summary.failed += refused.len() as u64;
        if refused.is_empty() { Ok(()) } else { self.hand_over(batch, &refused).await }
    }

    /// Writes some rows of a batch, or none of them.
    async fn attempt(&mut self, batch: &RecordBatch, range: Range<usize>) -> Result<(), ConnectorError> {
        // What has no binary form is found before the server hears of it.
        self.encoder.restart_ordinals();
        let (columns, task, before) = (&self.columns, self.task, self.seen + range.start as u64);
        let refused = |error| value_error(task, columns, before, error);
        let part = batch.slice(range.start, range.len());
        let mut rows = self.encoder.batch(&part).map_err(refused)?;
        let mut messages = Vec::new();
        while rows.rows_left() > 0 {
            let mut buffer = self.buffers.take();
            let bytes = rows.fill(&mut buffer, MESSAGE_BYTES).map_err(refused)?;
            messages.push((buffer, bytes));
        }
        drop(rows);
        let doing = "writing rows";
        self.session.execute(doing, "SAVEPOINT part").await?;
        match self.send(messages).await {
            Ok(bytes) => {
                self.summary.bytes += bytes;
                self.session.execute(doing, "RELEASE SAVEPOINT part").await
            }
            Err(error) if is_refusal(&error) => {
                self.session.execute(doing, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part").await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&mut self, messages: Vec<(Vec<u8>, usize)>) -> Result<u64, ConnectorError> {
        let mut copy = CopyIn::start(self.session, &self.load.copy_sql, &self.buffers).await?;
        let mut sent = 0;
        for (buffer, bytes) in messages {
            copy.send(self.session, buffer, bytes).await?;
            sent += bytes as u64;
        }
        copy.finish(self.session).await?;
        if let Some(settle_sql) = &self.load.settle_sql {
            let sql = format!("{settle_sql}; TRUNCATE {}", load_table());
            self.session.execute("writing rows", &sql).await?;
        }
        Ok(sent)
    }

    /// Gives refused records to the host, each with its reason. They lie behind the last checkpoint and before the next,
    /// which is not confirmed before they are taken.
    async fn hand_over(
        &self,
        batch: &RecordBatch,
        refused: &[(usize, ConnectorError)],
    ) -> Result<(), ConnectorError> {
        let rows = UInt32Array::from_iter_values(refused.iter().map(|(row, _)| *row as u32));
        let records = take_record_batch(batch, &rows)?;
        let reasons = refused.iter().enumerate().map(|(row, (_, error))| reason(row as u32, error)).collect();
        self.ctx
            .dead_letters(&records, reasons)
            .await
            .map_err(|error| error.with_commit_state(CommitState::BeforeCommit))
    }
}

/// Whether an error is about the rows that were sent, and not about the table or the connection.
fn is_refusal(error: &ConnectorError) -> bool {
    // A value too large for an index exceeds a limit of the program, says the server.
    error.category == ErrorCategory::Data || detail(error, "sqlstate").as_deref() == Some("54000")
}

/// What a dead letter says: the server's own code and words where it has refused the record.
fn reason(row: u32, error: &ConnectorError) -> RecordError {
    let code = detail(error, "sqlstate").unwrap_or_else(|| error.code.clone());
    let message = detail(error, "server_message").unwrap_or_else(|| error.message.clone());
    RecordError::new(row, code, message.chars().take(REASON_CHARS_MAX).collect::<String>())
}

fn detail(error: &ConnectorError, name: &str) -> Option<String> {
    let details: Value = serde_json::from_str(error.details.as_deref()?).ok()?;
    Some(details.get(name)?.as_str()?.to_owned())
}
