//! One struct per role, of every shape a struct can have.

use rapidbyte_sdk::prelude::*;

#[connector(source)]
pub struct Named {
    _config: NoConfig,
}

impl Source for Named {
    type Config = NoConfig;

    async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Named { _config }, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

#[connector(destination)]
struct Unit;

impl Destination for Unit {
    type Config = NoConfig;

    async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Unit, OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        Ok(RunSummary::write(ctx.write_summary()))
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
}

#[connector(transform)]
pub(crate) struct Tuple(u32);

impl Transform for Tuple {
    type Config = NoConfig;

    async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Tuple(1), OpenInfo::new(connector_id!(), Capabilities::default())))
    }

    async fn validate(_config: &NoConfig) -> Result<ValidationReport, ConnectorError> {
        Ok(ValidationReport::success("fine").with_warning("or so it seems"))
    }

    async fn run(&mut self, ctx: &Context, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        self.0 += 1;
        Ok(RunSummary::transform(ctx.transform_summary()))
    }
}

fn main() {}
