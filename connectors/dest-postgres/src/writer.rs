//! The hot path: batches into one open `COPY` per checkpoint, and the commit that ends it. One transaction holds the
//! rows of a checkpoint and its receipt; whatever dies before the commit leaves nothing behind.

mod isolate;

use std::time::Duration;

use arrow_array::RecordBatch;
use rapidbyte_postgres::Session;
use rapidbyte_postgres::encode::{EncodeError, Encoder};
use rapidbyte_postgres::identifier::quote;
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::alter::{self, Known};
use crate::catalog::scalar;
use crate::column::Column;
use crate::copy::{Buffers, CopyIn};
use crate::evolve::Change;
use crate::limits::MESSAGE_BYTES;
use crate::load::{Load, load_table};
use crate::names::Task;
use crate::receipt;
use crate::replace::{self, Incoming};
use crate::staging;

/// What a replace does besides loading.
#[derive(Debug)]
pub struct Replace {
    /// Creates the staging table, in the first transaction. None: it is there.
    pub create_sql: Option<String>,
    /// The stream's columns as they come.
    pub stream: Vec<Column>,
    pub policies: Policies,
    pub lock_wait: Duration,
}

/// Where rows go.
#[derive(Debug)]
pub enum Into {
    /// A table that others may write and alter, too.
    Table(Known),
    /// A table that is built aside and takes the other's place.
    Staging(Replace),
}

/// Writes one stream.
pub struct Writer<'a> {
    ctx: &'a Context,
    session: &'a Session,
    task: &'a Task,
    columns: Vec<Column>,
    /// Which of a batch's columns are written. None: all.
    projection: Option<Vec<usize>>,
    load: Load,
    into: Into,
    /// Refused records are handed over, all others written. Otherwise the first refused record ends the run.
    isolates: bool,
    encoder: Encoder,
    buffers: Buffers,
    copy: Option<CopyIn>,
    in_transaction: bool,
    /// Altered in the open transaction, to be told once that is committed.
    altered: Vec<Change>,
    /// Records that have come, the refused ones among them.
    seen: u64,
    summary: WriteSummary,
}

impl<'a> Writer<'a> {
    /// Creates the temporary table, if rows go through one.
    pub async fn open(
        ctx: &'a Context,
        session: &'a Session,
        task: &'a Task,
        columns: Vec<Column>,
        load: Load,
        into: Into,
        on_data_error: DataErrorPolicy,
    ) -> Result<Self, ConnectorError> {
        if let Some(sql) = &load.create_sql {
            session.execute("creating the temporary table that rows are copied into", sql).await?;
        }
        let encoder = encoder(&columns, &load);
        let stream = match &into {
            Into::Table(known) => &known.stream,
            Into::Staging(replace) => &replace.stream,
        };
        let projection = (columns.len() < stream.len()).then(|| {
            let written = |name: &str| columns.iter().any(|column| column.name == name);
            (0..stream.len()).filter(|index| written(&stream[*index].name)).collect()
        });
        Ok(Writer {
            ctx,
            session,
            task,
            columns,
            projection,
            load,
            into,
            isolates: on_data_error != DataErrorPolicy::Fail,
            encoder,
            buffers: Buffers::default(),
            copy: None,
            in_transaction: false,
            altered: Vec::new(),
            seen: 0,
            summary: WriteSummary::default(),
        })
    }

