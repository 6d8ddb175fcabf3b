//! One stream, from its first batch to its last commit.

use rapidbyte_sdk::prelude::*;

use crate::config::Config;
use crate::convert::Converter;
use crate::store::Store;
use crate::writer::FileWriter;

/// Writes a stream, or checks that it could be.
pub async fn write(
    ctx: &Context,
    config: &Config,
    stream: &StreamContext,
    dry_run: bool,
) -> Result<RunSummary, ConnectorError> {
    let mut store = Store::new(config, stream)?;
    let converter = Converter::new(config.format, stream)?;
    if dry_run {
        store.check_name()?;
        store.check_columns(converter.schema())?;
        return Ok(RunSummary::write(WriteSummary::default()));
    }
    if let Some(receipt) = store.recover()? {
        // Nothing is staged across runs, so there is nothing to keep or drop: only the source's position differs.
        let _: Continuation = ctx.report_receipt(&receipt).await?;
    }
    store.check_columns(converter.schema())?;
    let mut open: Option<(String, FileWriter)> = None;
    loop {
        match ctx.next().await? {
            Event::Batch(batch) => {
                let converted = converter.convert(&batch)?;
                if let Some((records, errors)) = converted.refused {
                    if stream.policies.on_data_error == DataErrorPolicy::Fail {
                        let first = errors.into_iter().next();
                        let (code, message) =
                            first.map(|error| (error.code, error.message)).unwrap_or_default();
                        let message = format!("stream `{}`, {message}", stream.name);
                        return Err(
                            ConnectorError::data(code, message).with_commit_state(CommitState::BeforeCommit)
                        );
                    }
                    ctx.dead_letters(&records, errors).await?;
                }
                if converted.batch.num_rows() == 0 {
                    continue;
                }
                let (_, writer) = match &mut open {
                    Some(open) => open,
                    None => open.insert(begin(config, &store, &converter)?),
                };
                writer
                    .write(&converted.batch)
                    .map_err(|error| error.with_commit_state(CommitState::BeforeCommit))?;
            }
            Event::Checkpoint(checkpoint) => {
                // A replacement is one transaction: the file is swapped when the stream has ended, and no earlier checkpoint
                // is confirmed.
                if store.mode() == WriteMode::Replace {
                    if !checkpoint.complete {
                        continue;
                    }
                    if open.is_none() {
                        open = Some(begin(config, &store, &converter)?);
                    }
                }
                let temporary = match open.take() {
                    Some((temporary, writer)) => {
                        let file = writer.finish()?;
                        store.disk().sync_file(&temporary, &file)?;
                        Some(temporary)
                    }
                    None => None,
                };
                store.commit(temporary, &checkpoint, converter.schema())?;
                // The rows are there, whatever becomes of the report.
                ctx.commit_checkpoint(&checkpoint)
                    .await
                    .map_err(|error| error.with_commit_state(CommitState::AfterCommitConfirmed))?;
            }
            // What no checkpoint covers is not committed: the next run removes it.
            Event::End => return Ok(RunSummary::write(ctx.write_summary())),
        }
    }
}

fn begin(
    config: &Config,
    store: &Store,
    converter: &Converter,
) -> Result<(String, FileWriter), ConnectorError> {
    let temporary = store.temporary();
    let file = store.disk().create_file(&temporary)?;
    let writer = FileWriter::new(config, store.disk().path(&temporary), file, converter.schema())?;
    Ok((temporary, writer))
}
