//! `transform-mask`: hashes, redacts, truncates, nulls or drops chosen columns, so that personal data does not reach the
//! destination. It changes columns one by one and knows nothing of sources, destinations or rows as a whole.
//!
//! | module | owns |
//! | --- | --- |
//! | `config` | the rules as users write them |
//! | `plan` | which rule a column of a stream falls under, and the schema that flows out |
//! | `mask` | the masked values of a column |

mod config;
mod mask;
mod plan;

use rapidbyte_sdk::batch::batch_bytes;
use rapidbyte_sdk::prelude::*;

pub use config::{Action, Config, Rule};
use plan::Plan;

/// Masks columns.
#[connector(transform)]
pub struct TransformMask {
    config: Config,
}

impl Transform for TransformMask {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        config.check()?;
        Ok((TransformMask { config }, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        config.check()?;
        let rules = config.rules.len();
        Ok(ValidationReport::success(format!("{rules} rule{}", if rules == 1 { "" } else { "s" })))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Transform])?;
        let stream = request.stream()?;
        let plan = Plan::new(&self.config, &stream.name, &stream.schema)?;
        if request.phase == RunPhase::Discover {
            for pattern in plan.unmatched() {
                ctx.log().warn(
                    "a pattern matches no column",
                    &[("stream", stream.name.as_str().into()), ("pattern", pattern.as_str().into())],
                );
            }
            let out = CatalogStream::new(&stream.name, plan.schema().clone());
            return Ok(RunSummary::catalog(Catalog { streams: vec![out] }));
        }
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => {
                    // A hash is longer than most of what it stands for: pieces keep a batch within the frame.
                    let mut pieces = vec![batch];
                    while let Some(piece) = pieces.pop() {
                        let masked = plan.apply(&piece)?;
                        let rows = piece.num_rows();
                        if rows > 1 && batch_bytes(&masked) > stream.limits.max_batch_bytes / 2 {
                            pieces.push(piece.slice(rows / 2, rows - rows / 2));
                            pieces.push(piece.slice(0, rows / 2));
                            continue;
                        }
                        ctx.emit(&masked).await?;
                    }
                }
                Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
                Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
