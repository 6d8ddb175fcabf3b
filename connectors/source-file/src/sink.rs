//! Where records go: past the cursor, into batches of the right size, to the host; and where refused ones go. It knows the
//! run's limits and policies and nothing of file formats.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::batch::batch_bytes;
use rapidbyte_sdk::prelude::*;

use crate::columns::{BatchBuilder, Cell};
use crate::cursor::{self, Key};
use crate::limits;

/// Refused records that go to the host at once.
const REFUSED_ROWS_MAX: usize = 1_000;

/// Keeps what lies behind the saved position and remembers how far the stream reaches.
pub struct CursorFilter {
    /// The column, for messages and for the kept position.
    pub field: Field,
    pub position: Option<Key>,
    pub newest: Option<Key>,
}

impl CursorFilter {
    /// Whether a record of this key is new. A record that is not taken in the end does no harm to `newest`: the stream then
    /// ends without a checkpoint, or the record was refused under the pipeline's policy.
    pub fn is_new(&mut self, key: Key) -> bool {
        if self.position.as_ref().is_some_and(|position| key <= *position) {
            return false;
        }
        if self.newest.as_ref().is_none_or(|newest| key > *newest) {
            self.newest = Some(key);
        }
        true
    }
}

/// Takes the records of a stream, file after file.
pub struct Sink<'a> {
    ctx: &'a Context,
    stream: &'a StreamContext,
    builder: BatchBuilder,
    batch_bytes_target: u64,
    /// How many more records may be emitted.
    remaining: Option<u64>,
    pub cursor: Option<CursorFilter>,
    refused: Vec<(String, u64, String, ConnectorError)>,
    skipped: u64,
    stopped: bool,
}

impl<'a> Sink<'a> {
    pub fn new(
        ctx: &'a Context,
        stream: &'a StreamContext,
        schema: SchemaRef,
        max_records: Option<u64>,
        cursor: Option<CursorFilter>,
    ) -> Self {
        Sink {
            ctx,
            stream,
            builder: BatchBuilder::new(schema),
            batch_bytes_target: stream.limits.batch_bytes_target(),
            remaining: max_records,
            cursor,
            refused: Vec::new(),
            skipped: 0,
            stopped: false,
        }
    }

    /// Whether to end early: asked to, or enough records.
    pub fn is_done(&self) -> bool {
        self.stopped || self.remaining == Some(0)
    }

