//! `transform-sql`: a `SELECT` with expressions and a filter over the batches of a stream. It looks at one row at a time and
//! knows nothing of sources, destinations or other rows.
//!
//! | module | owns |
//! | --- | --- |
//! | `config` | the query as users write it |
//! | `query` | the text parsed, within bounds, and what of SQL is possible over single rows |
//! | `plan` | the query over the columns of a stream, and the schema that flows out |
//! | `typing` | which types go together, and what they become |
//! | `expression` | typed expressions and their values |
//! | `function` | the functions that have a name |

mod config;
mod expression;
mod function;
mod plan;
mod query;
mod typing;

use arrow_array::RecordBatch;
use rapidbyte_sdk::batch::batch_bytes;
use rapidbyte_sdk::prelude::*;

pub use config::Config;
use plan::Plan;
use query::Query;

/// Selects.
#[connector(transform)]
pub struct TransformSql {
    query: Query,
}

impl Transform for TransformSql {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        let query = config.parse()?;
        Ok((TransformSql { query }, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        let query = config.parse()?;
        let results = query.results();
        Ok(ValidationReport::success(format!("{results} result{}", if results == 1 { "" } else { "s" })))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Transform])?;
        let stream = request.stream()?;
        let plan = Plan::new(&self.query, &stream.schema).map_err(|message| {
            ConnectorError::config("query", format!("stream `{}`: {message}", stream.name))
        })?;
        if request.phase == RunPhase::Discover {
            let out = CatalogStream::new(&stream.name, plan.schema().clone());
            return Ok(RunSummary::catalog(Catalog { streams: vec![out] }));
        }
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => select(ctx, &plan, batch, stream.limits.max_batch_bytes).await?,
                Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
                Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
            }
        }
    }
}

/// Hands on what a batch gives, in order. A value that does not fit is looked for by halving, so that only its record is refused;
/// results that have become too large for a frame are halved, too.
async fn select(
    ctx: &Context,
    plan: &Plan,
    batch: RecordBatch,
    bytes_max: u64,
) -> Result<(), ConnectorError> {
    let mut pieces = vec![batch];
    while let Some(piece) = pieces.pop() {
        let rows = piece.num_rows();
        let halves = || [piece.slice(rows / 2, rows - rows / 2), piece.slice(0, rows / 2)];
        match plan.apply(&piece) {
            Ok(selected) if selected.num_rows() == 0 => {}
            Ok(selected) if rows > 1 && batch_bytes(&selected) > bytes_max / 2 => pieces.extend(halves()),
            Ok(selected) => ctx.emit(&selected).await?,
            Err(_) if rows > 1 => pieces.extend(halves()),
            Err(failure) => {
                let error = RecordError::new(0, failure.code, failure.message);
                ctx.dead_letters(&piece, vec![error]).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
