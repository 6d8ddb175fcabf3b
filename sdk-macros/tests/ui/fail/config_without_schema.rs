use rapidbyte_sdk::prelude::*;

#[derive(serde::Deserialize)]
pub struct Config {}

#[connector(source)]
pub struct Schemaless;

impl Source for Schemaless {
    type Config = Config;

    async fn open(_config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Schemaless, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

fn main() {}
