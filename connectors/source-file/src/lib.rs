//! `source-file`: CSV, JSON Lines and Parquet files of a granted folder as streams. It reads what it was granted and knows
//! nothing of where the records go.
//!
//! | module | owns |
//! | --- | --- |
//! | `config` | the configuration as users write it |
//! | `streams` | which streams a folder holds, of which files |
//! | `catalog` | the columns of each stream |
//! | `read` | one stream, file after file |
//! | `sink` | batches, position, refused records |
//! | `text_file` | one CSV or JSON Lines file as records |
//! | `parquet_file` | one Parquet file as batches |
//! | `csv`, `jsonl` | bytes as records and lines |
//! | `columns`, `infer` | types of text columns, values of a type |
//! | `cursor` | positions |

mod catalog;
mod columns;
mod config;
mod csv;
mod cursor;
mod infer;
mod jsonl;
mod limits;
mod parquet_file;
mod read;
mod sink;
mod streams;
mod text_file;

use rapidbyte_sdk::prelude::*;

pub use config::{Config, CsvOptions, Format, StreamConfig};

/// Reads files.
#[connector(source)]
pub struct SourceFile {
    config: Config,
}

impl Source for SourceFile {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        config.check()?;
        let capabilities = Capabilities {
            full_refresh: true,
            incremental: true,
            projection: true,
            ..Capabilities::default()
        };
        Ok((SourceFile { config }, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        config.check()?;
        catalog::validate(config)
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Read])?;
        if request.phase == RunPhase::Discover {
            return Ok(RunSummary::catalog(catalog::catalog(&self.config)?));
        }
        let stream = request.stream()?;
        let files = streams::find(&self.config, &stream.name)?;
        read::read(ctx, &self.config, &files, stream, &request).await
    }
}

#[cfg(test)]
mod tests;
