//! The hot path: batches into one open `COPY` per checkpoint, and the commit that ends it. One transaction holds the
//! rows of a checkpoint and its receipt; whatever dies before the commit leaves nothing behind.

use std::time::Duration;

use arrow_array::RecordBatch;
use rapidbyte_postgres::Session;
use rapidbyte_postgres::encode::{EncodeError, Encoder};
use rapidbyte_postgres::identifier::quote;
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::catalog::scalar;
use crate::column::Column;
use crate::copy::{Buffers, CopyIn};
use crate::limits::MESSAGE_BYTES;
use crate::load::{Load, load_table};
use crate::names::Task;
use crate::receipt;
use crate::replace;

/// What a replace does besides loading.
#[derive(Debug)]
pub struct Replace {
    /// Creates the staging table, in the first transaction. None: an earlier run's is continued.
    pub create_sql: Option<String>,
    pub lock_wait: Duration,
}

/// Writes one stream.
pub struct Writer<'a> {
    ctx: &'a Context,
    session: &'a Session,
    task: &'a Task,
    columns: &'a [Column],
    load: &'a Load,
    replace: Option<Replace>,
    encoder: Encoder,
    buffers: Buffers,
    copy: Option<CopyIn>,
    in_transaction: bool,
    summary: WriteSummary,
}

impl<'a> Writer<'a> {
    /// Creates the temporary table, if rows go through one.
    pub async fn open(
        ctx: &'a Context,
        session: &'a Session,
        task: &'a Task,
        columns: &'a [Column],
        load: &'a Load,
        replace: Option<Replace>,
    ) -> Result<Self, ConnectorError> {
        if let Some(sql) = &load.create_sql {
            session.execute("creating the temporary table that rows are copied into", sql).await?;
        }
        let encoder = Encoder::new(columns.iter().map(Column::spec).collect(), load.ordinal.is_some());
        Ok(Writer {
            ctx,
            session,
            task,
            columns,
            load,
            replace,
            encoder,
            buffers: Buffers::default(),
            copy: None,
            in_transaction: false,
            summary: WriteSummary::default(),
        })
    }

