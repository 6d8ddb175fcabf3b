//! The three roles seen as one, for whoever drives a connector: the component's exports and the test host.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::ConnectorError;
use crate::schema::ConfigSchema;
use crate::traits::{Destination, Source, Transform};
use crate::types::{ConnectorRole, OpenInfo, RunPhase, RunRequest, RunSummary, ValidationReport};

/// A connector of any role. Sealed by being implemented only for the three wrappers below.
#[doc(hidden)]
#[allow(async_fn_in_trait, reason = "guests are single-threaded, futures need not be `Send`")]
pub trait Role: 'static {
    const ROLE: ConnectorRole;
    type Connector: 'static;
    type Config: DeserializeOwned + ConfigSchema + 'static;

    async fn open(config: Self::Config) -> Result<(Self::Connector, OpenInfo), ConnectorError>;
    async fn validate(config: &Self::Config) -> Result<ValidationReport, ConnectorError>;
    async fn run(
        connector: &mut Self::Connector,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError>;
    async fn close(connector: &mut Self::Connector) -> Result<(), ConnectorError>;
}

macro_rules! role {
    ($wrapper:ident, $trait:ident, $run:path) => {
        #[doc(hidden)]
        pub struct $wrapper<C>(PhantomData<C>);

        impl<C: $trait> Role for $wrapper<C> {
            const ROLE: ConnectorRole = ConnectorRole::$trait;
            type Connector = C;
            type Config = C::Config;

            async fn open(config: Self::Config) -> Result<(C, OpenInfo), ConnectorError> {
                C::open(config).await
            }

            async fn validate(config: &Self::Config) -> Result<ValidationReport, ConnectorError> {
                C::validate(config).await
            }

            async fn run(
                connector: &mut C,
                ctx: &Context,
                request: RunRequest,
            ) -> Result<RunSummary, ConnectorError> {
                $run(connector, ctx, request).await
            }

            async fn close(connector: &mut C) -> Result<(), ConnectorError> {
                connector.close().await
            }
        }
    };
}

role!(SourceRole, Source, run_source);
role!(DestinationRole, Destination, Destination::run);
role!(TransformRole, Transform, Transform::run);

/// A source has a method of its own for the phase that answers a plan.
async fn run_source<C: Source>(
    source: &mut C,
    ctx: &Context,
    request: RunRequest,
) -> Result<RunSummary, ConnectorError> {
    if request.phase == RunPhase::Partition {
        return source.partitions(ctx, request).await.map(RunSummary::partition_plan);
    }
    source.run(ctx, request).await
}
