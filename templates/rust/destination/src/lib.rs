//! `@name@`: writes streams as JSON Lines files to a folder, each row exactly once.
//!
//! Everything marked CHANGE is about files; the order of steps in `run` is what any destination does.

mod store;

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use arrow_json::writer::{LineDelimited, Writer, WriterBuilder};
use rapidbyte_sdk::arrow::array::{Array, RecordBatch, make_array};
use rapidbyte_sdk::arrow::schema::{DataType, Schema};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use store::Store;

/// What a pipeline's `config:` says. The doc comments become the schema's descriptions.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder to write to; it is made if it is missing. Relative to the pipeline's file.
    pub path: String,
}

/// Writes files.
#[connector(destination)]
pub struct FolderDestination {
    config: Config,
}

type Lines = Writer<BufWriter<File>, LineDelimited>;

impl Destination for FolderDestination {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        if config.path.is_empty() {
            return Err(ConnectorError::config("path", "must not be empty"));
        }
        let capabilities = Capabilities {
            append: true,
            transactional: true,
            ..Capabilities::default()
        };
        Ok((
            FolderDestination { config },
            OpenInfo::new(connector_id!(), capabilities),
        ))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        store::probe(&config.path)?;
        Ok(ValidationReport::success(format!(
            "`{}` can be written",
            config.path
        )))
    }

    async fn run(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Write])?;
        let stream = request.stream()?;
        let mode = stream.write_plan()?.mode;
        if mode != WriteMode::Append {
            return Err(ConnectorError::config(
                "write_mode",
                format!("cannot `{mode}`: use append"),
            ));
        }
        if request.dry_run {
            return Ok(RunSummary::write(WriteSummary::default()));
        }
        // 1. Finish or undo what an interrupted run left, and say what is committed. The host answers by sending what follows.
        let mut store = Store::open(&self.config.path, stream)?;
        if let Some(receipt) = store.recover()? {
            let _: Continuation = ctx.report_receipt(&receipt).await?;
        }
        let mut pending: Option<Lines> = None;
        loop {
            match ctx.next().await? {
                // 2. Write batches where nobody sees them yet.
                Event::Batch(batch) => {
                    let lines = match &mut pending {
                        Some(lines) => lines,
                        None => pending.insert(
                            // CHANGE: the format.
                            WriterBuilder::new()
                                .with_explicit_nulls(true)
                                .build(store.begin()?),
                        ),
                    };
                    lines.write(&in_utc(&batch)?).map_err(refused)?;
                }
                // 3. Make data and checkpoint durable in one step, then say so. In a database that is one transaction.
                Event::Checkpoint(checkpoint) => {
                    if let Some(mut lines) = pending.take() {
                        lines.finish().map_err(refused)?;
                        store.finish(lines.into_inner())?;
                    }
                    store.commit(&checkpoint)?;
                    ctx.commit_checkpoint(&checkpoint).await?;
                }
                // What no checkpoint covers is not committed; the next run gets it again.
                Event::End => return Ok(RunSummary::write(ctx.write_summary())),
            }
        }
    }
}

/// The same rows with instants in UTC: the JSON writer knows offsets, but no names of time zones.
fn in_utc(batch: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        match field.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
                let data = column.to_data().into_builder().data_type(utc.clone());
                columns.push(make_array(data.build()?));
                fields.push(field.as_ref().clone().with_data_type(utc));
            }
            _ => {
                columns.push(column.clone());
                fields.push(field.as_ref().clone());
            }
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn refused(error: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::data("not_json", error.to_string())
        .with_scope(ErrorScope::PerBatch)
        .with_commit_state(CommitState::BeforeCommit)
}

#[cfg(test)]
mod tests;
