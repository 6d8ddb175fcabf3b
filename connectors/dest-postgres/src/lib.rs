//! `dest-postgres`: writes a stream into a PostgreSQL table, exactly once.
//!
//! ```text
//! config      what the pipeline says
//! names       which table a stream goes to; the names that are ours
//! type_name   types as PostgreSQL writes them
//! column      a stream's column as a table's column
//! catalog     what the database has
//! compare     stream against table
//! prepare     creates what is missing; judges a dry run
//! lock        one writer per task
//! receipt     the last checkpoint, committed with the data
//! load        the way of rows into a table, as SQL
//! replace     the staging table and the swap
//! copy        a running `COPY`
//! writer      batches and checkpoints: the hot path
//! check       `validate`
//! limits      every bound
//! ```
//!
//! The order of a run is the commit protocol: lock, prepare, read the receipt, report it, and only then ask for the first
//! batch. Every checkpoint is one transaction over its rows and its receipt.

pub mod config;
pub mod limits;

mod catalog;
mod check;
mod column;
mod compare;
mod copy;
mod load;
mod lock;
mod names;
mod prepare;
mod receipt;
mod replace;
mod type_name;
mod writer;

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;

use crate::column::Column;
use crate::config::Config;
use crate::limits::GOODBYE_SECONDS;
use crate::load::{Load, Merge};
use crate::names::Task;
use crate::writer::{Replace, Writer};

/// The destination.
#[connector(destination)]
pub struct DestPostgres {
    config: Config,
}

impl Destination for DestPostgres {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        config.check()?;
        let capabilities = Capabilities {
            append: true,
            replace: true,
            upsert: true,
            merge: true,
            transactional: true,
            ..Capabilities::default()
        };
        Ok((DestPostgres { config }, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        check::validate(config).await
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Write])?;
        let stream = request.stream()?;
        let task = Task::new(stream, &self.config.schema)?;
        let session = Session::open(&self.config.connect_options()).await?;
        let result = if request.dry_run {
            prepare::prepare(&session, &task, stream, false).await.map(|_| WriteSummary::default())
        } else {
            self.write(ctx, &session, &task, stream).await
        };
        // A retry needs the lock that this session holds; the error is worth more than a goodbye that takes long.
        let goodbye = tokio::time::timeout(Duration::from_secs(GOODBYE_SECONDS), session.close()).await;
        if goodbye.is_err() {
            ctx.log().warn("the server did not take the goodbye in time", &[]);
        }
        result.map(RunSummary::write)
    }
}

impl DestPostgres {
    async fn write(
        &self,
        ctx: &Context,
        session: &Session,
        task: &Task,
        stream: &StreamContext,
    ) -> Result<WriteSummary, ConnectorError> {
        let plan = stream.write_plan()?;
        let lock_wait = Duration::from_secs(u64::from(self.config.lock_wait_seconds));
        lock::acquire(session, task, lock_wait).await?;
        let mut target = prepare::prepare(session, task, stream, true).await?;
        let keep_staging = agree_on_start(ctx, session, task, plan.mode).await?;

        let mut replace = None;
        if plan.mode == WriteMode::Replace {
            let create_sql = if keep_staging {
                replace::fit_staging(session, task, &mut target.columns).await?;
                None
            } else {
                Some(replace::create_sql(task, target.table.as_ref(), &target.columns))
            };
            replace = Some(Replace { create_sql, lock_wait });
        }
        let load = load(task, plan, &target.columns);
        let mut writer = Writer::open(ctx, session, task, &target.columns, &load, replace).await?;
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => writer.write(&batch).await?,
                Event::Checkpoint(checkpoint) => {
                    writer.commit(&checkpoint).await?;
                    ctx.commit_checkpoint(&checkpoint)
                        .await
                        .map_err(|error| error.with_commit_state(CommitState::AfterCommitConfirmed))?;
                }
                Event::End => break,
            }
        }
        writer.abandon().await?;
        Ok(writer.summary())
    }
}

fn load(task: &Task, plan: &WritePlan, columns: &[Column]) -> Load {
    match plan.mode {
        WriteMode::Append => Load::append(&task.table, columns),
        WriteMode::Replace => Load::append(&task.staging(), columns),
        WriteMode::Upsert => {
            Load::merge(&task.table, columns, Merge { key: &plan.primary_key, update: None })
        }
        WriteMode::Merge => {
            let update = (!plan.update_columns.is_empty()).then_some(plan.update_columns.as_slice());
            Load::merge(&task.table, columns, Merge { key: &plan.primary_key, update })
        }
    }
}

/// Reports the receipt and settles what happens to a table that an unfinished replace has staged. Answers whether it is
/// continued.
async fn agree_on_start(
    ctx: &Context,
    session: &Session,
    task: &Task,
    mode: WriteMode,
) -> Result<bool, ConnectorError> {
    let receipt = receipt::read(session, task).await?;
    let staged = replace::staging_exists(session, task).await?;
    let continuation = match &receipt {
        Some(receipt) => Some(ctx.report_receipt(receipt).await?),
        None => None,
    };
    // Without a receipt there is nothing to continue: the host starts over.
    let unfinished =
        matches!((&receipt, continuation), (Some(receipt), Some(Continuation::Resume)) if !receipt.complete);
    let reset = "start the stream over with `rapidbyte state reset`";
    match (mode, unfinished) {
        (WriteMode::Replace, true) if staged => return Ok(true),
        (WriteMode::Replace, true) => {
            return Err(ConnectorError::schema(
                "staging_lost",
                format!(
                    "stream `{}` is to continue an unfinished replace of {}, but what was staged for it is not in this \
                     database; {reset}",
                    task.stream, task.table
                ),
            ));
        }
        (_, true) if staged => {
            return Err(ConnectorError::schema(
                "unfinished_replace",
                format!(
                    "stream `{}` has an unfinished replace of {} and is now to be written in mode `{mode}`; finish the \
                     replace, or {reset}",
                    task.stream, task.table
                ),
            ));
        }
        _ if staged => replace::drop_staging(session, task).await?,
        _ => {}
    }
    Ok(false)
}