    /// Writes a batch's rows.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.begin().await?;
        let narrowed = self.projection.as_ref().map(|indices| batch.project(indices)).transpose()?;
        let written = narrowed.as_ref().unwrap_or(batch);
        if self.isolates {
            self.write_isolating(batch, written).await?;
        } else {
            self.stream(written).await?;
            self.summary.records += batch.num_rows() as u64;
        }
        self.seen += batch.num_rows() as u64;
        self.summary.batches += 1;
        Ok(())
    }

    /// Sends a batch's rows. The server works on them while the next batch is awaited.
    async fn stream(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        let copy = match &mut self.copy {
            Some(copy) => copy,
            None => self.copy.insert(CopyIn::start(self.session, &self.load.copy_sql, &self.buffers).await?),
        };
        let (seen, columns) = (self.seen, &self.columns);
        let refused = |error: EncodeError| value_error(self.task, columns, seen, error);
        let mut rows = self.encoder.batch(batch).map_err(refused)?;
        while rows.rows_left() > 0 {
            let mut buffer = self.buffers.take();
            let bytes = rows.fill(&mut buffer, MESSAGE_BYTES).map_err(refused)?;
            copy.send(self.session, buffer, bytes).await?;
            self.summary.bytes += bytes as u64;
        }
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
        let parts = self.task.partitions > 1;
        let ends_replace = checkpoint.complete && matches!(self.into, Into::Staging(_));
        if ends_replace && parts {
            staging::take_turns(self.session, self.task).await?;
        }
        receipt::write(self.session, self.task, checkpoint).await?;
        if ends_replace && (!parts || staging::is_whole(self.session, self.task).await?) {
            self.swap().await?;
        }
        self.session.client().batch_execute("COMMIT").await.map_err(|error| self.commit_error(&error))?;
        self.in_transaction = false;
        self.committed();
        Ok(())
    }

    /// Puts the staged rows in the table's place.
    async fn swap(&mut self) -> Result<(), ConnectorError> {
        let Into::Staging(replace) = &self.into else {
            return Ok(());
        };
        let incoming =
            Incoming { stream: &replace.stream, policies: &replace.policies, staged: &self.columns };
        let swapped = replace::swap(self.session, self.task, &incoming, replace.lock_wait).await?;
        self.altered = swapped.altered;
        if let Some(obstacle) = swapped.obstacle {
            self.ctx.log().info(
                "rows were replaced in place, because the table could not be exchanged",
                &[("table", self.task.table.name.as_str().into()), ("because", obstacle.as_str().into())],
            );
        }
        Ok(())
    }

    /// Goes over to what holds from the second transaction on.
    fn committed(&mut self) {
        alter::log(self.ctx, &self.task.table, self.altered.iter());
        let settled = matches!(&self.into, Into::Table(known) if !known.pending);
        if settled && self.load.aside {
            // The table is as it is to be: rows can go straight in.
            self.load = Load::append(&self.task.table, &self.columns, false);
            self.encoder = encoder(&self.columns, &self.load);
        }
        self.altered.clear();
        self.encoder.restart_ordinals();
        if let Into::Staging(replace) = &mut self.into {
            replace.create_sql = None;
        }
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
        const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
        if self.in_transaction {
            return Ok(());
        }
        self.in_transaction = true;
        // Rows that are gathered in the temporary table touch the table when they are settled, no sooner.
        let direct = self.isolates || self.load.settle_sql.is_none();
        match &mut self.into {
            Into::Table(known) if direct && !known.pending => {
                known.check(self.session, self.task, &self.columns, &format!("{BEGIN}; ")).await
            }
            Into::Table(_) => {
                self.session.execute("beginning", BEGIN).await?;
                // A savepoint that is rolled back must not take the change with it.
                if self.isolates { self.agree_on_table().await } else { Ok(()) }
            }
            Into::Staging(replace) => {
                self.session.execute("beginning", BEGIN).await?;
                match &replace.create_sql {
                    Some(sql) => self.session.execute("creating the staging table", sql).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Alters the table, if that is still to be done; otherwise makes sure that it is as it was.
    async fn agree_on_table(&mut self) -> Result<(), ConnectorError> {
        let Into::Table(known) = &mut self.into else {
            return Ok(());
        };
        if known.pending {
            self.altered = known.evolve(self.session, self.task, &self.columns).await?;
            return Ok(());
        }
        known.check(self.session, self.task, &self.columns, "").await
    }

    /// Moves rows from the temporary table to where they belong.
    async fn settle(&mut self) -> Result<(), ConnectorError> {
        if self.load.settle_sql.is_none() {
            return Ok(());
        }
        self.agree_on_table().await?;
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
        for cast in &self.load.casts {
            let (name, type_name) = (&cast.column, &cast.type_name);
            let casts = |from: i64, to: i64| {
                format!(
                    "ROLLBACK TO SAVEPOINT settle; SELECT count({sql}) FROM {table} \
                     WHERE {ordinal} >= {from} AND {ordinal} < {to}",
                    sql = cast.sql,
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
            let row = self.seen.saturating_sub(rows.unsigned_abs()) + from.unsigned_abs() + 1;
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

fn encoder(columns: &[Column], load: &Load) -> Encoder {
    Encoder::new(columns.iter().map(Column::spec).collect(), load.ordinal.is_some())
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
