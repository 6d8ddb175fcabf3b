//! `dest-file`: streams as Parquet, CSV or JSON Lines files of a granted folder, each row exactly once. It writes below that
//! folder and knows nothing of where the records come from.
//!
//! | module | owns |
//! | --- | --- |
//! | `config` | the configuration as users write it |
//! | `names` | streams and pipelines as names of files |
//! | `disk` | changes of the file system, each durable when it returns |
//! | `receipt` | what is committed, as it stands on disk |
//! | `store` | the commit: data, receipt, publication; and what a crash left behind |
//! | `convert` | columns as the format can hold them |
//! | `writer` | one file of a format |
//! | `write` | one stream, from its first batch to its last commit |

mod columns;
mod config;
mod convert;
mod disk;
mod limits;
mod names;
mod receipt;
mod store;
mod write;
mod writer;

use rapidbyte_sdk::prelude::*;

pub use config::{Compression, Config, Format};

/// Writes files.
#[connector(destination)]
pub struct DestFile {
    config: Config,
}

impl Destination for DestFile {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        config.check()?;
        let capabilities =
            Capabilities { append: true, replace: true, transactional: true, ..Capabilities::default() };
        Ok((DestFile { config }, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        config.check()?;
        disk::Disk::open(&config.path)?.probe()?;
        Ok(ValidationReport::success(format!("`{}` can be written", config.path)))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Write])?;
        write::write(ctx, &self.config, request.stream()?, request.dry_run).await
    }
}

#[cfg(test)]
mod tests;
