//! A transform that passes everything on: the exports, frames and checkpoints of a role that both consumes and emits.

use rapidbyte_sdk::prelude::*;

#[connector(transform)]
pub struct Pump;

impl Transform for Pump {
    type Config = NoConfig;

    async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Pump, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let stream = request.stream()?;
        if request.phase == RunPhase::Discover {
            let out = CatalogStream::new(&stream.name, stream.schema.clone());
            return Ok(RunSummary::catalog(Catalog { streams: vec![out] }));
        }
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => ctx.emit(&batch).await?,
                Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
                Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
            }
        }
    }
}
