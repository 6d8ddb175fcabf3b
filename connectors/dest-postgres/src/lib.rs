//! `dest-postgres`: writes a stream into a PostgreSQL table, exactly once.
//!
//! ```text
//! config      what the pipeline says
//! names       which table a stream goes to; the names that are ours
//! type_name   types as PostgreSQL writes them
//! column      a stream's column as a table's column
//! catalog     what the database has
//! widen       types that differ: which holds both, how values go from one to the other
//! evolve      stream against table, under the policies of schema evolution
//! prepare     creates what is missing; judges a dry run
//! alter       a table that others may alter, too; applies what `evolve` planned
//! lock        one writer per task
//! receipt     the last checkpoint, committed with the data
//! load        the way of rows into a table, as SQL
//! staging     the table that a replace fills, alone or with the other partitions
//! replace     the swap that puts it in the old table's place
//! copy        a running `COPY`
//! writer      batches and checkpoints: the hot path; refused records among them
//! check       `validate`
//! limits      every bound
//! ```
//!
//! The order of a run is the commit protocol: lock, prepare, read the receipt, report it, and only then ask for the first
//! batch. Every checkpoint is one transaction over its rows and its receipt.

pub mod config;
pub mod limits;

mod alter;
mod catalog;
mod check;
mod column;
mod copy;
mod evolve;
mod load;
mod lock;
mod names;
mod prepare;
mod receipt;
mod replace;
mod staging;
mod type_name;
mod widen;
mod writer;

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;

use crate::alter::Known;
use crate::column::Column;
use crate::config::Config;
use crate::limits::GOODBYE_SECONDS;
use crate::load::{Load, Merge};
use crate::names::Task;
use crate::writer::{Into, Replace, Writer};

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
            partitions: true,
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
            prepare::prepare(ctx, &session, &task, stream, false).await.map(|_| WriteSummary::default())
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
        let target = prepare::prepare(ctx, session, task, stream, true).await?;
        let start = agree_on_start(ctx, session, task, plan.mode).await?;
        if start == Start::Finished {
            return nothing_more(ctx, task).await;
        }

        let policies = stream.policies;
        let pending = target.plan.alter_sql(&task.table).is_some();
        let mut columns = target.plan.columns.clone();
        let into = if plan.mode == WriteMode::Replace {
            let refuses = policies.on_data_error != DataErrorPolicy::Fail;
            let create_sql =
                staging::create_sql(session, task, target.table.as_ref(), &target.plan, refuses).await?;
            if start == Start::Shared {
                staging::share(session, task, &create_sql, lock_wait).await?;
            }
            let create_sql = (start == Start::Anew).then_some(create_sql);
            if create_sql.is_none() {
                columns = staging::fit(session, task, &target.stream, &policies).await?;
            }
            Into::Staging(Replace { create_sql, stream: target.stream, policies, lock_wait })
        } else {
            Into::Table(Known {
                stream: target.stream,
                key: key(plan).to_vec(),
                policies,
                shape: target.shape,
                pending,
                lock_wait,
            })
        };
        // Altering locks the table against readers: what is to be appended is gathered before that.
        let aside = pending && policies.on_data_error == DataErrorPolicy::Fail;
        let load = load(task, plan, &columns, aside);
        let mut writer =
            Writer::open(ctx, session, task, columns, load, into, policies.on_data_error).await?;
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

/// What rows are merged by; nothing where they are not.
fn key(plan: &WritePlan) -> &[String] {
    if matches!(plan.mode, WriteMode::Upsert | WriteMode::Merge) { &plan.primary_key } else { &[] }
}

fn load(task: &Task, plan: &WritePlan, columns: &[Column], aside: bool) -> Load {
    match plan.mode {
        WriteMode::Append => Load::append(&task.table, columns, aside),
        WriteMode::Replace => Load::append(&task.staging(), columns, false),
        WriteMode::Upsert => {
            Load::merge(&task.table, columns, Merge { key: &plan.primary_key, update: None })
        }
        WriteMode::Merge => {
            let update = (!plan.update_columns.is_empty()).then_some(plan.update_columns.as_slice());
            Load::merge(&task.table, columns, Merge { key: &plan.primary_key, update })
        }
    }
}

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With nothing staged.
    Anew,
    /// In the staging table that an earlier run of this reading has left.
    Continued,
    /// In the staging table of all partitions, which may be there or not.
    Shared,
    /// Not at all: this partition was read to its end.
    Finished,
}

/// Reports the receipt and settles what happens to tables that an unfinished replace has staged.
async fn agree_on_start(
    ctx: &Context,
    session: &Session,
    task: &Task,
    mode: WriteMode,
) -> Result<Start, ConnectorError> {
    let found = receipt::read(session, task).await?;
    let continuation = match &found {
        Some(receipt) => Some(ctx.report_receipt(receipt).await?),
        None => None,
    };
    // The host hears of every receipt; one of an earlier reading says nothing about what is staged.
    let receipt = found.filter(|receipt| receipt.id > task.floor);
    let replaces = mode == WriteMode::Replace;
    let exists = staging::exists(session, task).await?;
    let reset = "start the stream over with `rapidbyte state reset`";
    if replaces && task.partitions > 1 {
        return match (&receipt, continuation) {
            (Some(_), Some(Continuation::Restart)) => Err(ConnectorError::schema(
                "partition_restarted",
                format!(
                    "partition {} of stream `{}` is to start over, but rows of it stand among those of the others; {reset}",
                    task.partition, task.stream
                ),
            )),
            (Some(_), _) if exists => Ok(Start::Continued),
            // The partition that ended last has put all of them in place.
            (Some(receipt), _) if receipt.complete => Ok(Start::Finished),
            (Some(_), _) => Err(staging::lost(task)),
            (None, _) => Ok(Start::Shared),
        };
    }
    // Without a receipt there is nothing to continue: the host starts over.
    let unfinished =
        matches!((&receipt, continuation), (Some(receipt), Some(Continuation::Resume)) if !receipt.complete);
    if unfinished && replaces {
        return if exists { Ok(Start::Continued) } else { Err(staging::lost(task)) };
    }
    if staging::any(session, task).await? {
        if unfinished {
            return Err(ConnectorError::schema(
                "unfinished_replace",
                format!(
                    "stream `{}` has an unfinished replace of {} and is now to be written in mode `{mode}`; finish the \
                     replace, or {reset}",
                    task.stream, task.table
                ),
            ));
        }
        staging::drop_all(session, task).await?;
    }
    Ok(Start::Anew)
}

/// Takes the end of a partition that was read to its end before.
async fn nothing_more(ctx: &Context, task: &Task) -> Result<WriteSummary, ConnectorError> {
    match ctx.next().await? {
        Event::End => Ok(WriteSummary::default()),
        Event::Batch(_) | Event::Checkpoint(_) => Err(ConnectorError::internal(
            "partition_finished",
            format!(
                "partition {} of stream `{}` goes on although its receipt says that it was read to its end",
                task.partition, task.stream
            ),
        )),
    }
}
