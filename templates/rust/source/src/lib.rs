//! `@name@`: reads issues from a REST API, page by page, in full or only what is new.
//!
//! Everything marked CHANGE is about the example API; the rest is what any source does.

mod api;

use std::sync::Arc;

use rapidbyte_sdk::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::batch::batch_bytes;
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use api::{Api, Issue};

/// What a pipeline's `config:` says. The doc comments become the schema's descriptions.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API lives: `https://api.example.com/v1`.
    pub url: String,
    /// The token to sign in with, if the API wants one.
    #[config(secret)]
    pub token: Option<String>,
    /// How many issues to ask for at once.
    #[config(default = 100)]
    pub page_size: u32,
}

// CHANGE: the streams, their columns, and the column that orders each.
const STREAM: &str = "issues";
const CURSOR: &str = "seq";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("points", DataType::Float64, true),
        Field::new("seq", DataType::Int64, false),
    ]))
}

/// CHANGE: a page of the API as columns.
fn batch(issues: &[Issue]) -> Result<RecordBatch, ConnectorError> {
    let columns: Vec<rapidbyte_sdk::arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            issues.iter().map(|issue| issue.id),
        )),
        Arc::new(StringArray::from_iter_values(
            issues.iter().map(|issue| &issue.title),
        )),
        Arc::new(StringArray::from_iter_values(
            issues.iter().map(|issue| &issue.state),
        )),
        Arc::new(Float64Array::from_iter(
            issues.iter().map(|issue| issue.points),
        )),
        Arc::new(Int64Array::from_iter_values(
            issues.iter().map(|issue| issue.seq),
        )),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Reads the API.
#[connector(source)]
pub struct ApiSource {
    api: Api,
    page_size: u32,
}

impl Source for ApiSource {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        if config.page_size == 0 {
            return Err(ConnectorError::config("page_size", "must be at least 1"));
        }
        let api = Api::new(&config)?;
        let capabilities = Capabilities {
            full_refresh: true,
            incremental: true,
            ..Capabilities::default()
        };
        let source = ApiSource {
            api,
            page_size: config.page_size,
        };
        Ok((source, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        Api::new(config)?.issues(0, 1).await?;
        Ok(ValidationReport::success(
            "the API answers and takes the token",
        ))
    }

    async fn run(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Read])?;
        if request.phase == RunPhase::Discover {
            let issues = CatalogStream {
                primary_key: vec!["id".to_owned()],
                cursor_fields: vec![CURSOR.to_owned()],
                sync_modes: vec![SyncMode::FullRefresh, SyncMode::Incremental],
                ..CatalogStream::new(STREAM, schema())
            };
            return Ok(RunSummary::catalog(Catalog {
                streams: vec![issues],
            }));
        }
        let stream = request.stream()?;
        if stream.name != STREAM {
            let message = format!("there is no stream `{}`, only `{STREAM}`", stream.name);
            return Err(ConnectorError::config("streams", message).with_code("unknown_stream"));
        }
        if !request.dry_run {
            self.read(ctx, stream, request.max_records.unwrap_or(u64::MAX))
                .await?;
        }
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

impl ApiSource {
    /// Page after page, until there is nothing new or the run is asked to end.
    async fn read(
        &self,
        ctx: &Context,
        stream: &StreamContext,
        max_records: u64,
    ) -> Result<(), ConnectorError> {
        let mut after = match &stream.position {
            None => 0,
            Some(CursorValue::Int64(seq)) => *seq,
            Some(other) => {
                let message = format!(
                    "stream `{STREAM}` is ordered by an int64, not by a {}",
                    other.type_name()
                );
                return Err(ConnectorError::config("cursor_field", message));
            }
        };
        let mut left = max_records;
        while left > 0 && !ctx.is_cancelled() {
            let limit = u64::from(self.page_size).min(left);
            let page = self.api.issues(after, limit).await?;
            let Some(last) = page.items.last() else { break };
            if page.items.first().is_some_and(|first| first.seq <= after)
                || page.items.windows(2).any(|pair| pair[0].seq >= pair[1].seq)
                || page.items.len() as u64 > limit
            {
                let message = "the API did not answer what was asked for: issues behind `after`, in order of `seq`";
                return Err(ConnectorError::internal("api_order", message));
            }
            after = last.seq;
            left -= page.items.len() as u64;
            emit(ctx, stream, batch(&page.items)?).await?;
            let done = !page.has_more || left == 0;
            // Everything up to here can be committed: an interrupted run goes on behind it.
            if stream.sync_mode == SyncMode::Incremental && (done || ctx.checkpoint_due()) {
                ctx.checkpoint(Cursor::new(CURSOR, CursorValue::Int64(after)))
                    .await?;
            }
            if done {
                break;
            }
        }
        Ok(())
    }
}

/// Hands rows on in batches no larger than the run allows.
async fn emit(
    ctx: &Context,
    stream: &StreamContext,
    batch: RecordBatch,
) -> Result<(), ConnectorError> {
    let mut pieces = vec![batch];
    while let Some(piece) = pieces.pop() {
        let (rows, bytes) = (piece.num_rows(), batch_bytes(&piece));
        if rows > 1 && bytes > stream.limits.batch_bytes_target() {
            pieces.push(piece.slice(rows / 2, rows - rows / 2));
            pieces.push(piece.slice(0, rows / 2));
            continue;
        }
        if rows == 1 {
            stream.limits.check_record(STREAM, bytes, || "an issue")?;
        }
        ctx.emit(&piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
