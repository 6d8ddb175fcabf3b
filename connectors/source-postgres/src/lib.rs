//! Reads PostgreSQL tables and views through binary `COPY`: full refresh and incremental, resumable where there is an
//! order.
//!
//! ```text
//! config      what the pipeline says
//! catalog     relations, columns and keys from the system catalogs
//! plan        a request and a relation → what to read, in which order, from where
//! position    a place in that order, as it stands in checkpoints
//! filter      the pipeline's predicate: one, and nothing but one
//! range       a partition's part of the stream
//! query       SQL
//! snapshot    the moment that is read
//! partition   cutting a stream into ranges, and the moment held open for those who read them
//! read        the pump: rows → batches → checkpoints (hot path)
//! refusal     records that can't be read, under the data-error policy
//! validation  what `rapidbyte check` asks
//! limits      every bound, with where it comes from
//! ```

mod catalog;
pub mod config;
mod filter;
mod limits;
mod partition;
mod plan;
mod position;
mod query;
mod range;
mod read;
mod refusal;
mod snapshot;
mod validation;

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;

pub use crate::config::Config;

/// The connector.
#[connector(source)]
pub struct SourcePostgres {
    config: Config,
    /// Holds open what was partitioned last, until `close`.
    held: Option<Session>,
}

impl Source for SourcePostgres {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        config.check()?;
        let capabilities = Capabilities {
            full_refresh: true,
            incremental: true,
            projection: true,
            filter: true,
            partitions: true,
            ..Capabilities::default()
        };
        Ok((Self { config, held: None }, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        config.check()?;
        validation::validate(config).await
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Read])?;
        let session = Session::open(&self.config.connect_options()).await?;
        validation::refuse_old_server(&session)?;
        let summary = if request.phase == RunPhase::Discover {
            RunSummary::catalog(catalog::discover(&session, &self.config, ctx).await?)
        } else {
            match read::read(&session, &self.config, ctx, &request).await? {
                read::Ended::Whole(summary) => RunSummary::read(summary),
                // The server may still be sending: hanging up is the only way to stop it.
                read::Ended::Early(summary) => return Ok(RunSummary::read(summary)),
            }
        };
        session.close().await;
        Ok(summary)
    }

    async fn partitions(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<PartitionPlan, ConnectorError> {
        self.release().await;
        let session = Session::open(&self.config.connect_options()).await?;
        validation::refuse_old_server(&session)?;
        let plan = partition::partition(&session, &self.config, ctx, request.stream()?).await?;
        match &plan {
            Some(PartitionPlan { snapshot: Some(_), .. }) => self.held = Some(session),
            Some(_) => session.close().await,
            // The server may be waiting for a lock: hanging up is the only way to stop it.
            None => drop(session),
        }
        Ok(plan.unwrap_or_default())
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        self.release().await;
        Ok(())
    }
}

impl SourcePostgres {
    /// Lets go of the moment that is held open, if one is.
    async fn release(&mut self) {
        if let Some(session) = self.held.take() {
            // Where the connection is lost, the server has let go already.
            let ended = session.execute("ending the snapshot", query::END).await;
            if ended.is_ok() {
                session.close().await;
            }
        }
    }
}