    /// Sends a batch's rows. The server works on them while the next batch is awaited.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.begin().await?;
        let copy = match &mut self.copy {
            Some(copy) => copy,
            None => self.copy.insert(CopyIn::start(self.session, &self.load.copy_sql, &self.buffers).await?),
        };
        let records_before = self.summary.records;
        let refused = |error: EncodeError| value_error(self.task, self.columns, records_before, error);
        let mut rows = self.encoder.batch(batch).map_err(refused)?;
        while rows.rows_left() > 0 {
            let mut buffer = self.buffers.take();
            let bytes = rows.fill(&mut buffer, MESSAGE_BYTES).map_err(refused)?;
            copy.send(self.session, buffer, bytes).await?;
            self.summary.bytes += bytes as u64;
        }
        self.summary.records += batch.num_rows() as u64;
        self.summary.batches += 1;
        Ok(())
    }

    /// Commits everything since the last checkpoint, and the receipt with it.
    pub async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        self.finish(checkpoint).await.map_err(|error| {
            if error.commit.is_none() { error.with_commit_state(CommitState::BeforeCommit) } else { error }
        })?;
        self.summary.checkpoints += 1;
        Ok(())
    }

    async fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        // A replace without a single row still makes an empty table.
        self.begin().await?;
        if let Some(copy) = self.copy.take() {
            copy.finish(self.session).await?;
            self.settle().await?;
        }
        if checkpoint.complete
            && let Some(replace) = &self.replace
        {
            let obstacle = replace::swap(self.session, self.task, self.columns, replace.lock_wait).await?;
            if let Some(obstacle) = obstacle {
                self.ctx.log().info(
                    "rows were replaced in place, because the table could not be exchanged",
                    &[("table", self.task.table.name.as_str().into()), ("because", obstacle.as_str().into())],
                );
            }
        }
        receipt::write(self.session, self.task, checkpoint).await?;
        self.session.client().batch_execute("COMMIT").await.map_err(|error| self.commit_error(&error))?;
        self.in_transaction = false;
        self.encoder.restart_ordinals();
        if let Some(replace) = &mut self.replace {
            replace.create_sql = None;
        }
        Ok(())
    }

    /// Ends without a last checkpoint: what came behind the last one is dropped.
    pub async fn abandon(&mut self) -> Result<(), ConnectorError> {
        self.copy = None;
        if self.in_transaction {
            self.session.execute("rolling back", "ROLLBACK").await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    pub fn summary(&self) -> WriteSummary {
        self.summary
    }

    async fn begin(&mut self) -> Result<(), ConnectorError> {
        if self.in_transaction {
            return Ok(());
        }
        self.session.execute("beginning", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        self.in_transaction = true;
        if let Some(sql) = self.replace.as_ref().and_then(|replace| replace.create_sql.as_ref()) {
            self.session.execute("creating the staging table", sql).await?;
        }
        Ok(())
    }

    /// Moves rows from the temporary table to where they belong.
    async fn settle(&self) -> Result<(), ConnectorError> {
        let Some(sql) = &self.load.settle_sql else {
            return Ok(());
        };
        let doing = "writing rows";
        if self.load.casts.is_empty() {
            return self.session.execute(doing, sql).await;
        }
        self.session.execute(doing, "SAVEPOINT settle").await?;
        let Err(error) = self.session.execute(doing, sql).await else {
            return Ok(());
        };
        if error.category != ErrorCategory::Data {
            return Err(error);
        }
        Err(self.find_uncastable(error).await)
    }

    /// Which value the server could not cast: it does not say. Halves the rows until one is left.
    async fn find_uncastable(&self, error: ConnectorError) -> ConnectorError {
        let Some(ordinal) = &self.load.ordinal else {
            return error;
        };
        for (name, type_name) in &self.load.casts {
            let casts = |from: i64, to: i64| {
                format!(
                    "ROLLBACK TO SAVEPOINT settle; SELECT count({name}::{type_name}) FROM {table} \
                     WHERE {ordinal} >= {from} AND {ordinal} < {to}",
                    name = quote(name),
                    table = load_table(),
                    ordinal = quote(ordinal),
                )
            };
            if self.session.client().batch_execute("ROLLBACK TO SAVEPOINT settle").await.is_err() {
                return error;
            }
            let count_sql = format!("SELECT count(*) FROM {}", load_table());
            let Ok(rows) = scalar::<i64>(self.session, "counting rows", &count_sql, &[]).await else {
                return error;
            };
            if self.session.client().batch_execute(&casts(0, rows)).await.is_ok() {
                continue;
            }
            let (mut from, mut to) = (0, rows);
            while to - from > 1 {
                let middle = from + (to - from) / 2;
                match self.session.client().batch_execute(&casts(from, middle)).await {
                    Err(error) if error.is_closed() => {
                        return self.session.error("looking for a value", &error);
                    }
                    Err(_) => to = middle,
                    Ok(()) => from = middle,
                }
            }
            let row = self.summary.records.saturating_sub(rows.unsigned_abs()) + from.unsigned_abs() + 1;
            return ConnectorError::data(
                "invalid_value",
                format!(
                    "stream `{}`: the value of column `{name}` in row {row} is no `{type_name}`: {}",
                    self.task.stream, error.message
                ),
            )
            .with_details(json!({ "column": name, "row": row }));
        }
        error
    }

    /// The server may have committed and not been able to say so; the receipt tells at the next start.
    fn commit_error(&self, error: &tokio_postgres::Error) -> ConnectorError {
        let mapped = self.session.error("committing", error);
        let refused = error.as_db_error().is_some_and(|error| {
            let class = error.code().code().get(..2).unwrap_or_default();
            !matches!(class, "08" | "57" | "58" | "XX")
        });
        if refused {
            return mapped.with_commit_state(CommitState::BeforeCommit);
        }
        let mut mapped = mapped.with_commit_state(CommitState::AfterCommitUnknown);
        // The next start reads the receipt before anything is read again.
        mapped.safe_to_retry = true;
        mapped
    }
}

/// A value that has no binary form, by the names a person knows.
fn value_error(task: &Task, columns: &[Column], records_before: u64, error: EncodeError) -> ConnectorError {
    let row = records_before + error.row as u64 + 1;
    let column = columns.get(error.column).map_or("(none)", |column| column.name.as_str());
    ConnectorError::data(
        error.refusal.code(),
        format!("stream `{}`: the value of column `{column}` in row {row} {}", task.stream, error.refusal),
    )
    .with_details(json!({ "column": column, "row": row }))
    .with_commit_state(CommitState::BeforeCommit)
}