    /// Takes a record of a text file, its cursor's cell last if that column is not among those that are emitted.
    pub async fn push(
        &mut self,
        cells: &[Cell<'_>],
        cursor_at: Option<usize>,
        path: &Path,
        line: u64,
    ) -> Result<(), ConnectorError> {
        let bytes = cells.iter().map(Cell::bytes).sum();
        self.stream.limits.check_record(&self.stream.name, bytes, || place(path, line))?;
        if let Some(filter) = &mut self.cursor
            && let Some(index) = cursor_at
        {
            match cursor::key_of_cell(&cells[index]) {
                Ok(key) => {
                    if !filter.is_new(key) {
                        return Ok(());
                    }
                }
                Err(no_key) => {
                    let message = format!(
                        "{}, column `{}` {}",
                        place(path, line),
                        filter.field.name(),
                        no_key.message()
                    );
                    let error = ConnectorError::data(no_key.code(), message);
                    return self.refuse(error, path, line, &[]).await;
                }
            }
        }
        if self.builder.rows() > 0 && self.builder.bytes() + bytes > self.batch_bytes_target {
            self.flush().await?;
            if self.is_done() {
                return Ok(());
            }
        }
        self.builder.append(cells, bytes);
        if let Some(remaining) = &mut self.remaining {
            *remaining -= 1;
        }
        Ok(())
    }

    /// Takes a batch of a columnar file, already past the cursor, and emits it in pieces of the right size.
    pub async fn push_batch(
        &mut self,
        batch: &RecordBatch,
        path: &Path,
        first_row: u64,
    ) -> Result<(), ConnectorError> {
        let rows = match self.remaining {
            Some(remaining) => batch.num_rows().min(usize::try_from(remaining).unwrap_or(usize::MAX)),
            None => batch.num_rows(),
        };
        // Pieces still to do, the first on top.
        let mut pieces = vec![(0, rows)];
        while let Some((start, count)) = pieces.pop() {
            if count == 0 {
                continue;
            }
            let piece = batch.slice(start, count);
            let bytes = batch_bytes(&piece);
            if count > 1 && bytes > self.batch_bytes_target {
                let half = count / 2;
                pieces.push((start + half, count - half));
                pieces.push((start, half));
                continue;
            }
            if count == 1 {
                let record = || format!("`{}`, row {}", path.display(), first_row + start as u64 + 1);
                self.stream.limits.check_record(&self.stream.name, bytes, record)?;
            }
            self.ctx.emit(&piece).await?;
            if let Some(remaining) = &mut self.remaining {
                *remaining -= count as u64;
            }
            self.stopped = self.ctx.is_cancelled();
            if self.stopped {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A record that cannot be represented, under the pipeline's policy.
    pub async fn refuse(
        &mut self,
        error: ConnectorError,
        path: &Path,
        line: u64,
        record: &[u8],
    ) -> Result<(), ConnectorError> {
        if self.stream.policies.on_data_error == DataErrorPolicy::Fail {
            return Err(error);
        }
        let shown = &record[..record.len().min(limits::REFUSED_RECORD_BYTES_MAX)];
        let shown = String::from_utf8_lossy(shown).into_owned();
        self.refused.push((path.display().to_string(), line, shown, error));
        self.skipped += 1;
        if self.refused.len() >= REFUSED_ROWS_MAX {
            self.flush_refused().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ConnectorError> {
        if self.builder.rows() > 0 {
            let batch = self.builder.finish().map_err(|error| {
                ConnectorError::internal("bad_batch", format!("stream `{}`: {error}", self.stream.name))
            })?;
            self.ctx.emit(&batch).await?;
        }
        self.stopped = self.ctx.is_cancelled();
        Ok(())
    }

    async fn flush_refused(&mut self) -> Result<(), ConnectorError> {
        let Some((_, _, _, first)) = self.refused.first() else { return Ok(()) };
        let count = self.refused.len();
        self.ctx.log().warn(
            "records were refused",
            &[
                ("stream", self.stream.name.as_str().into()),
                ("records", count.into()),
                ("first", first.message.as_str().into()),
            ],
        );
        let schema = Schema::new(vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("line", DataType::Int64, false),
            Field::new("record", DataType::Utf8, false),
        ]);
        let refused = std::mem::take(&mut self.refused);
        let files = StringArray::from_iter_values(refused.iter().map(|(file, ..)| file));
        let lines = Int64Array::from_iter_values(refused.iter().map(|(_, line, ..)| *line as i64));
        let records = StringArray::from_iter_values(refused.iter().map(|(_, _, record, _)| record));
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(files), Arc::new(lines), Arc::new(records)])
                .map_err(|error| ConnectorError::internal("bad_batch", error.to_string()))?;
        let errors = refused.into_iter().enumerate();
        let errors = errors
            .map(|(row, (.., error))| RecordError::new(row as u32, error.code, error.message))
            .collect();
        self.ctx.dead_letters(&batch, errors).await
    }

    /// Hands over what is left. Files are in no order, so only their end is a position; a stream that ended early has none.
    pub async fn finish(mut self) -> Result<RunSummary, ConnectorError> {
        let cut_short = self.is_done();
        self.flush().await?;
        self.flush_refused().await?;
        if let Some(filter) = &self.cursor
            && let Some(newest) = &filter.newest
            && !cut_short
            && !self.stopped
        {
            let value = cursor::to_value(newest, filter.field.data_type());
            self.ctx.checkpoint(Cursor::new(filter.field.name(), value)).await?;
        }
        let mut summary = self.ctx.read_summary();
        summary.skipped = self.skipped;
        Ok(RunSummary::read(summary))
    }
}

/// A place in a text file, for messages.
pub fn place(path: &Path, line: u64) -> String {
    format!("`{}`, line {line}", path.display())
}
