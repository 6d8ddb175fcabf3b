use rapidbyte_sdk::prelude::*;

#[connector(destination)]
pub struct Confused;

impl Source for Confused {
    type Config = NoConfig;

    async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Confused, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

fn main() {}
